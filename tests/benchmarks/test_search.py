"""The largest number of legs that holds, found with few tries."""

from __future__ import annotations

from benchmarks.media.search import held, next_try
from hypothesis import given
from hypothesis import strategies as st


def search(capacity: int, first: int, *, resolution: float = 0.05, most: int = 5000) -> dict[int, float]:
    tried: dict[int, float] = {}
    while (legs := next_try(tried, 20.0, first=first, most=most, resolution=resolution)) is not None:
        assert legs not in tried, "each number is tried once"
        assert legs % 2 == 0, "somebody would be alone in a session"
        tried[legs] = 1.0 if legs <= capacity else 100.0
    return tried


@given(st.integers(1, 4000), st.integers(1, 4000))
def test_it_comes_as_close_as_it_was_asked_to(capacity: int, first: int) -> None:
    tried = search(capacity, first)
    found = held(tried, 20.0)
    assert found <= capacity
    assert capacity - found <= max(2, 0.05 * capacity)
    assert len(tried) < 30


def test_nothing_holds() -> None:
    assert held(search(0, 100), 20.0) == 0


def test_it_ends_at_the_most_there_may_be() -> None:
    assert held(search(10_000, 100, most=500), 20.0) == 500


def test_what_held_above_what_failed_does_not_count() -> None:
    assert held({100: 5.0, 120: 30.0, 140: 5.0}, 20.0) == 100


def test_a_second_limit_goes_on_from_the_tries_for_the_first() -> None:
    assert next_try({100: 5.0, 160: 30.0, 105: 25.0}, 60.0, first=1, most=1000, resolution=0.05) == 224
