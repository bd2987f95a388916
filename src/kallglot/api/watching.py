"""What is told of each request when it is over, to whoever counts, logs or traces."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.types import Scope

from kallglot import logs

METHODS: Final = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"))
UNROUTED: Final = "unrouted"
"""In place of the route, for addresses at which there is nothing."""
CLIENT_GONE: Final = 499
"""In place of the status, for a client that did not wait for it."""
_PROBES: Final = frozenset(("/healthz", "/readyz", "/metrics"))
_SESSION: Final = re.compile(r"sess_[0-9A-HJKMNP-TV-Z]{26}")


@dataclass(frozen=True, slots=True)
class Handled:
    """``route`` is the template, never the path; ``code`` the error's in the catalogue, where it was one."""

    method: str
    route: str
    status: int
    seconds: float
    request_id: str
    session_id: str | None
    code: str | None


Finished = Callable[[Handled], None]
Watch = Callable[[Scope], Finished]
"""Called as a request begins; what it returns, when it is over. Neither blocks nor raises."""


def handled(scope: Scope, status: int, seconds: float, request_id: str, code: str | None) -> Handled:
    method = scope["method"]
    parameters: Mapping[str, Any] = scope.get("path_params") or {}
    session_id = str(parameters.get("session_id", ""))
    return Handled(
        method if method in METHODS else "OTHER",
        getattr(scope.get("route"), "path", UNROUTED),
        status,
        seconds,
        request_id,
        session_id if _SESSION.fullmatch(session_id) else None,
        code,
    )


def everyone(watches: Sequence[Watch]) -> Watch:
    def begins(scope: Scope) -> Finished:
        finished = [watch(scope) for watch in watches]

        def over(request: Handled) -> None:
            for one in finished:
                one(request)

        return over

    return begins


class AccessLog:
    """A line for each request, at info; for those that ask whether the server is well, at debug."""

    def __init__(self) -> None:
        self._log = logging.getLogger(logs.ACCESS)

    def __call__(self, scope: Scope) -> Finished:
        return self._line

    def _line(self, request: Handled) -> None:
        level = logging.DEBUG if request.route in _PROBES else logging.INFO
        if not self._log.isEnabledFor(level):
            return
        duration_ms = round(request.seconds * 1000, 1)
        about = {
            "method": request.method,
            "route": request.route,
            "status": request.status,
            "duration_ms": duration_ms,
            "request_id": request.request_id,
            "session_id": request.session_id,
        }
        if request.code is not None:
            about["code"] = request.code
        words = (request.method, request.route, request.status, f" {request.code}" if request.code else "", duration_ms)
        self._log.log(level, "%s %s %d%s %.1f ms", *words, extra=about)
