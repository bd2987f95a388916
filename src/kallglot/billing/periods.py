"""Billing periods: calendar months, counted from the day on which they first began."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime

from kallglot.accounts.credits import Period


def add_months(moment: datetime, months: int) -> datetime:
    """The same day so many months later, or the last of that month where it is shorter."""
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    day = min(moment.day, calendar.monthrange(year, month + 1)[1])
    return moment.replace(year=year, month=month + 1, day=day)


def months_between(start: datetime, end: datetime) -> int:
    """Whole calendar months in UTC from ``start`` to ``end``, 0 where there is none."""
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    months = (end.year - start.year) * 12 + end.month - start.month
    if add_months(start, months) > end:
        months -= 1
    return max(0, months)


def period_at(anchor: datetime, now: datetime) -> Period:
    """The month around ``now``. Each begins on the anchor's day and hour, so that one that began on the 31st begins on
    the 28th of February and on the 31st of March."""
    anchor = anchor.astimezone(UTC)
    number = months_between(anchor, now)
    return Period(add_months(anchor, number), add_months(anchor, number + 1))


def allowance_for(credits_a_month: int | None, period: Period) -> int:
    """Of a period that was paid at once: twelve months' credits for a year, one month's for anything under two."""
    return (credits_a_month or 0) * max(1, months_between(period.start, period.end))
