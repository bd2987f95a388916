"""The time by which a fake carrier works: as on the wall, faster, or as the test says."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    def cancel(self) -> None: ...


class Pace:
    """Real time, ``speed`` times as fast. Moments are seconds since it was first asked."""

    def __init__(self, speed: float = 1.0) -> None:
        self._speed = speed
        self._zero_s: float | None = None

    def now_s(self) -> float:
        loop_s = asyncio.get_running_loop().time()
        if self._zero_s is None:
            self._zero_s = loop_s
        return (loop_s - self._zero_s) * self._speed

    def call_at(self, at_s: float, callback: Callable[[], object]) -> Timer:
        wait_s = max(0.0, (at_s - self.now_s()) / self._speed)
        return asyncio.get_running_loop().call_later(wait_s, callback)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds / self._speed))


class SteppedPace(Pace):
    """Time stands still until :meth:`advance`, which takes no longer than the work of it."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._waiting: list[tuple[float, int, _Stepped]] = []
        self._order = itertools.count()

    def now_s(self) -> float:
        return self._now_s

    def call_at(self, at_s: float, callback: Callable[[], object]) -> Timer:
        timer = _Stepped(callback)
        heapq.heappush(self._waiting, (at_s, next(self._order), timer))
        return timer

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return await asyncio.sleep(0)
        over = asyncio.get_running_loop().create_future()
        timer = self.call_at(self._now_s + seconds, lambda: over.done() or over.set_result(None))
        try:
            return await over
        finally:
            timer.cancel()

    async def advance(self, seconds: float) -> None:
        """What is due on the way happens in order; what it wakes gets a few turns of the event loop each time."""
        end_s = self._now_s + seconds
        while self._waiting and self._waiting[0][0] <= end_s:
            at_s, _, timer = heapq.heappop(self._waiting)
            if timer.callback is None:
                continue
            self._now_s = max(self._now_s, at_s)
            timer.callback()
            for _ in range(3):
                await asyncio.sleep(0)
        self._now_s = end_s
        await asyncio.sleep(0)


class _Stepped:
    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self.callback = None
