from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kallglot.accounts.credits import Period
from kallglot.billing.periods import add_months, allowance_for, months_between, period_at

MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))


def day(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}T10:30:00+00:00")


@pytest.mark.parametrize(
    ("anchor", "now", "start", "end"),
    [
        ("2026-01-15", "2026-01-15", "2026-01-15", "2026-02-15"),
        ("2026-01-15", "2026-03-14", "2026-02-15", "2026-03-15"),
        ("2026-01-31", "2026-02-27", "2026-01-31", "2026-02-28"),
        ("2026-01-31", "2026-02-28", "2026-02-28", "2026-03-31"),
        ("2026-01-31", "2026-03-31", "2026-03-31", "2026-04-30"),
        ("2024-01-31", "2024-02-29", "2024-02-29", "2024-03-31"),
        ("2024-02-29", "2025-02-28", "2025-02-28", "2025-03-29"),
        ("2026-12-31", "2027-01-01", "2026-12-31", "2027-01-31"),
    ],
)
def test_a_month_begins_on_the_anchors_day_or_the_last_there_is(anchor: str, now: str, start: str, end: str) -> None:
    assert period_at(day(anchor), day(now)) == Period(day(start), day(end))


def test_the_hour_counts_and_the_zone_does_not() -> None:
    anchor = day("2026-01-15")
    assert period_at(anchor, day("2026-02-15") - timedelta(microseconds=1)).start == anchor
    tokyo = anchor.astimezone(timezone(timedelta(hours=9)))
    assert period_at(tokyo, day("2026-02-15").astimezone(timezone(timedelta(hours=-8)))).start == day("2026-02-15")


@given(MOMENTS, st.integers(0, 1200), st.floats(0, 1, exclude_max=True))
def test_every_moment_is_in_one_period_and_the_next_begins_where_it_ends(
    anchor: datetime, months: int, part: float
) -> None:
    begun = add_months(anchor, months)
    now = begun + (add_months(anchor, months + 1) - begun) * part
    period = period_at(anchor, now)
    assert period.start <= now
    assert now < period.end or part > 0.999
    following = period_at(anchor, period.end)
    assert following.start == period.end
    assert timedelta(days=28) <= period.end - period.start <= timedelta(days=31)


@pytest.mark.parametrize(
    ("start", "end", "months"),
    [
        ("2026-01-31", "2026-02-28", 1),
        ("2026-01-31", "2026-02-27", 0),
        ("2026-03-01", "2027-03-01", 12),
        ("2026-03-01", "2026-02-01", 0),
    ],
)
def test_whole_months(start: str, end: str, months: int) -> None:
    assert months_between(day(start), day(end)) == months


def test_a_year_that_is_paid_at_once_has_twelve_months_credits_and_a_trial_one() -> None:
    assert allowance_for(1000, Period(day("2026-03-01"), day("2027-03-01"))) == 12_000
    assert allowance_for(1000, Period(day("2026-03-01"), day("2026-04-01"))) == 1000
    assert allowance_for(1000, Period(day("2026-03-01"), day("2026-03-15"))) == 1000
    assert allowance_for(None, Period(day("2026-03-01"), day("2026-04-01"))) == 0
