"""Where one speaker's audio lies on the session's timeline.

Time runs by samples. Three things move it besides: a silence (a stamped gap, a hole in the arrival, a new connection),
audio that was lost without a word, and the sender's crystal, which is up to a ten-thousandth off ours and would put
the two sides of a call 360 ms apart in an hour. The last two show in the lateness of chunks, arrival less media time:
its minimum over a window is the path without its queues (the clock filter of RFC 5905, section 10), so that a stall and
the burst after it don't move it.

Pure: the caller brings the time, in milliseconds since the session began.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kallglot.audio.timeline import GAP_MS, SourceTimeline

HOLE_MS: Final = 1000
"""Audio without stamps that comes this much later than the audio before it ended had a silence before it."""
AHEAD_MS: Final = 1000
"""A sender this far ahead of real time reads from a file: only its own clock says where its audio belongs."""
BURST_WITHIN_MS: Final = 100
WINDOW_MS: Final = 10_000
WINDOW_CHUNKS: Final = 50
LOST_MS: Final = 60
"""No crystal is so far off within a window: that much audio is missing."""
SLEW: Final = 0.0005


@dataclass(frozen=True, slots=True)
class Placed:
    at_ms: float
    """Where the chunk begins."""
    gap_ms: int
    """Silence before it that a recogniser should know of; 0 nearly always."""


class MediaClock:
    def __init__(self) -> None:
        self._source: str | None = None
        self._stamps = SourceTimeline()
        self._end_ms = 0.0
        self._came_ms = 0.0
        self._before_hole: float | None = None
        """Where audio ended before the hole that the last chunk came after."""
        self._lateness = _Lateness()

    @property
    def end_ms(self) -> float:
        """Behind the last audio."""
        return self._end_ms

    def place(self, source: str, now_ms: float, duration_ms: float, stamp_ms: float | None) -> Placed:
        """Places the chunk that came at ``now_ms`` over the connection ``source``, with the sender's stamp if any."""
        end = self._end_ms
        arrived = now_ms - duration_ms
        if source != self._source:
            self._source = source
            self._stamps, self._lateness, self._before_hole = SourceTimeline(), _Lateness(), None
            self._stamps.place(stamp_ms, duration_ms)
            at = max(arrived, end)
        else:
            stamped_gap = self._stamps.place(stamp_ms, duration_ms)
            if stamp_ms is not None:
                at = end + self._believed(stamped_gap, end, arrived)
            else:
                at = self._after_hole(end, arrived, now_ms, duration_ms)
            at += self._lateness.correction(duration_ms)
        self._end_ms = at + duration_ms
        self._came_ms = now_ms
        self._lateness.note(now_ms, now_ms - self._end_ms)
        gap = at - end
        return Placed(at, round(gap) if gap >= GAP_MS else 0)

    def _believed(self, gap: float, end: float, arrived: float) -> float:
        """A stamped gap, unless the clock behind the stamps jumped: audio is not from the future."""
        if not gap or end - arrived > AHEAD_MS:
            return gap
        possible = arrived - self._lateness.least - end
        return gap if gap <= possible + GAP_MS else max(0.0, possible)

    def _after_hole(self, end: float, arrived: float, now_ms: float, duration_ms: float) -> float:
        before, self._before_hole = self._before_hole, None
        if now_ms - self._came_ms < min(BURST_WITHIN_MS, duration_ms / 2):
            # More at once is what a stalled connection kept back, and belongs into the hole.
            return end if before is None else before + duration_ms
        if arrived - end > HOLE_MS:
            self._before_hole = end
            return arrived
        return end


class _Lateness:
    """Of one connection: how late its audio is at least, and what of a change in that is still to be corrected."""

    def __init__(self) -> None:
        self.least = 0.0
        self._usual: float | None = None
        self._window_from = 0.0
        self._window_least = float("inf")
        self._chunks = 0
        self._owed = 0.0

    def correction(self, duration_ms: float) -> float:
        """How much later than by its samples the next chunk is to be placed, in milliseconds, mostly far below one."""
        if not self._owed:
            return 0.0
        most = duration_ms * SLEW
        step = self._owed if self._owed > LOST_MS else min(max(self._owed, -most), most)
        self._owed -= step
        return step

    def note(self, now_ms: float, lateness: float) -> None:
        if not self._chunks:
            self._window_from = now_ms
        self._chunks += 1
        self._window_least = min(self._window_least, lateness)
        self.least = min(self.least, lateness) if self._usual is not None else self._window_least
        if now_ms - self._window_from < WINDOW_MS or self._chunks < WINDOW_CHUNKS:
            return
        drift = self._window_least - (self._usual if self._usual is not None else self._window_least)
        if self._usual is None or drift < -LOST_MS:
            self._usual = self._window_least
        else:
            self._owed = drift
        self.least = self._usual
        self._chunks, self._window_least = 0, float("inf")
