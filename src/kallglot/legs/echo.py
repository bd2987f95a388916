"""What a carrier's marks tell: how much later than we reckon the other side hears what was sent.

A mark comes back when everything before it was played, or at once when it was cleared. Times are monotonic
milliseconds, brought by the caller.
"""

from __future__ import annotations

from typing import Final

MARK_EVERY_MS: Final = 500
MOST_LATE_MS: Final = 2000.0
AWAY_MS: Final = 10_000
"""A mark that is not back by then is not waited for."""
WEIGHT: Final = 0.3


class PlayoutEcho:
    def __init__(self) -> None:
        self.late_ms = 0.0
        """By how much: the way there, the carrier's own buffer, and the way back."""
        self._until_ms = 0.0
        self._since_mark_ms = 0.0
        self._count = 0
        self._out: dict[str, float] = {}

    @property
    def waiting_ms(self) -> float:
        """When the last that was sent has been played, as we reckon."""
        return self._until_ms

    def sent(self, now_ms: float, duration_ms: float) -> str | None:
        """So much was sent just now; the name of a mark that is to follow it."""
        self._until_ms = (self._until_ms if self._until_ms > now_ms else now_ms) + duration_ms
        self._since_mark_ms += duration_ms
        if self._since_mark_ms < MARK_EVERY_MS:
            return None
        self._since_mark_ms = 0.0
        self._count += 1
        name = f"k{self._count}"
        self._out = {one: due for one, due in self._out.items() if now_ms - due < AWAY_MS}
        self._out[name] = self._until_ms
        return name

    def returned(self, name: str, now_ms: float) -> bool:
        """A mark is back; whether it was one of these."""
        due = self._out.pop(name, None)
        if due is not None:
            late = min(max(now_ms - due, 0.0), MOST_LATE_MS)
            self.late_ms += (late - self.late_ms) * WEIGHT
        return due is not None

    def cleared(self, now_ms: float) -> None:
        """Everything that was sent and not played is gone; marks that come back now say nothing."""
        self._out.clear()
        self._until_ms = now_ms
        self._since_mark_ms = 0.0
