"""What one listener is about to hear on one leg: turns in order, cut into frames, handed out on time.

Pure: the caller brings the time. PCM is signed 16-bit little-endian mono at the leg's own rate.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from kallglot.audio.levels import faded_in, faded_out
from kallglot.audio.tempo import TempoChanger

FRAME_MS: Final = 20
LEAD_MS: Final = 400
"""How far ahead of real time frames are handed out: enough for a late tick, little enough for a clear to be heard."""
CUSHION_MS: Final = 60
"""Audio that has to be there before a spurt begins: a synthesiser that stutters is not heard to."""
FADE_MS: Final = 5
MAX_BACKLOG_MS: Final = 15_000
FASTEST: Final = 1.35
FASTEST_AT_MS: Final = 3000
"""Speech waiting behind the turn that plays, from which on turns are played as fast as they may be."""
TEMPO_STEP: Final = 0.01


@dataclass(frozen=True, slots=True)
class Started:
    turn_id: str
    speaker: str
    at_ms: float
    """When its first frame is heard."""


@dataclass(frozen=True, slots=True)
class Frame:
    turn_id: str
    speaker: str
    pcm: bytes
    at_ms: float
    """When it is heard."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The listener has heard the whole turn by ``at_ms``, as far as can be told without the client's help."""

    turn_id: str
    at_ms: float


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
    flowing: bool = False
    changer: TempoChanger | None = None
    quick: bytearray = field(default_factory=bytearray)
    """What the tempo changer made, not yet handed out."""

    @property
    def left(self) -> bool:
        return bool(self.quick or self.audio or (self.ended and self.changer))


