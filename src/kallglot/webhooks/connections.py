"""One connection to somebody's server, for one request after the other."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final, cast

from kallglot.webhooks.http1 import Answer, BadAnswer, Reader

CONNECT_SECONDS: Final = 5.0


class Stale(Exception):
    """The connection had been used before, and was closed before a byte of the answer came."""


class Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.idle_since = 0.0
        self._transport: asyncio.Transport | None = None
        self._reader: Reader | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._requests = 0
        self._usable = True

    @classmethod
    async def open(cls, address: str, port: int, host: str, tls: ssl.SSLContext | None, within_s: float) -> Connection:
        """To a numeric ``address``; ``host`` is whose certificate is expected. Raises ``OSError``, ``TimeoutError``."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(within_s):
            _, made = await loop.create_connection(
                cls, address, port, ssl=tls, server_hostname=None if tls is None else host.rstrip(".")
            )
        return made

    @property
    def usable(self) -> bool:
        return self._usable and self._transport is not None and not self._transport.is_closing()

    async def exchange(self, request: bytes) -> Answer:
        """Raises :class:`Stale`, :class:`BadAnswer`; when it is cancelled the connection is over."""
        if self._transport is None or not self.usable:
            raise Stale
        self._requests += 1
        self._reader = Reader()
        self._waiting = asyncio.get_running_loop().create_future()
        try:
            self._transport.write(request)
            answer = await self._waiting
        except BaseException:
            self.close()
            raise
        self._usable = self._reader.reusable
        self._waiting = None
        return answer

    def close(self) -> None:
        self._usable = False
        if self._transport is not None:
            # A peer that reads nothing must not keep what we wrote.
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is none by its class.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._waiting is None or self._waiting.done() or self._reader is None:
            # Nobody asked.
            self.close()
            return
        try:
            self._reader.feed(data)
        except BadAnswer as error:
            self._waiting.set_exception(error)
            self.close()
            return
        if self._reader.answer is not None:
            self._waiting.set_result(self._reader.answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._usable = False
        if self._waiting is None or self._waiting.done() or self._reader is None:
            return
        if not self._reader.begun and self._requests > 1:
            self._waiting.set_exception(Stale())
            return
        try:
            self._reader.end()
        except BadAnswer as error:
            self._waiting.set_exception(error)
        else:
            assert self._reader.answer is not None
            self._waiting.set_result(self._reader.answer)
