"""Work in batches: what is asked for while one batch is worked on goes into the next."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

log = logging.getLogger(__name__)

Asked = TypeVar("Asked")
Got = TypeVar("Got")

FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 2.0


class Gathering(Generic[Asked, Got]):
    """A batch that fails is tried again, later and in smaller pieces, so that nothing that can be done waits for ever
    behind what cannot. Who asks bounds how much is asked for. ``gap_s`` lies between two batches, so that under
    load they are few and large."""

    def __init__(
        self, name: str, work: Callable[[list[Asked]], Awaitable[Sequence[Got]]], most: int, *, gap_s: float = 0.0
    ) -> None:
        self._name = name
        self._work = work
        self._most = most
        self._gap_s = gap_s
        self._waiting: deque[tuple[Asked, asyncio.Future[Got]]] = deque()
        self._some = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=self._name)

    async def close(self, within_s: float) -> None:
        """Does what was asked for, as far as the time goes."""
        if self._task is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._idle.wait()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for _, future in self._waiting:
            future.cancel()
        self._waiting.clear()

    def ask(self, what: Asked) -> asyncio.Future[Got]:
        future: asyncio.Future[Got] = asyncio.get_running_loop().create_future()
        self._waiting.append((what, future))
        self._idle.clear()
        self._some.set()
        return future

    async def _run(self) -> None:
        size, pause = self._most, FIRST_PAUSE_S
        while True:
            await self._some.wait()
            batch = [self._waiting.popleft() for _ in range(min(size, len(self._waiting)))]
            try:
                got = await self._work([what for what, _ in batch])
            except asyncio.CancelledError:
                self._waiting.extendleft(reversed(batch))
                raise
            except Exception as error:
                log.warning("%s: %d of %d wait: %s", self._name, len(batch), len(self._waiting), type(error).__name__)
                self._waiting.extend(batch)
                size = max(1, min(size, len(batch)) // 2)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
                continue
            size, pause = min(2 * size, self._most), FIRST_PAUSE_S
            for (_, future), result in zip(batch, got, strict=True):
                if not future.done():
                    future.set_result(result)
            if not self._waiting:
                self._some.clear()
                self._idle.set()
            if self._gap_s and len(self._waiting) < size:
                await asyncio.sleep(self._gap_s)
