"""What a carrier plays to the caller, and when the marks in between come back. Pure: the caller brings the time.

https://www.twilio.com/docs/voice/media-streams/websocket-messages: audio is queued and played in order of arrival; a
mark returns when all that was queued before it has been played, at once where nothing is queued or ``clear`` empties
the queue. https://www.twilio.com/docs/api/errors/31931: what goes beyond ten minutes is discarded. Telnyx does alike.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

LIMIT_S = 600.0


@dataclass(slots=True)
class Heard:
    """``pcm`` is mono signed 16-bit little-endian; its first sample is heard at ``at_s``."""

    at_s: float
    pcm: bytes


class PlayoutClock:
    """Times are seconds of any clock that does not go back."""

    def __init__(self, rate_hz: int = 8000, *, limit_s: float = LIMIT_S) -> None:
        self.rate_hz = rate_hz
        self._limit_s = limit_s
        self._free_at_s = 0.0
        self._taken_s = 0.0
        self._played: list[Heard] = []
        self._marks: deque[tuple[float, str]] = deque()

    def queued_s(self, now_s: float) -> float:
        """How much is still to be played."""
        return max(0.0, self._free_at_s - now_s)

    def put(self, pcm: bytes, now_s: float) -> float:
        """Queues audio; how many seconds of it were discarded."""
        start_s = max(self._free_at_s, now_s)
        room = max(0, round((now_s + self._limit_s - start_s) * self.rate_hz)) * 2
        taken = pcm[:room]
        if taken:
            self._played.append(Heard(start_s, taken))
            self._free_at_s = start_s + self._seconds(taken)
            self._taken_s += self._seconds(taken)
        return self._seconds(pcm) - self._seconds(taken)

    def mark(self, name: str, now_s: float) -> None:
        """Due from :meth:`due`, at once where nothing is queued."""
        self._marks.append((max(self._free_at_s, now_s), name))

    @property
    def next_mark_s(self) -> float | None:
        return self._marks[0][0] if self._marks else None

    def due(self, now_s: float) -> list[str]:
        """The marks that return by now."""
        names: list[str] = []
        while self._marks and self._marks[0][0] <= now_s + 1e-9:
            names.append(self._marks.popleft()[1])
        return names

    def clear(self, now_s: float) -> list[str]:
        """Nothing queued is played any more; the marks that return for it, in order."""
        self._taken_s -= self.queued_s(now_s)
        while self._played and self._played[-1].at_s >= now_s:
            self._played.pop()
        if self._played:
            last = self._played[-1]
            last.pcm = last.pcm[: max(0, round((now_s - last.at_s) * self.rate_hz)) * 2]
        self._free_at_s = min(self._free_at_s, now_s)
        names = [name for _, name in self._marks]
        self._marks.clear()
        return names

    def stop(self, now_s: float) -> None:
        """The caller hears nothing more; no mark returns."""
        self.clear(now_s)

    def heard(self, now_s: float) -> list[Heard]:
        """What has been played by now, in order, cut off at now."""
        done: list[Heard] = []
        for part in self._played:
            if part.at_s >= now_s:
                break
            samples = round((now_s - part.at_s) * self.rate_hz)
            done.append(Heard(part.at_s, part.pcm[: samples * 2]))
        return done

    def heard_s(self, now_s: float) -> float:
        """Seconds of audio played by now, silence that was sent included."""
        return max(0.0, self._taken_s - self.queued_s(now_s))

    @property
    def first_s(self) -> float | None:
        """When the first sound was heard, or will be."""
        return self._played[0].at_s if self._played else None

    def window(self, from_s: float, to_s: float) -> bytes:
        """PCM of that time, with silence where nothing was played."""
        length = round((to_s - from_s) * self.rate_hz)
        pcm = bytearray(length * 2)
        for part in reversed(self._played):
            begin = round((part.at_s - from_s) * self.rate_hz)
            if begin + len(part.pcm) // 2 <= 0:
                break
            skip = max(0, -begin)
            piece = part.pcm[skip * 2 : (length - begin) * 2] if length > begin else b""
            pcm[(begin + skip) * 2 : (begin + skip) * 2 + len(piece)] = piece
        return bytes(pcm)

    def _seconds(self, pcm: bytes) -> float:
        return len(pcm) / 2 / self.rate_hz
