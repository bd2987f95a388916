"""Where a chunk of audio belongs in time.

A client stamps its chunks with ``timestamp_ms`` on a clock of its own: a counter from zero or the wall clock, both are
fine, for only differences count. Stamps jitter by the client's scheduling, so small steps are ignored and only a real
gap moves time.
"""

from __future__ import annotations

from typing import Final

GAP_MS: Final = 200
"""A stamp this much later than the end of the audio before it is a gap; less is jitter."""

MAX_GAP_MS: Final = 30 * 60 * 1000
"""A longer jump is a changed clock, not a silence: no session lives through a silence this long."""


class SourceTimeline:
    """One connection's audio for one speaker."""

    def __init__(self) -> None:
        self._expected_ms: float | None = None

    def place(self, timestamp_ms: float | None, duration_ms: float) -> int:
        """Takes a chunk and returns the silence before it, in whole milliseconds; 0 nearly always.

        A stamp that jumps backwards is ignored: the chunk follows the one before it.
        """
        if timestamp_ms is None:
            if self._expected_ms is not None:
                self._expected_ms += duration_ms
            return 0
        expected = self._expected_ms
        if expected is None:
            self._expected_ms = timestamp_ms + duration_ms
            return 0
        gap = timestamp_ms - expected
        if gap < -GAP_MS or gap > MAX_GAP_MS:
            self._expected_ms = timestamp_ms + duration_ms
            return 0
        if gap < GAP_MS:
            # Jitter neither adds silence nor adds up: the expectation follows the stamps slowly, so that a client
            # whose clock drifts against its sample rate never collects a false gap.
            self._expected_ms = expected + duration_ms + gap * 0.1
            return 0
        self._expected_ms = timestamp_ms + duration_ms
        return round(gap)
