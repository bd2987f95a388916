"""When the interpreter looks at everything there is, for what only refers to itself.

By itself it does so once a quarter has been added to what it looked at last: in the midst of calls, of which some more
have begun, and it takes a tenth of a second with some hundred of them going on. Here it does so while nobody is on, or
once memory has grown by a good deal. What is young is still looked at as ever, which is a matter of some milliseconds.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from kallglot.clock import Clock

LOOK_SECONDS: Final = 5.0
QUIET_SECONDS: Final = 60.0
"""From one time to the next while nobody is on."""
GROWN_BYTES: Final = 64 * 2**20
"""What is not used any more may be as much; a session that was let go of leaves some 400 objects."""
NEVER: Final = 2**31 - 1


@dataclass(slots=True)
class Rounds:
    """When the last was, and what memory the process had after it. Pure."""

    at: float
    resident: int

    def due(self, now: float, legs: int, resident: int) -> bool:
        return resident - self.resident >= GROWN_BYTES or (legs == 0 and now - self.at >= QUIET_SECONDS)


@asynccontextmanager
async def kept(
    clock: Clock,
    legs: Callable[[], int],
    *,
    look_seconds: float = LOOK_SECONDS,
    resident: Callable[[], int] | None = None,
) -> AsyncGenerator[None]:
    """While this is entered. What was imported and built until now lives as long as the process, and is not looked at
    any more."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(before[0], before[1], NEVER)
    resident = resident or resident_bytes
    last = Rounds(clock.monotonic(), resident())
    keeping = asyncio.create_task(_keep(last, clock, legs, look_seconds, resident), name="garbage")
    try:
        yield
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
        gc.set_threshold(*before)
        gc.unfreeze()


async def _keep(
    last: Rounds, clock: Clock, legs: Callable[[], int], look_seconds: float, resident: Callable[[], int]
) -> None:
    while True:
        await asyncio.sleep(look_seconds)
        if last.due(clock.monotonic(), legs(), resident()):
            gc.collect()
            last = Rounds(clock.monotonic(), resident())


def resident_bytes() -> int:
    """What of the process is in memory (proc(5)); on macOS, which does not tell, its most until now (getrusage(2))."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
