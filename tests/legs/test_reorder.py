import random

from hypothesis import given
from hypothesis import strategies as st

from kallglot.legs.reorder import DEPTH, Reorder


def through(numbers: list[int]) -> list[int]:
    order: Reorder[int] = Reorder()
    return [one for number in numbers for one in order.put(number, number)] + order.rest()


def test_in_order_nothing_waits() -> None:
    order: Reorder[int] = Reorder()
    assert [order.put(n, n) for n in range(7, 12)] == [[n] for n in range(7, 12)]


def test_one_that_was_overtaken_is_put_back() -> None:
    assert through([1, 3, 2, 4]) == [1, 2, 3, 4]
    order: Reorder[int] = Reorder()
    assert [order.put(n, n) for n in (1, 3, 2)] == [[1], [], [2, 3]]


def test_one_that_is_missing_is_not_waited_for_long() -> None:
    order: Reorder[int] = Reorder()
    ready = [order.put(n, n) for n in (1, 3, 4, 5, 6, 2)]
    assert ready == [[1], [], [], [3, 4, 5], [6], []]
    assert order.late == 1


def test_twice_is_once() -> None:
    assert through([1, 1, 2, 4, 4, 3, 5]) == [1, 2, 3, 4, 5]


def test_a_jump_is_gone_along_with() -> None:
    assert through([1, 2, 1000, 1001, 1002, 1003]) == [1, 2, 1000, 1001, 1002, 1003]


@given(st.integers(0, 10_000), st.lists(st.integers(0, 3), min_size=1, max_size=100))
def test_whatever_comes_goes_out_once_and_upwards(first: int, delays: list[int]) -> None:
    numbered = sorted((n + delay, n) for n, delay in enumerate(delays))
    out = through([first + n for _, n in numbered])
    assert out == sorted(set(out))


def test_a_little_disorder_costs_nothing() -> None:
    rng = random.Random(3)
    numbers = list(range(1000))
    for at in range(1, 998, 4):
        if rng.random() < 0.5:
            numbers[at], numbers[at + 1] = numbers[at + 1], numbers[at]
    assert through(numbers) == list(range(1000))
    assert DEPTH * 20 <= 60
