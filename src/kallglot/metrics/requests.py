"""HTTP requests: how many, how long they took, what they were refused with."""

from __future__ import annotations

from collections import Counter
from typing import Final

from prometheus_client import Histogram
from starlette.types import Scope

from kallglot.api.watching import Finished, Handled

BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Requests:
    """A :data:`kallglot.api.watching.Watch`. Labels are route templates, known methods and classes of status."""

    def __init__(self) -> None:
        self.running = 0
        self.total: Counter[tuple[str, str, str]] = Counter()
        self.errors: Counter[str] = Counter()
        self.seconds = Histogram(
            "kallglot_http_request_duration_seconds",
            "Seconds until a request was answered, by method and route.",
            ["method", "route"],
            buckets=BUCKETS,
            registry=None,
        )
        self._known: dict[tuple[str, str], Histogram] = {}

    def __call__(self, scope: Scope) -> Finished:
        self.running += 1
        return self._over

    def _over(self, request: Handled) -> None:
        self.running -= 1
        key = request.method, request.route
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self.seconds.labels(*key)
        known.observe(request.seconds)
        self.total[(*key, f"{request.status // 100}xx")] += 1
        if request.code is not None:
            self.errors[request.code] += 1
