"""How much nonsense, and how much of anything, one connection may send. Pure: the caller brings the time in seconds."""

from __future__ import annotations

from collections import deque
from typing import Final

BAD_MESSAGES: Final = 20
BAD_WINDOW_S: Final = 10.0


class BadMessages:
    """The 20th bad message within 10 s is one too many."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=BAD_MESSAGES)

    def too_many(self, now: float) -> bool:
        """Counts one bad message."""
        self._times.append(now)
        return len(self._times) == BAD_MESSAGES and now - self._times[0] <= BAD_WINDOW_S


class Allowance:
    """A token bucket: ``rate`` a second, ``burst`` at once."""

    def __init__(self, rate: float, burst: float) -> None:
        self._each_s = 1 / rate
        self._burst_s = burst / rate
        self._spent_until = 0.0
        """When all that was taken is paid for."""

    def take(self, now: float) -> float:
        """Takes one; 0.0 when it was there, else the seconds until it will be."""
        # Fifty times a second and connection: comparisons cost a fifth of max().
        begins = self._spent_until if self._spent_until > now else now
        self._spent_until = spent = begins + self._each_s
        over = spent - now - self._burst_s
        return over if over > 0.0 else 0.0
