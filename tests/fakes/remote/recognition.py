"""A vendor's streaming recognition: it hears the words in the audio that it is sent, and fails as it is told to.

A vendor's fake gives the wire: what a client's message means, and how partials, finals and the rest are written.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import WSMsgType, web
from tests.fakes.remote.server import FakeServer, Fault
from tests.fakes.remote.words import Listener, Words

Message = str | bytes
Command = bytes | Literal["finish", "keepalive", "close"] | None
"""Audio, or what else a message means; None: nothing to answer (the vendor's hooks have done it)."""


@dataclass
class Session:
    """One connection. ``data`` is the vendor's own."""

    number: int
    request: web.Request
    socket: web.WebSocketResponse
    rate: int
    fault: Fault | None = None
    data: dict[str, Any] = field(default_factory=dict)
    heard_ms: float = 0.0
    keepalives: int = 0
    closed_well: bool = False

    def __post_init__(self) -> None:
        self.listener = Listener(self.rate)

    @property
    def what(self) -> str | None:
        return self.fault.what if self.fault else None


class FakeRecognition(FakeServer):
    path = "/listen"
    rate = 16000
    progress_ms = 500
    """So often it is told that silence was heard."""

    def __init__(self) -> None:
        super().__init__()
        self.sessions: list[Session] = []
        self.received_ms = 0.0

    # The vendor's wire

    def rate_of(self, request: web.Request) -> int:
        return self.rate

    def greeting(self, session: Session) -> Iterable[Message]:
        """Said when a connection is open."""
        return ()

    @abstractmethod
    def read(self, session: Session, message: Message) -> Command: ...

    def replies(self, session: Session, message: Message) -> Iterable[Message]:
        """To messages that are neither audio nor finish, such as a session update."""
        return ()

    @abstractmethod
    def partial(self, session: Session, words: Words) -> Iterable[Message]: ...

    @abstractmethod
    def final(self, session: Session, words: Words) -> Iterable[Message]: ...

    def progress(self, session: Session, until_ms: int) -> Iterable[Message]:
        return ()

    def flushed(self, session: Session, until_ms: int) -> Iterable[Message]:
        """After the final that a finish brought forth; also where there was nothing."""
        return ()

    # What all have in common

    def routes(self) -> None:
        self.app.router.add_get(self.path, self._connected)

    async def _connected(self, request: web.Request) -> web.StreamResponse:
        asked = await self.take(request)
        fault = self.fault()
        if fault is not None and fault.what == "refuse":
            return self.refusal(fault, asked)
        socket = web.WebSocketResponse(timeout=0.1, max_msg_size=0, compress=False)
        await socket.prepare(request)
        self.connections += 1
        session = Session(self.connections, request, socket, self.rate_of(request), fault)
        self.sessions.append(session)
        try:
            await self._talk(session)
        except (ConnectionError, RuntimeError, asyncio.CancelledError):
            if not socket.closed and request.transport is not None and not request.transport.is_closing():
                raise
        return socket

    async def _talk(self, session: Session) -> None:
        await self._say(session, self.greeting(session))
        async for message in session.socket:
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                continue
            data = message.data if message.type == WSMsgType.TEXT else bytes(message.data)
            command = self.read(session, data)
            if isinstance(command, bytes):
                if not await self._hear(session, command):
                    return
            elif command == "finish":
                await self._finish(session)
            elif command == "keepalive":
                session.keepalives += 1
            elif command == "close":
                session.closed_well = True
                await session.socket.close()
                return
            else:
                await self._say(session, self.replies(session, data))

    async def _hear(self, session: Session, pcm: bytes) -> bool:
        ms = len(pcm) / 2 * 1000 / session.rate
        before = session.heard_ms
        session.heard_ms += ms
        self.received_ms += ms
        for words in session.listener.feed(pcm):
            await self._tell(session, words)
        quiet = not session.listener.speaking
        if quiet and int(before // self.progress_ms) != int(session.heard_ms // self.progress_ms):
            await self._say(session, self.progress(session, session.listener.now_ms))
        if session.what == "drop" and session.fault is not None and session.heard_ms >= session.fault.after:
            self.reached.set()
            assert session.request.transport is not None
            session.request.transport.abort()
            return False
        return True

    async def _finish(self, session: Session) -> None:
        for words in session.listener.finish():
            await self._tell(session, words)
        await self._say(session, self.flushed(session, session.listener.now_ms))

    async def _tell(self, session: Session, words: Words) -> None:
        if not words.over:
            await self._say(session, self.partial(session, words))
            return
        if session.what == "slow":
            await self.held()
        await self._say(session, self.final(session, words))
        if session.what == "stale":
            await self._say(session, self.partial(session, words))
        if session.what == "twice":
            last = session.data.get("last")
            if last is not None:
                await self._say(session, self.final(session, last))
            session.data["last"] = words

    async def _say(self, session: Session, messages: Iterable[Message]) -> None:
        if session.what == "silent" and session.fault is not None and session.heard_ms >= session.fault.after:
            self.reached.set()
            return
        for message in messages:
            if session.what == "garbage":
                for junk in ('{"type":"never heard of"}', "no json {", "[]", '"ü"', b"\x00\x01\xff", "null", "{}"):
                    await _send(session.socket, junk)
            if session.what == "split" and isinstance(message, str):
                await _send_split(session, message)
                continue
            for _ in range(2 if session.what == "twice" else 1):
                await _send(session.socket, message)


async def _send(socket: web.WebSocketResponse, message: Message) -> None:
    with contextlib.suppress(ConnectionError):
        await (socket.send_str(message) if isinstance(message, str) else socket.send_bytes(message))


async def _send_split(session: Session, message: str) -> None:
    """In frames of five bytes (RFC 6455, section 5.4), which cut characters in two."""
    data = message.encode()
    pieces = [data[at : at + 5] for at in range(0, len(data), 5)]
    transport = session.request.transport
    if transport is None:
        return
    for number, piece in enumerate(pieces):
        last = number == len(pieces) - 1
        transport.write(struct.pack("!BB", (0x80 if last else 0) | (0 if number else 1), len(piece)) + piece)