class Playout:
    """A bounded queue of turns and marks, played one after the other.

    ``begin``, ``add`` and ``end`` bring a turn; audio for a turn that was cleared meanwhile is dropped, so a
    synthesiser that is still speaking need not know. ``due`` returns what is to be sent by ``now_ms``. Turns are played
    up to 1.35 times as fast, their pitch kept, while others wait behind them; where that is not enough the oldest that
    has not begun is dropped.
    """

    def __init__(self, sample_rate_hz: int, *, burst: bool = False, max_backlog_ms: int = MAX_BACKLOG_MS) -> None:
        self._rate = sample_rate_hz
        self._frame_bytes = sample_rate_hz * FRAME_MS // 1000 * 2
        self._bytes_per_ms = sample_rate_hz * 2 // 1000
        self._burst = burst
        self._max_backlog_bytes = max_backlog_ms * self._bytes_per_ms
        self._queue: deque[_Item | str] = deque()
        self._open: dict[str, _Item] = {}
        self._played_until_ms = 0.0
        self._awaiting: deque[tuple[float, Finished | Marked]] = deque()
        self._dropped: list[Cleared] = []
        self._queued_bytes = 0
        self.tempo = 1.0
        self.late_ms = 0.0
        """How much later than it is handed out and played by the clock audio is heard."""

    @property
    def idle(self) -> bool:
        return not self._queue and not self._awaiting and not self._dropped

    @property
    def backlog_ms(self) -> float:
        """Audio queued and not yet handed out, at its own speed."""
        return self._queued_bytes / self._bytes_per_ms

    @property
    def flowing(self) -> bool:
        """Whether a turn is being handed out, or is about to be."""
        head = self._queue[0] if self._queue else None
        return isinstance(head, _Item) and (head.flowing or self._may_begin(head))

    def _may_begin(self, item: _Item) -> bool:
        return item.left and (item.ended or len(item.audio) >= CUSHION_MS * self._bytes_per_ms)

    def holds(self, turn_id: str) -> bool:
        """Whether the listener has not yet heard the turn to its end."""
        queued = (entry.turn_id for entry in self._queue if isinstance(entry, _Item))
        awaited = (event.turn_id for _, event in self._awaiting if isinstance(event, Finished))
        return turn_id in queued or turn_id in awaited

    def follow(self, until_ms: float) -> None:
        """Something else is heard until then; what comes is heard behind it."""
        self._played_until_ms = max(self._played_until_ms, until_ms)

    def begin(self, turn_id: str, speaker: str) -> None:
        item = _Item(turn_id, speaker)
        self._open[turn_id] = item
        self._queue.append(item)

    def add(self, turn_id: str, pcm: bytes) -> None:
        item = self._open.get(turn_id)
        if item is None or not pcm:
            return
        if not item.started and not item.audio:
            pcm = faded_in(pcm, FADE_MS * self._rate // 1000)
        item.audio += pcm
        self._queued_bytes += len(pcm)
        while self._queued_bytes > self._max_backlog_bytes and self._drop_oldest_waiting():
            pass

    def end(self, turn_id: str) -> None:
        item = self._open.pop(turn_id, None)
        if item is not None:
            item.ended = True
            tail = FADE_MS * self._bytes_per_ms
            item.audio[-tail:] = faded_out(bytes(item.audio[-tail:]), tail // 2)

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
        self.tempo = 1.0
        return gone

    def due(self, now_ms: float, lead_ms: float = LEAD_MS) -> list[PlayoutEvent]:
        events: list[PlayoutEvent] = list(self._dropped)
        self._dropped.clear()
        self._collect_heard(now_ms, events)
        while self._queue:
            entry = self._queue[0]
            if isinstance(entry, str):
                self._queue.popleft()
                self._await_or_emit(Marked(entry), now_ms, events)
                continue
            if not self._hand_out(entry, now_ms, lead_ms, events):
                break
            self._queue.popleft()
            if entry.started:
                self._await_or_emit(Finished(entry.turn_id, self._played_until_ms), now_ms, events)
        return events

    def _hand_out(self, item: _Item, now_ms: float, lead_ms: float, events: list[PlayoutEvent]) -> bool:
        """Moves frames of the turn into ``events``; True when the turn is through."""
        while item.left:
            if not item.flowing and not self._may_begin(item):
                break
            if not self._burst and self._played_until_ms - now_ms >= lead_ms:
                break
            pcm = self._frame(item)
            if pcm is None:
                break
            at_ms = max(self._played_until_ms, now_ms)
            self._played_until_ms = at_ms + FRAME_MS
            if not item.started:
                item.started = True
                events.append(Started(item.turn_id, item.speaker, at_ms + self.late_ms))
            item.flowing = True
            events.append(Frame(item.turn_id, item.speaker, pcm, at_ms))
        if self._played_until_ms <= now_ms:
            # The synthesiser has fallen behind: what comes next has to gather a cushion again.
            item.flowing = False
        return item.ended and not item.left

    def _frame(self, item: _Item) -> bytes | None:
        """The next frame of the turn at the tempo of the moment; None where more audio has to come first."""
        size = self._frame_bytes
        self._set_tempo(item)
        if item.changer is None and self.tempo > 1.0 and item.audio:
            item.changer = TempoChanger(self._rate)
        changer = item.changer
        if changer is None and not item.quick:
            if len(item.audio) < size and not item.ended:
                return None
            return self._take(item, size).ljust(size, b"\0")
        if changer is not None:
            while len(item.quick) < size and item.audio:
                item.quick += changer.process(self._take(item, size), self.tempo)
            if item.ended and not item.audio:
                item.quick += changer.flush()
                item.changer = None
        if len(item.quick) < size and not item.ended:
            return None
        pcm = bytes(item.quick[:size])
        del item.quick[:size]
        return pcm.ljust(size, b"\0")

    def _take(self, item: _Item, size: int) -> bytes:
        taken = bytes(item.audio[:size])
        del item.audio[:size]
        self._queued_bytes -= len(taken)
        return taken

    def _set_tempo(self, item: _Item) -> None:
        waiting_ms = (self._queued_bytes - len(item.audio)) / self._bytes_per_ms
        wanted = 1.0 if self._burst else 1.0 + (FASTEST - 1.0) * min(1.0, waiting_ms / FASTEST_AT_MS)
        if abs(wanted - self.tempo) <= TEMPO_STEP:
            self.tempo = wanted
        else:
            self.tempo += TEMPO_STEP if wanted > self.tempo else -TEMPO_STEP

    def _await_or_emit(self, event: Finished | Marked, now_ms: float, events: list[PlayoutEvent]) -> None:
        if self._burst or (not self._awaiting and self._played_until_ms + self.late_ms <= now_ms):
            events.append(event)
        else:
            self._awaiting.append((self._played_until_ms, event))

    def _collect_heard(self, now_ms: float, events: list[PlayoutEvent]) -> None:
        while self._awaiting and self._awaiting[0][0] + self.late_ms <= now_ms:
            due_ms, event = self._awaiting.popleft()
            events.append(Finished(event.turn_id, due_ms + self.late_ms) if isinstance(event, Finished) else event)

    def _drop_oldest_waiting(self) -> bool:
        """A listener this far behind is better served by what was said last than by what was said a while ago. One
        that is alone is played, however long it is."""
        turns = [entry for entry in self._queue if isinstance(entry, _Item)]
        waiting = [item for item in turns if not item.started] if len(turns) > 1 else []
        oldest = next((item for item in waiting if item.ended), waiting[0] if waiting else None)
        if oldest is None:
            return False
        self._queue.remove(oldest)
        self._open.pop(oldest.turn_id, None)
        self._queued_bytes -= len(oldest.audio)
        self._dropped.append(Cleared(oldest.turn_id))
        return True
