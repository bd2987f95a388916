"""When deliveries come again, and what their endpoint is thought of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kallglot.webhooks.schedule import (
    ATTEMPTS,
    GIVEN_UP_AFTER,
    LONGEST_REST,
    WELL,
    Health,
    delay_after,
    judge,
    rest_after,
    retry_after,
)

NOW = datetime(2026, 3, 26, 11, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def after(status: int | None, attempts: int = 1, health: Health = WELL, jitter: float = 0.0, **headers: str):
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return judge(status, given, attempts, health, NOW, jitter)


def test_eight_attempts_at_the_documented_times() -> None:
    """The table of the documentation: 0, ~1 min, ~5 min, ~30 min, ~2 h, ~5 h, ~10 h, ~24 h; about 41 h in all."""
    delays = [delay_after(attempts, 0.0) for attempts in range(1, 9)]
    minutes = [None if delay is None else delay.total_seconds() / 60 for delay in delays]
    assert minutes == [1, 5, 30, 120, 300, 600, 1440, None]
    assert ATTEMPTS == 8
    assert 41 < sum(one for one in minutes if one is not None) / 60 < 42


@given(st.floats(-1, 1), st.integers(1, 7))
def test_jitter_is_a_tenth(jitter: float, attempts: int) -> None:
    middle, delay = delay_after(attempts, 0.0), delay_after(attempts, jitter)
    assert middle is not None
    assert delay is not None
    assert abs(delay - middle) <= middle * 0.1 + timedelta(microseconds=1)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_success_is_2xx_and_makes_well(status: int) -> None:
    verdict = after(status, health=Health(40, NOW - 30 * DAY, NOW))
    assert (verdict.status, verdict.next_attempt_at, verdict.health, verdict.disable) == ("delivered", None, WELL, None)


@pytest.mark.parametrize("status", [None, 100, 101, 199, 300, 301, 302, 307, 308, 400, 401, 404, 418, 500, 502, 599])
def test_everything_else_comes_again(status: int | None) -> None:
    verdict = after(status)
    assert (verdict.status, verdict.next_attempt_at) == ("pending", NOW + timedelta(minutes=1))
    assert (verdict.health.failures, verdict.health.failing_since, verdict.disable) == (1, NOW, None)


def test_after_the_last_attempt_it_has_failed() -> None:
    assert after(500, attempts=7).status == "pending"
    verdict = after(500, attempts=8)
    assert (verdict.status, verdict.next_attempt_at, verdict.disable) == ("failed", None, None)


def test_who_is_gone_is_not_asked_again() -> None:
    verdict = after(410)
    assert (verdict.status, verdict.next_attempt_at, verdict.disable) == ("failed", None, "gone")


def test_five_days_of_nothing_but_failure() -> None:
    almost = Health(90, NOW - GIVEN_UP_AFTER + timedelta(seconds=1))
    assert after(500, health=almost).disable is None
    verdict = after(500, health=Health(90, NOW - GIVEN_UP_AFTER))
    assert (verdict.status, verdict.disable) == ("failed", "failing")
    assert after(None, health=Health(90, NOW - GIVEN_UP_AFTER)).disable == "failing"
    assert after(200, health=Health(90, NOW - GIVEN_UP_AFTER)).disable is None


def test_an_endpoint_rests_from_the_fifth_failure_in_a_row() -> None:
    health, rests = WELL, []
    for _ in range(12):
        health = after(503, health=health).health
        rests.append(None if health.resting_until is None else (health.resting_until - NOW).total_seconds())
    assert rests == [None, None, None, None, 2, 4, 8, 16, 32, 60, 60, 60]
    assert rest_after(10**9) == LONGEST_REST


def test_who_refuses_a_delivery_but_is_there_does_not_rest() -> None:
    health = WELL
    for _ in range(20):
        health = after(400, health=health).health
    assert health.resting_until is None
    assert health.failures == 20


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_delays_the_delivery_and_the_endpoint(status: int) -> None:
    verdict = after(status, retry_after="600")
    assert verdict.next_attempt_at == verdict.health.resting_until == NOW + timedelta(minutes=10)
    short = after(status, retry_after="5")
    assert short.next_attempt_at == NOW + timedelta(minutes=1)
    assert short.health.resting_until == NOW + timedelta(seconds=5)
    tired = after(status, health=Health(30, NOW), retry_after="5")
    assert tired.health.resting_until == NOW + LONGEST_REST


@pytest.mark.parametrize("status", [200, 302, 400, 500, 502])
def test_others_may_not_ask_for_time(status: int) -> None:
    assert after(status, retry_after="600").health.resting_until is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", None),
        ("-5", None),
        ("1", 1),
        (" 120 ", 120),
        ("86400", 86400),
        ("86401", 86400),
        ("9" * 5000, 86400),
        ("1.5", None),
        ("١٢٠", None),
        ("soon", None),
        ("", None),
        ("Fri, 99 Foo 2026 11:10:00 GMT", None),
        (format_datetime(NOW + timedelta(minutes=10), usegmt=True), 600),
        (format_datetime(NOW + timedelta(days=300), usegmt=True), 86400),
        (format_datetime(NOW - timedelta(minutes=1), usegmt=True), None),
        ("Thu, 26 Mar 2026 11:10:00 -0000", 600),
        ("Thu, 26 Mar 99999 11:10:00 GMT", None),
        (None, None),
    ],
)
def test_what_may_stand_in_retry_after(value: str | None, seconds: int | None) -> None:
    found = retry_after(value, NOW)
    assert found == (None if seconds is None else timedelta(seconds=seconds))


@given(
    st.lists(st.sampled_from([None, 200, 302, 400, 429, 500, 503]), min_size=1, max_size=60),
    st.floats(-1, 1),
    st.text(max_size=40) | st.none(),
)
def test_whatever_an_endpoint_does(answers: list[int | None], jitter: float, asked: str | None) -> None:
    """Nothing is asked for before now, or later than in a day and a tenth; a success forgets everything."""
    health, headers = WELL, {} if asked is None else {"retry-after": asked}
    for attempts, status in enumerate(answers, 1):
        verdict = judge(status, headers, attempts, health, NOW, jitter)
        health = verdict.health
        assert (verdict.next_attempt_at is None) == (verdict.status != "pending")
        if verdict.next_attempt_at is not None:
            assert NOW < verdict.next_attempt_at <= NOW + 1.1 * DAY
        assert health.resting_until is None or NOW < health.resting_until <= NOW + DAY
        assert (health == WELL) == (status == 200)


def test_rests_only_grow() -> None:
    rests = [rest for n in range(1, 200) if (rest := rest_after(n)) is not None]
    assert all(one <= other for one, other in pairwise(rests))
