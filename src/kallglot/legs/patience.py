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
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at: float | None = None

    def take(self, now: float) -> float:
        """Takes one; 0.0 when it was there, else the seconds until it will be."""
        if self._at is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        self._tokens -= 1
        return 0.0 if self._tokens >= 0 else -self._tokens / self._rate
