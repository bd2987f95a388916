from __future__ import annotations

import pytest

from kallglot.speech.failover.rests import LONGEST_S, Rests
from kallglot.speech.types import EngineError

KEY = ("recognition", "a")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Engine:
    healthy = True


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rests(clock: Clock) -> Rests:
    return Rests(clock)


def test_an_engine_that_fails_rests_longer_each_time(clock: Clock, rests: Rests) -> None:
    for seconds in (2, 4, 8, 16, 32, 60, 60):
        assert rests.ready(KEY, object())
        rests.trying(KEY)
        rests.failed(KEY, "no")
        clock.now += seconds - 0.1
        assert not rests.ready(KEY, object())
        clock.now += 0.1
    assert rests.ready(KEY, object())
    rests.well(KEY)
    rests.failed(KEY, "no")
    clock.now += 2
    assert rests.ready(KEY, object())


def test_a_hundred_calls_that_lose_it_at_once_are_one_failure(clock: Clock, rests: Rests) -> None:
    for _ in range(100):
        rests.failed(KEY, "no")
    assert rests.down(KEY) is None
    clock.now += 2
    assert rests.ready(KEY, object())


def test_one_tries_and_the_others_wait_for_what_becomes_of_it(clock: Clock, rests: Rests) -> None:
    rests.failed(KEY, "no")
    clock.now += 2
    assert rests.ready(KEY, object())
    rests.trying(KEY)
    assert not rests.ready(KEY, object())
    rests.failed(KEY, "still not")
    assert rests.down(KEY) == "still not"
    clock.now += 4
    rests.trying(KEY)
    rests.well(KEY)
    assert rests.ready(KEY, object())
    assert rests.down(KEY) is None


def test_what_an_engine_says_of_itself(clock: Clock, rests: Rests) -> None:
    engine = Engine()
    engine.healthy = False
    assert not rests.ready(KEY, engine)
    rests.failed(KEY, EngineError("busy", retry_after_s=20))
    clock.now += 19.9
    assert not rests.ready(KEY, object())
    clock.now += 0.1
    assert rests.ready(KEY, object())
    rests.failed(KEY, EngineError("wrong key", passing=False))
    clock.now += LONGEST_S - 0.1
    assert not rests.ready(KEY, object())


def test_a_request_that_was_wrong_says_nothing_of_the_engine(rests: Rests) -> None:
    error = EngineError("too long")
    error.blame = "request"  # type: ignore[attr-defined]
    rests.failed(KEY, error)
    assert rests.ready(KEY, object())
