"""When everything is looked at for what only refers to itself."""

from __future__ import annotations

import asyncio
import gc
import weakref

from kallglot import garbage
from kallglot.clock import FakeClock
from kallglot.garbage import MORE_PIECES, PIECES_OF_A_LEG, QUIET_SECONDS, Rounds


class Circle:
    def __init__(self) -> None:
        self.itself = self


def test_while_somebody_is_on_only_growth_counts() -> None:
    last = Rounds(at=100.0, legs=2, pieces=1000)
    assert not last.due(100.0 + 100 * QUIET_SECONDS, 2, 1000 + MORE_PIECES - 1)
    assert last.due(100.0, 2, 1000 + MORE_PIECES)


def test_what_legs_use_that_came_since_is_no_reason_and_what_those_leave_that_went_is() -> None:
    last = Rounds(at=100.0, legs=200, pieces=1000)
    assert not last.due(100.0, 500, 1000 + MORE_PIECES)
    assert last.due(100.0, 500, 1000 + MORE_PIECES + 300 * PIECES_OF_A_LEG)
    assert last.due(100.0, 20, 1000 + MORE_PIECES - 180 * PIECES_OF_A_LEG)


def test_while_nobody_is_on_it_is_a_matter_of_time() -> None:
    last = Rounds(at=100.0, legs=0, pieces=1000)
    assert not last.due(99.9 + QUIET_SECONDS, 0, 1000)
    assert last.due(100.0 + QUIET_SECONDS, 0, 1000)
    assert last.due(100.0, 0, 1000 + MORE_PIECES)


async def test_what_refers_to_itself_stays_until_it_is_due() -> None:
    clock, before = FakeClock(), gc.get_threshold()
    looked = asyncio.Event()

    def pieces() -> int:
        looked.set()
        return 1000

    async def look() -> None:
        looked.clear()
        await looked.wait()

    legs = 2
    async with garbage.kept(clock, lambda: legs, look_seconds=0.0, pieces=pieces):
        circle = Circle()
        gone = weakref.ref(circle)
        for _ in range(3):
            gc.collect(1)  # It has grown old.
        del circle
        # As much as makes a full collection due by itself, were it not for this.
        kept = [Circle() for _ in range(200_000)]
        clock.advance(10 * QUIET_SECONDS)
        await look()
        await look()
        assert gone() is not None
        legs = 0
        while gone() is not None:
            await look()
        del kept
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
