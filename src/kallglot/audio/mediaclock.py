"""Where one speaker's audio lies on the session's timeline.

Time runs by samples. Three things move it besides: a silence (a stamped gap, a hole in the arrival, a new connection),
audio that was lost without a word, and the sender's crystal, which is up to a ten-thousandth off ours and would put
the two sides of a call 360 ms apart in an hour. The last two show in the lateness of chunks, arrival less media time:
its minimum over a window is the path without its queues (the clock filter of RFC 5905, section 10), so that a stall and
the burst after it don't move it. Audio is led to where that minimum is nothing: where it would be had the path no
queues. A first chunk that waited for its connection is behind that, and so is what follows it, until then.

Pure: the caller brings the time, in milliseconds since the session began.
"""

from __future__ import annotations

from typing import Final

import msgspec

from kallglot.audio.timeline import GAP_MS, MAX_GAP_MS, SourceTimeline

HOLE_MS: Final = 1000
"""Audio without stamps that comes this much later than the audio before it ended had a silence before it."""
AHEAD_MS: Final = 1000
"""A sender this far ahead of real time reads from a file: only its own clock says where its audio belongs."""
BURST_WITHIN_MS: Final = 100
SURE_MS: Final = 150
"""So much more audio than time since a hole is a burst, and no jitter."""
WINDOW_MS: Final = 10_000
FIRST_WINDOW_MS: Final = 1_000
WINDOW_CHUNKS: Final = 25
LOST_MS: Final = 60
"""No crystal is so far off within a window: that much audio is missing."""
SLEW: Final = 0.0005
FAR_MS: Final = 5.0
FAR_SLEW: Final = 0.004
"""For more than that to be corrected, as after a connection's first chunks: a fifteenth of a semitone."""


class Placed(msgspec.Struct, frozen=True, gc=False):
    at_ms: float
    """Where the chunk begins."""
    gap_ms: int
    """Silence before it that a recogniser should know of; 0 nearly always."""


class MediaClock:
    """``begins_ms``: what lies before is taken already, by an earlier life of the session."""

    def __init__(self, begins_ms: float = 0.0) -> None:
        self._source: str | None = None
        self._stamps = SourceTimeline()
        self._end_ms = begins_ms
        self._last_stamp: float | None = None
        """Of the end of the last audio, where it had one."""
        self._came_ms = 0.0
        self._hole: _Hole | None = None
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
            self._stamps, self._lateness, self._hole = SourceTimeline(), _Lateness(), None
            self._stamps.place(stamp_ms, duration_ms)
            at = max(self._continued(stamp_ms, arrived), end)
        else:
            stamped_gap = self._stamps.place(stamp_ms, duration_ms)
            if stamp_ms is not None:
                at = end + self._believed(stamped_gap, end, arrived) if stamped_gap else end
            else:
                at = self._after_hole(end, arrived, now_ms, duration_ms)
            if at < end - LOST_MS:
                self._lateness.look_again()
            at += self._lateness.correction(duration_ms)
        self._end_ms = at + duration_ms
        self._last_stamp = None if stamp_ms is None else stamp_ms + duration_ms
        self._came_ms = now_ms
        self._lateness.note(now_ms, now_ms - self._end_ms)
        gap = at - end
        return Placed(at, round(gap) if gap >= GAP_MS else 0)

    def _continued(self, stamp_ms: float | None, arrived: float) -> float:
        """Where the first audio of a connection belongs: it waited for that, and came late. A sender whose stamps go
        on from those of its last connection says how late."""
        if stamp_ms is None or self._last_stamp is None:
            return arrived
        told = self._end_ms + stamp_ms - self._last_stamp
        return told if arrived - GAP_MS < told <= arrived else arrived

    def _believed(self, gap: float, end: float, arrived: float) -> float:
        """A stamped gap, unless the clock behind the stamps jumped: audio is not from the future."""
        if end - arrived > AHEAD_MS:
            return max(0.0, min(gap, arrived + MAX_GAP_MS - end))
        possible = arrived - self._lateness.least - end
        if gap <= possible + GAP_MS:
            return gap
        return possible if possible > GAP_MS else 0.0

    def _after_hole(self, end: float, arrived: float, now_ms: float, duration_ms: float) -> float:
        """Where audio without stamps lies. What a stalled connection kept back comes at once and belongs into the hole
        that it left; speech after a pause comes as time goes."""
        late = arrived - end
        if self._hole is not None and now_ms - self._came_ms < HOLE_MS:
            at = self._hole.place(now_ms, duration_ms, end)
            if self._hole.over or (self._hole.sure and arrived - at <= HOLE_MS):
                self._hole = None
            return at
        self._hole = _Hole(end, arrived, now_ms, duration_ms) if late > HOLE_MS else None
        return arrived if self._hole is not None else end


