"""Requests a minute, by organisation, mode and group of routes. Pure: the caller brings the time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

WINDOW_S: Final = 60
MAX_WINDOWS: Final = 50_000


@dataclass(frozen=True, slots=True)
class Allowed:
    """``reset_at`` is the Unix second at which the window begins anew."""

    allowed: bool
    limit: int
    remaining: int
    reset_at: int
    retry_after: int


class RateLimiter:
    """Fixed windows of a minute. Lives in one process: behind several, each allows the whole limit."""

    def __init__(self) -> None:
        self._window = 0
        self._counts: dict[tuple[str, bool, str], int] = {}

    @property
    def windows(self) -> int:
        """How many are being counted."""
        return len(self._counts)

    def take(self, organization_id: str, livemode: bool, group: str, limit: int, now: float) -> Allowed:
        window = int(now) // WINDOW_S
        if window != self._window or len(self._counts) >= MAX_WINDOWS:
            self._window, self._counts = window, {}
        key = (organization_id, livemode, group)
        reset_at = (window + 1) * WINDOW_S
        retry_after = max(1, reset_at - int(now))
        taken = self._counts.get(key, 0)
        if taken >= limit:
            return Allowed(False, limit, 0, reset_at, retry_after)
        self._counts[key] = taken + 1
        return Allowed(True, limit, limit - taken - 1, reset_at, retry_after)
