"""When the interpreter looks at everything there is, for what only refers to itself.

By itself it does so once a quarter has been added to what it looked at last: in the midst of calls, of which some more
have begun, and it takes a tenth of a second with some hundred of them going on. Here it does so while nobody is on, or
once there is a good deal more of everything. What is young is still looked at as ever, which is a matter of some
milliseconds.

How much there is is counted in pieces of memory that objects have. By the memory of the process it would be more each
time: that keeps what is freed, and the next garbage goes there before any of it shows.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from kallglot.clock import Clock

LOOK_SECONDS: Final = 5.0
QUIET_SECONDS: Final = 60.0
"""From one time to the next while nobody is on."""
MORE_PIECES: Final = 300_000
"""So many may not be used any more: with what libraries hold besides, some 40 MiB."""
PIECES_OF_A_LEG: Final = 1_000
"""Are in use by one that is on, with what was heard and may have to be heard again: no reason to look for garbage."""
NEVER: Final = 2**31 - 1


@dataclass(slots=True)
class Rounds:
    """When the last was, how many legs were on and how many pieces of memory in use after it. Pure."""

    at: float
    legs: int
    pieces: int

    def due(self, now: float, legs: int, pieces: int) -> bool:
        more = pieces - self.pieces - PIECES_OF_A_LEG * (legs - self.legs)
        return more >= MORE_PIECES or (legs == 0 and now - self.at >= QUIET_SECONDS)


@asynccontextmanager
async def kept(
    clock: Clock,
    legs: Callable[[], int],
    *,
    look_seconds: float = LOOK_SECONDS,
    pieces: Callable[[], int] = sys.getallocatedblocks,
) -> AsyncGenerator[None]:
    """While this is entered. What was imported and built until now lives as long as the process, and is not looked at
    any more."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(before[0], before[1], NEVER)
    last = Rounds(clock.monotonic(), legs(), pieces())
    keeping = asyncio.create_task(_keep(last, clock, legs, look_seconds, pieces), name="garbage")
    try:
        yield
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
        gc.set_threshold(*before)
        gc.unfreeze()


async def _keep(
    last: Rounds, clock: Clock, legs: Callable[[], int], look_seconds: float, pieces: Callable[[], int]
) -> None:
    while True:
        await asyncio.sleep(look_seconds)
        if last.due(clock.monotonic(), legs(), pieces()):
            gc.collect()
            last = Rounds(clock.monotonic(), legs(), pieces())
