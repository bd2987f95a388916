"""What one listener is about to hear on one leg: turns in order, cut into frames, handed out on time.

Pure: the caller brings the time. PCM is signed 16-bit little-endian mono at the leg's own rate.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

FRAME_MS: Final = 20
LEAD_MS: Final = 400
"""How far ahead of real time frames are handed out: enough for a late tick, little enough for a clear to be heard."""
MAX_BACKLOG_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Started:
    turn_id: str
    speaker: str


@dataclass(frozen=True, slots=True)
class Frame:
    turn_id: str
    speaker: str
    pcm: bytes


@dataclass(frozen=True, slots=True)
class Finished:
    """The listener has heard the whole turn, as far as can be told without the client's help."""

    turn_id: str


@dataclass(frozen=True, slots=True)
class Cleared:
    """The rest of the turn will not be heard."""

    turn_id: str


@dataclass(frozen=True, slots=True)
class Marked:
    name: str


PlayoutEvent = Started | Frame | Finished | Cleared | Marked


@dataclass(slots=True)
class _Item:
    turn_id: str
    speaker: str
    audio: bytearray = field(default_factory=bytearray)
    ended: bool = False
    started: bool = False


class Playout:
    """A bounded queue of turns and marks, played one after the other.

    ``begin``, ``add`` and ``end`` bring a turn; audio for a turn that was cleared meanwhile is dropped, so a
    synthesiser that is still speaking need not know. ``due`` returns what is to be sent by ``now_ms``.
    """

    def __init__(self, sample_rate_hz: int, *, burst: bool = False, max_backlog_ms: int = MAX_BACKLOG_MS) -> None:
        self._frame_bytes = sample_rate_hz * FRAME_MS // 1000 * 2
        self._bytes_per_ms = sample_rate_hz * 2 / 1000
        self._burst = burst
        self._max_backlog_bytes = int(max_backlog_ms * self._bytes_per_ms)
        self._queue: deque[_Item | str] = deque()
        self._open: dict[str, _Item] = {}
        self._played_until_ms = 0.0
        self._awaiting: deque[tuple[float, Finished | Marked]] = deque()
        self._dropped: list[Cleared] = []
        self._queued_bytes = 0

    @property
    def idle(self) -> bool:
        return not self._queue and not self._awaiting and not self._dropped

    @property
    def backlog_ms(self) -> float:
        """Audio queued and not yet handed out."""
        return self._queued_bytes / self._bytes_per_ms

    def begin(self, turn_id: str, speaker: str) -> None:
        item = _Item(turn_id, speaker)
        self._open[turn_id] = item
        self._queue.append(item)

    def add(self, turn_id: str, pcm: bytes) -> None:
        item = self._open.get(turn_id)
        if item is None:
            return
        item.audio += pcm
        self._queued_bytes += len(pcm)
        if self._queued_bytes > self._max_backlog_bytes:
            self._drop_oldest_waiting()

    def end(self, turn_id: str) -> None:
        item = self._open.pop(turn_id, None)
        if item is not None:
            item.ended = True

    def mark(self, name: str) -> None:
        """Comes back, by ``due``, when everything queued before it was heard."""
        self._queue.append(name)

    def clear(self) -> list[Cleared | Marked]:
        """Drops everything unheard: the turns cut off, and the marks, which come back at once."""
        gone: list[Cleared | Marked] = []
        for _, waiting in self._awaiting:
            gone.append(Cleared(waiting.turn_id) if isinstance(waiting, Finished) else waiting)
        for entry in self._queue:
            gone.append(Marked(entry) if isinstance(entry, str) else Cleared(entry.turn_id))
        self._queue.clear()
        self._awaiting.clear()
        self._open.clear()
        self._queued_bytes = 0
        self._played_until_ms = 0.0
        return gone

    def due(self, now_ms: float) -> list[PlayoutEvent]:
        events: list[PlayoutEvent] = list(self._dropped)
        self._dropped.clear()
        self._collect_heard(now_ms, events)
        while self._queue:
            entry = self._queue[0]
            if isinstance(entry, str):
                self._queue.popleft()
                self._await_or_emit(Marked(entry), now_ms, events)
                continue
            if not self._hand_out(entry, now_ms, events):
                break
            self._queue.popleft()
            if entry.started:
                self._await_or_emit(Finished(entry.turn_id), now_ms, events)
        return events

    def _hand_out(self, item: _Item, now_ms: float, events: list[PlayoutEvent]) -> bool:
        """Moves frames of the turn into ``events``; True when the turn is through."""
        frame_bytes = self._frame_bytes
        audio = item.audio
        taken = 0
        while len(audio) - taken >= frame_bytes or (item.ended and len(audio) > taken):
            if not self._burst:
                if self._played_until_ms - now_ms >= LEAD_MS:
                    break
                self._played_until_ms = max(self._played_until_ms, now_ms) + FRAME_MS
            pcm = bytes(audio[taken : taken + frame_bytes])
            taken += len(pcm)
            if len(pcm) < frame_bytes:
                pcm += bytes(frame_bytes - len(pcm))
            if not item.started:
                item.started = True
                events.append(Started(item.turn_id, item.speaker))
            events.append(Frame(item.turn_id, item.speaker, pcm))
        if taken:
            del audio[:taken]
            self._queued_bytes -= taken
        return item.ended and not audio

    def _await_or_emit(self, event: Finished | Marked, now_ms: float, events: list[PlayoutEvent]) -> None:
        if self._burst or (not self._awaiting and self._played_until_ms <= now_ms):
            events.append(event)
        else:
            self._awaiting.append((self._played_until_ms, event))

    def _collect_heard(self, now_ms: float, events: list[PlayoutEvent]) -> None:
        while self._awaiting and self._awaiting[0][0] <= now_ms:
            events.append(self._awaiting.popleft()[1])

    def _drop_oldest_waiting(self) -> None:
        """A listener this far behind is better served by what was said last than by what was said a minute ago."""
        waiting = [entry for entry in self._queue if isinstance(entry, _Item) and not entry.started]
        oldest = next((item for item in waiting if item.ended), waiting[0] if waiting else None)
        if oldest is None:
            return
        self._queue.remove(oldest)
        self._open.pop(oldest.turn_id, None)
        self._queued_bytes -= len(oldest.audio)
        self._dropped.append(Cleared(oldest.turn_id))