class _Hole:
    """Audio after a hole in its arrival, as long as it is not known whether it belongs into it."""

    def __init__(self, before_ms: float, first_at_ms: float, came_ms: float, first_ms: float) -> None:
        self._before_ms = before_ms
        self._first_at_ms = first_at_ms
        self._came_ms = came_ms
        self._first_ms = first_ms
        self._after_ms = 0.0
        self._within = False
        self.sure = False
        """It does, until it has caught up."""
        self.over = False
        """It does not."""

    def place(self, now_ms: float, duration_ms: float, end_ms: float) -> float:
        follows_ms = self._first_ms + self._after_ms
        self._after_ms += duration_ms
        elapsed = now_ms - self._came_ms
        fast = elapsed < self._after_ms / 2
        if self.sure:
            return end_ms
        if self._after_ms - elapsed > max(SURE_MS, duration_ms * 0.75):
            self.sure = True
            return end_ms if self._within else self._before_ms + follows_ms
        if self._within and not fast:
            # It was jitter.
            self.over = True
            return self._first_at_ms + follows_ms
        if not self._within and fast and elapsed < BURST_WITHIN_MS and self._after_ms == duration_ms:
            self._within = True
            return self._before_ms + follows_ms
        self.over = elapsed > HOLE_MS
        return end_ms


class _Lateness:
    """Of one connection: how late its audio is at least, and what of that is still to be corrected."""

    def __init__(self) -> None:
        self.least = 0.0
        self._window_ms = FIRST_WINDOW_MS
        self._window_from = 0.0
        self._window_least = float("inf")
        """Once all that is owed is corrected."""
        self._least_at = 0.0
        self._chunks = 0
        self._owed = 0.0

    def correction(self, duration_ms: float) -> float:
        """How much later than by its samples the next chunk is to be placed, in milliseconds, mostly far below one."""
        if not self._owed:
            return 0.0
        most = duration_ms * (FAR_SLEW if abs(self._owed) > FAR_MS else SLEW)
        step = self._owed if self._owed > LOST_MS else min(max(self._owed, -most), most)
        self._owed -= step
        return step

    def look_again(self) -> None:
        """What was noted lately was of audio in the wrong place."""
        self._chunks, self._window_least = 0, float("inf")

    def note(self, now_ms: float, lateness: float) -> None:
        if not self._chunks:
            self._window_from = now_ms
        self._chunks += 1
        if lateness - self._owed < self._window_least:
            self._window_least, self._least_at = lateness - self._owed, now_ms
        self.least = min(self.least, lateness)
        if now_ms - self._window_from < self._window_ms or self._chunks < WINDOW_CHUNKS:
            return
        if self._window_least > LOST_MS and now_ms - self._least_at < self._window_ms / 10:
            # It is still catching up.
            self.look_again()
            return
        if self._window_least > -AHEAD_MS:
            self._owed += self._window_least
            self.least = 0.0
        else:
            self.least = self._window_least
        self._window_ms = WINDOW_MS
        self.look_again()
