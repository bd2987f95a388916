"""When a delivery is attempted, what becomes of it after, and what that says of its endpoint.

A delivery that failed steps aside: it comes again on its own schedule, and later ones don't wait for it. An endpoint
that fails again and again rests as a whole: what waits for it burns no attempts, and one delivery at a time asks
whether it is back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from kallglot.webhooks.model import DeliveryStatus, DisabledReason

DELAYS_S: Final = (60, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 24 * 3600)
"""Behind the first attempt, the second …"""
ATTEMPTS: Final = len(DELAYS_S) + 1
JITTER: Final = 0.1
FAILURES_BEFORE_REST: Final = 5
LONGEST_REST: Final = timedelta(seconds=60)
LONGEST_RETRY_AFTER: Final = timedelta(hours=24)
GIVEN_UP_AFTER: Final = timedelta(days=5)

_GONE: Final = 410
_ASKS_FOR_TIME: Final = (429, 503)


@dataclass(frozen=True, slots=True)
class Health:
    """What is known of an endpoint. ``failures`` are in a row."""

    failures: int = 0
    failing_since: datetime | None = None
    resting_until: datetime | None = None

    def rests(self, now: datetime) -> bool:
        return self.resting_until is not None and self.resting_until > now


WELL: Final = Health()


@dataclass(frozen=True, slots=True)
class Verdict:
    """``disable``: nothing is sent to the endpoint any more, and why."""

    status: DeliveryStatus
    next_attempt_at: datetime | None
    health: Health
    disable: DisabledReason | None = None


def judge(
    status: int | None,
    headers: Mapping[str, str],
    attempts: int,
    health: Health,
    now: datetime,
    jitter: float,
) -> Verdict:
    """After an attempt that ended ``now``. ``status`` None: there was no answer. ``attempts`` counts this one too;
    ``jitter`` is from -1 to 1; the names of ``headers`` are lower-case."""
    if status is not None and 200 <= status < 300:
        return Verdict("delivered", None, WELL)
    pause = retry_after(headers.get("retry-after"), now) if status in _ASKS_FOR_TIME else None
    worse = _worse(status, health, now, pause)
    if status == _GONE:
        return Verdict("failed", None, worse, "gone")
    since = worse.failing_since
    given_up = since is not None and now - since >= GIVEN_UP_AFTER
    delay = delay_after(attempts, jitter)
    if given_up or delay is None:
        return Verdict("failed", None, worse, "failing" if given_up else None)
    return Verdict("pending", now + max(delay, pause or delay), worse)


def delay_after(attempts: int, jitter: float) -> timedelta | None:
    """None after the last one."""
    if attempts >= ATTEMPTS:
        return None
    return timedelta(seconds=DELAYS_S[attempts - 1] * (1 + JITTER * jitter))


def rest_after(failures: int) -> timedelta | None:
    """2, 4, 8 … 60 seconds, from the fifth failure in a row."""
    beyond = failures - FAILURES_BEFORE_REST
    if beyond < 0:
        return None
    return min(LONGEST_REST, timedelta(seconds=2 << min(beyond, 10)))


def retry_after(value: str | None, now: datetime) -> timedelta | None:
    """Seconds or an HTTP date (RFC 9110, 10.2.3), at most a day; None for what is neither, or past."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdecimal():
        # A number of a thousand digits is a day too.
        asked = timedelta(seconds=int(value)) if len(value) <= 9 else LONGEST_RETRY_AFTER
    else:
        try:
            at = parsedate_to_datetime(value)
        except (ValueError, OverflowError):
            return None
        asked = (at.replace(tzinfo=UTC) if at.tzinfo is None else at) - now
    return min(asked, LONGEST_RETRY_AFTER) if asked > timedelta(0) else None


def _worse(status: int | None, health: Health, now: datetime, pause: timedelta | None) -> Health:
    since = health.failing_since or now
    failures = health.failures + 1
    # That it refuses one delivery says nothing of the next: only who is not there, or not well, rests.
    ill = status is None or status >= 500 or status in _ASKS_FOR_TIME
    rest = max((one for one in (rest_after(failures) if ill else None, pause) if one is not None), default=None)
    return Health(failures, since, None if rest is None else now + rest)
