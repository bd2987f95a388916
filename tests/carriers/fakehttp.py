"""A small HTTP server whose every answer a test decides, and an SDK client of Twilio's that comes to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from twilio.http.async_http_client import AsyncTwilioHttpClient

from kallglot.carriers import attempts

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Asked:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    """A form as lists of values, or JSON."""


@dataclass
class FakeHttp:
    """``answers`` are taken one after the other, the last one again and again."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.content_type == "application/json":
            body: Any = await request.json()
        else:
            form = await request.post()
            body = {name: [str(one) for one in form.getall(name)] for name in form}
        self.asked.append(
            Asked(request.method, request.raw_path.partition("?")[0], dict(request.query), dict(request.headers), body)
        )
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(request)


@asynccontextmanager
async def served(*answers: Answer) -> AsyncIterator[FakeHttp]:
    fake = FakeHttp(answers=list(answers))
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    fake.url = f"http://{host}:{port}"
    try:
        yield fake
    finally:
        await runner.cleanup()


def gives(body: object, status: int = 200, **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, str):
            return web.Response(text=body, status=status, headers=named, content_type="text/html")
        return web.json_response(body, status=status, headers=named)

    return answer


async def hangs_up(request: web.Request) -> web.StreamResponse:
    """Takes the request, and closes without a word."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def never(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


def never_in_time(monkeypatch: pytest.MonkeyPatch) -> Answer:
    """Never answers; only the attempt that comes here is short."""
    monkeypatch.setattr(attempts, "ATTEMPT_SECONDS", 1.0)

    async def answer(request: web.Request) -> web.StreamResponse:
        monkeypatch.setattr(attempts, "ATTEMPT_SECONDS", 20.0)
        return await never(request)

    return answer


class Waits:
    """Instead of sleeping."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


class Redirected(AsyncTwilioHttpClient):
    """The SDK has no base address."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self.asked_for: list[str] = []

    async def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        self.asked_for.append(url)
        path = url.partition("://")[2].partition("/")[2]
        return await super().request(method, f"{self._url}/{path}", *args, **kwargs)
