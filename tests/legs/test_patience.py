import pytest

from kallglot.legs.patience import Allowance, BadMessages


def test_the_twentieth_bad_message_in_ten_seconds_is_too_many() -> None:
    bad = BadMessages()
    assert [bad.too_many(n * 0.5) for n in range(20)] == [False] * 19 + [True]


def test_bad_messages_spread_out_are_borne() -> None:
    bad = BadMessages()
    assert not any(bad.too_many(n * 0.6) for n in range(200))


def test_an_allowance_bears_a_burst_and_then_says_how_long_to_wait() -> None:
    allowance = Allowance(10, 5)
    assert [allowance.take(0.0) for _ in range(5)] == [0.0] * 5
    assert allowance.take(0.0) == pytest.approx(0.1)
    assert allowance.take(1.0) == 0.0
