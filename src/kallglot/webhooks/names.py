"""Names of hosts, looked up on threads of their own: a name whose servers are dead stops nobody else's lookups."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

THREADS: Final = 32
LIMIT_SECONDS: Final = 5.0
FAILED_SECONDS: Final = 10.0
MOST_FAILED: Final = 4096


class UnknownName(Exception):
    """In words that may be shown to the customer."""


class Names:
    """A name is looked up once at a time, whoever asks meanwhile waits for the same; one that failed, or took longer
    than ``limit_s``, counts as failed for ``failed_s``. No more than ``threads`` names at once: resolvers hold a
    thread for as long as they like."""

    def __init__(
        self,
        *,
        threads: int = THREADS,
        limit_s: float = LIMIT_SECONDS,
        failed_s: float = FAILED_SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit_s = limit_s
        self._now = now
        self._failed_s = failed_s
        self._room = asyncio.Semaphore(threads)
        self._running: dict[str, asyncio.Future[list[str] | None]] = {}
        self._failed: OrderedDict[str, float] = OrderedDict()
        """Until when."""

    async def addresses(self, host: str) -> list[str]:
        """One at least. Raises :class:`UnknownName`."""
        literal = _found(host, socket.AI_NUMERICHOST)
        if literal is not None:
            # Asks nobody.
            return literal
        name = host.lower()
        if self._failed.get(name, 0.0) > self._now():
            raise UnknownName("The name of the host leads nowhere.")
        try:
            async with asyncio.timeout(self._limit_s):
                lookup = await self._lookup(name)
        except TimeoutError:
            # Which says nothing of this one.
            raise UnknownName("The name of the host could not be looked up in time.") from None
        try:
            async with asyncio.timeout(self._limit_s):
                found = await asyncio.shield(lookup)
        except TimeoutError:
            self._fail(name)
            raise UnknownName("The name of the host could not be looked up in time.") from None
        if not found:
            raise UnknownName("The name of the host leads nowhere.")
        return found

    async def _lookup(self, name: str) -> asyncio.Future[list[str] | None]:
        running = self._running.get(name)
        if running is not None:
            return running
        await self._room.acquire()
        running = self._running.get(name)
        if running is not None:
            self._room.release()
            return running
        loop = asyncio.get_running_loop()
        running = loop.create_future()
        # Not an executor's: the end of the process waits for those.
        try:
            threading.Thread(target=_look_up, args=(name, loop, running), name="name lookup", daemon=True).start()
        except RuntimeError:
            self._room.release()
            raise UnknownName("The name of the host could not be looked up: too much is going on.") from None
        self._running[name] = running
        running.add_done_callback(lambda done: self._ended(name, done))
        return running

    def _ended(self, name: str, done: asyncio.Future[list[str] | None]) -> None:
        del self._running[name]
        self._room.release()
        if done.result():
            # Also one that came too late: the next lookup may well be answered at once.
            self._failed.pop(name, None)
        else:
            self._fail(name)

    def _fail(self, name: str) -> None:
        self._failed[name] = self._now() + self._failed_s
        self._failed.move_to_end(name)
        if len(self._failed) > MOST_FAILED:
            self._failed.popitem(last=False)


def _look_up(name: str, loop: asyncio.AbstractEventLoop, answer: asyncio.Future[list[str] | None]) -> None:
    found = _found(name)
    with contextlib.suppress(RuntimeError):
        # Nobody is left to be told when the loop is closed.
        loop.call_soon_threadsafe(answer.set_result, found)


def _found(name: str, flags: int = 0) -> list[str] | None:
    try:
        return [str(one[4][0]) for one in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=flags)]
    except (OSError, UnicodeError):
        return None
