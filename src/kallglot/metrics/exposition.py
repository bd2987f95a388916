"""The page that Prometheus reads."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from kallglot.api import problems
from kallglot.errors import KallglotError
from kallglot.metrics.snapshot import Snapshot, Sources

Page = Callable[[], Awaitable[bytes]]
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def exposition(sources: Sources) -> bytes:
    registry = CollectorRegistry()
    for histogram in (*sources.lags.histograms.values(), sources.requests.seconds):
        registry.register(histogram)
    ProcessCollector(registry=registry)
    registry.register(Snapshot(sources))
    return generate_latest(registry)


def allowed(request: Request, token: str | None) -> bool:
    """Everybody where there is no token."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    known = token is None or hmac.compare_digest(given.strip().encode(), token.encode())
    return known and (token is None or scheme.lower() == "bearer")


def install(api: FastAPI, page: Page, token: str | None) -> None:
    """``/metrics`` on the API's own port."""

    async def metrics(request: Request) -> Response:
        if not allowed(request, token):
            message = "/metrics asks for the token that KALLGLOT_METRICS_TOKEN sets: Authorization: Bearer …"
            return problems.render(request, KallglotError("invalid_token", message))
        return Response(await page(), media_type=CONTENT_TYPE)

    api.add_api_route("/metrics", metrics, include_in_schema=False, response_model=None)
