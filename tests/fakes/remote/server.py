"""A vendor's server over real sockets, and how it fails. Vendors' fakes add routes that answer as documented."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

What = Literal["refuse", "drop", "silent", "slow", "twice", "stale", "garbage", "split", "empty"]


@dataclass(frozen=True)
class Fault:
    """``refuse``: answers ``status`` with ``headers``. ``drop``: breaks the connection off after ``after`` ms of audio,
    or after half of the answer. ``silent``: takes everything and says nothing, from ``after`` ms of audio on. ``slow``:
    what matters (the final, the first byte) waits for ``FakeServer.release``. ``twice``: tells everything twice, and
    the last utterance again later. ``stale``: tells the utterance's partials once more after its final. ``garbage``:
    says things that are no messages. ``split``: cuts its text in the middle of characters. ``empty``: answers with
    nothing."""

    what: What
    status: int = 500
    after: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """``pieces`` are sent one by one."""

    pieces: Sequence[bytes] | AsyncIterator[bytes]
    content_type: str = "application/json"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Respond = Callable[[Asked, web.Request], Awaitable[Reply]]


class FakeServer:
    """``plan`` is what befalls the next requests, one fault for each; ``always`` what befalls all others."""

    def __init__(self) -> None:
        self.app = web.Application(client_max_size=32 * 1024 * 1024)
        self.plan: deque[Fault | None] = deque()
        self.always: Fault | None = None
        self.asked: list[Asked] = []
        self.release = asyncio.Event()
        self.reached = asyncio.Event()
        """A fault took effect: somebody waits for ``release``, or for ever."""
        self.url = ""
        self.connections = 0
        self._gone = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self.routes()

    def routes(self) -> None:
        """Vendors add theirs here."""

    def fail_next(self, *faults: Fault | None) -> None:
        """What befalls the next requests, in order; None: nothing."""
        self.plan.extend(faults)

    @property
    def ws_url(self) -> str:
        return self.url.replace("http://", "ws://")

    def fault(self) -> Fault | None:
        return self.plan.popleft() if self.plan else self.always

    def refusal(self, fault: Fault, asked: Asked) -> web.Response:
        """As the vendor refuses; quoting the key, as they do."""
        key = asked.headers.get("Authorization", "") or asked.headers.get("Api-Key", "")
        body = {"error": {"message": f"no: {key}", "code": "refused", "type": "error"}}
        return web.json_response(body, status=fault.status, headers=dict(fault.headers))

    def route(self, method: str, path: str, respond: Respond) -> None:
        """An exchange over HTTP, with all faults."""

        async def handle(request: web.Request) -> web.StreamResponse:
            asked = await self.take(request)
            return await self._answer(request, asked, respond)

        self.app.router.add_route(method, path, handle)

    async def take(self, request: web.Request) -> Asked:
        body = b"" if request.headers.get("Upgrade") else await request.read()
        asked = Asked(request.method, request.path, request.headers, dict(request.query), body)
        self.asked.append(asked)
        return asked

    async def __aenter__(self) -> FakeServer:
        self._runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._gone.set()
        self.release.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def gone(self) -> None:
        """Until the server ends."""
        self.reached.set()
        await self._gone.wait()

    async def held(self) -> None:
        self.reached.set()
        await self.release.wait()

    async def _answer(self, request: web.Request, asked: Asked, respond: Respond) -> web.StreamResponse:
        fault = self.fault()
        what = fault.what if fault else None
        if fault is not None and what == "refuse":
            return self.refusal(fault, asked)
        if what == "silent":
            await self.gone()
            return web.Response()
        if what == "slow":
            await self.held()
        reply = await respond(asked, request)
        pieces = [piece async for piece in reply.pieces] if isinstance(reply.pieces, AsyncIterator) else reply.pieces
        body = b"".join(pieces)
        if what == "garbage":
            body, pieces = b"", [b"\x00\xff<html>\r\n", b"{]\xfe\n\n"]
        elif what == "empty":
            pieces = []
        elif what == "split":
            pieces = [body[at : at + 3] for at in range(0, len(body), 3)]
        response = web.StreamResponse(status=reply.status, headers=dict(reply.headers))
        response.content_type = reply.content_type
        if what == "drop":
            response.content_length = len(body)
            pieces = [body[: len(body) // 2]]
        await response.prepare(request)
        for piece in pieces:
            with contextlib.suppress(ConnectionError):
                await response.write(piece)
        if what == "drop":
            self.reached.set()
            assert request.transport is not None
            request.transport.abort()
            return response
        with contextlib.suppress(ConnectionError):
            await response.write_eof()
        return response


def json_reply(document: Any, **changes: Any) -> Reply:
    import json

    return Reply([json.dumps(document, ensure_ascii=False).encode()], **changes)


def events_reply(*events: Any, done: str | None = "[DONE]") -> Reply:
    """Server-sent events of JSON documents."""
    import json

    lines = [f"data: {json.dumps(event, ensure_ascii=False)}\n\n".encode() for event in events]
    return Reply([*lines, *([f"data: {done}\n\n".encode()] if done else [])], "text/event-stream")
