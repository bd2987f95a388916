"""Puts the routers together, and around them what holds for every request."""

from __future__ import annotations

import logging
import time
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kallglot import VERSION, logs
from kallglot.api import (
    analyses,
    api_keys,
    audit_log,
    calls,
    carrier_hooks,
    connections,
    events,
    health,
    numbers,
    organization,
    payments,
    privacy,
    problems,
    recordings,
    sessions,
    timings,
    transcripts,
    usage,
    webhook_deliveries,
    webhook_secret,
    webhooks,
)
from kallglot.api.openapi import install
from kallglot.api.services import ApiServices
from kallglot.api.watching import CLIENT_GONE, UNROUTED, Watch, handled
from kallglot.errors import KallglotError
from kallglot.ids import REQUEST, new_id

__all__ = ["ApiServices", "create_api"]

log = logging.getLogger(__name__)

ROUTERS = (
    sessions.router,
    transcripts.router,
    timings.router,
    privacy.router,
    recordings.router,
    analyses.router,
    events.router,
    webhooks.router,
    webhook_deliveries.router,
    webhook_secret.router,
    calls.router,
    carrier_hooks.router,
    connections.router,
    numbers.router,
    organization.router,
    usage.router,
    payments.router,
    api_keys.router,
    audit_log.router,
    health.router,
)


def create_api(given: ApiServices) -> FastAPI:
    app = FastAPI(
        title="Kallglot",
        version=VERSION,
        description="Voice sessions: live transcripts, two-way spoken translation.",
        docs_url="/docs",
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = given
    for router in ROUTERS:
        app.include_router(router)
    app.add_exception_handler(KallglotError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _unrouted)
    app.add_middleware(EveryRequest, max_body_bytes=given.max_body_bytes, watch=given.watch)
    install(app, given.base_url, ROUTERS)
    return app


class EveryRequest:
    """A request id and the caller's limits on every answer, a bound on the body, and 500 for what nobody foresaw."""

    def __init__(self, app: ASGIApp, max_body_bytes: int, watch: Watch) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._watch = watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), CLIENT_GONE
        request_id = new_id(REQUEST)
        state: dict[str, Any] = scope.setdefault("state", {})
        state["request_id"] = request_id
        state["headers"] = {"X-Request-ID": request_id}
        bound = logs.request_id.set(request_id)
        finished = self._watch(scope)
        begun = False
        received = 0

        async def bounded_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_body_bytes:
                raise KallglotError("request_too_large", f"The body is larger than {self._max_body_bytes} bytes.")
            return message

        async def send_with_headers(message: Message) -> None:
            nonlocal begun, status
            if message["type"] == "http.response.start":
                begun = True
                status = message["status"]
                added = [(name.lower().encode(), value.encode()) for name, value in state["headers"].items()]
                message = {**message, "headers": [*message.get("headers", []), *added]}
            await send(message)

        try:
            await self._app(scope, bounded_receive, send_with_headers)
        except ClientDisconnect:
            log.debug("the client went away (%s)", request_id)
        except Exception as error:
            if begun:
                raise
            if not isinstance(error, KallglotError):
                route = getattr(scope.get("route"), "path", UNROUTED)
                log.exception("%s %s failed (%s)", scope["method"], route, request_id)
                error = KallglotError("internal_error", "Something went wrong on our side.")
            await problems.render(Request(scope), error)(scope, receive, send_with_headers)
        finally:
            finished(handled(scope, status, time.perf_counter() - began, request_id, state.get("error_code")))
            logs.request_id.reset(bound)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, KallglotError)
    return problems.render(request, error)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problems.render(request, problems.from_details(error.errors()[0]))


def _allowed(request: Request, named: str) -> str:
    """Every method of the address: the router ``named`` only those of the first route that has it."""
    methods = {method.strip() for method in named.split(",") if method.strip()}
    for router in ROUTERS:
        for route in router.routes:
            if isinstance(route, Route) and route.path_regex.fullmatch(request.url.path):
                methods |= route.methods or set()
    return ", ".join(sorted(methods))


async def _unrouted(request: Request, error: Exception) -> Response:
    """Unknown paths, and known ones with a method that they don't take."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = _allowed(request, (error.headers or {}).get("Allow", ""))
        message = f"{request.method} is not what this address takes; it takes {allowed}."
        response = problems.render(request, KallglotError("invalid_request", message), 405)
        response.headers["Allow"] = allowed
        return response
    if error.status_code == 404:
        return problems.render(request, KallglotError("resource_not_found", "There is nothing at this address."))
    return problems.render(request, KallglotError("unprocessable", str(error.detail)))
