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
        self._spent_until = max(self._spent_until, now) + self._each_s
        return max(0.0, self._spent_until - now - self._burst_s)
