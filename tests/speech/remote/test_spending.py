import asyncio
from datetime import timedelta

import pytest

from kallglot.clock import FakeClock
from kallglot.speech.remote.config import Budget
from kallglot.speech.remote.spending import Spending
from kallglot.speech.types import EngineError


async def test_places_are_given_in_order() -> None:
    spending = Spending("acme", Budget(at_once=1, waiting=5, wait_s=30), FakeClock())
    served: list[int] = []
    go = asyncio.Event()

    async def work(number: int) -> None:
        async with spending.place():
            served.append(number)
            await go.wait()

    tasks = [asyncio.create_task(work(number)) for number in range(4)]
    await asyncio.sleep(0)
    assert (spending.running, spending.waiting) == (1, 3)
    tasks[1].cancel()
    go.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert served == [0, 2, 3]
    assert (spending.running, spending.waiting) == (0, 0)


async def test_waiting_is_bounded() -> None:
    spending = Spending("acme", Budget(at_once=1, waiting=1, wait_s=0.01), FakeClock())
    async with spending.place():

        async def wait() -> None:
            async with spending.place():
                raise AssertionError

        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)
        with pytest.raises(EngineError, match="acme: 1 requests are under way and 1 wait"):
            await wait()
        with pytest.raises(EngineError, match="no place got free"):
            await waiting
        with pytest.raises(EngineError, match="all 1 streams"), spending.place_at_once():
            raise AssertionError
    assert (spending.running, spending.waiting) == (0, 0)
    with spending.place_at_once():
        assert spending.running == 1
    assert spending.running == 0


async def test_a_place_handed_to_who_just_left_goes_on() -> None:
    spending = Spending("acme", Budget(at_once=1), FakeClock())
    first = spending.place()
    await first.__aenter__()
    leaving = asyncio.create_task(spending.place().__aenter__())
    await asyncio.sleep(0)
    await first.__aexit__(None, None, None)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert spending.running == 0


def test_a_day_is_used_up_and_begins_anew() -> None:
    clock = FakeClock()
    spending = Spending("acme", Budget(seconds_a_day=10, characters_a_day=5), clock)
    spending.spend_characters(5)
    with pytest.raises(EngineError, match="the 5 characters for today are used up") as caught:
        spending.spend_characters(1)
    assert caught.value.passing
    assert caught.value.retry_after_s == 13 * 3600
    spending.spend_seconds(9.5)
    spending.spend_seconds(1)
    with pytest.raises(EngineError, match="the 10 seconds of audio for today are used up"):
        spending.spend_seconds(0)
    clock.advance(13 * 3600)
    spending.spend_characters(5)
    spending.spend_seconds(1)
    assert (spending.seconds_today, spending.characters_today) == (1, 5)


def test_a_clock_that_is_put_back_over_midnight_makes_no_new_day() -> None:
    class Putback(FakeClock):
        def put_back(self, seconds: float) -> None:
            self._now -= timedelta(seconds=seconds)

    clock = Putback()
    clock.advance(13 * 3600 + 1)
    spending = Spending("acme", Budget(characters_a_day=5), clock)
    spending.spend_characters(5)
    clock.put_back(2)
    with pytest.raises(EngineError, match="used up"):
        spending.spend_characters(1)
    # One that was far ahead is not believed for ever.
    clock.put_back(3 * 86400)
    spending.spend_characters(5)
