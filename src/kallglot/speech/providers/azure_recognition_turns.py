"""Audio cut into turns, where one has to have ended before the next may begin. Pure.

What comes while a turn is ending waits for the next one. What a turn that the service ended by itself had not dealt
with yet is sent again in the next one. It may do so just before it hears our end: where its end leaves out something
loud, that is asked about once more.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from kallglot.audio.g711 import audioop
from kallglot.speech.remote.ledger import QUIET_RMS, TAIL_MS

KEPT_MS: Final = 5000
WINDOW_MS: Final = 100


class _State(Enum):
    BETWEEN = auto()
    OPEN = auto()
    ENDING = auto()


@dataclass(frozen=True, slots=True)
class Sending:
    """``begins`` before the audio, ``ends`` behind it."""

    audio: bytes
    begins: bool = False
    ends: bool = False


class Turns:
    """Times are whole milliseconds; 0 is the first sample that was ever pushed."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._rate = sample_rate_hz
        self._state = _State.BETWEEN
        self._position = 0
        self._start = 0
        self._unsettled = bytearray()
        self._waiting = bytearray()
        self._asked = 0
        """Flushes that the end of this turn answers, and that of the next."""
        self._asked_next = 0
        self.settled_ms = 0
        """Up to there, on the turn's own time, the service has dealt with it."""
        self._again = False
        """This turn is all that the one before it left out, and was flushed."""

    @property
    def start_ms(self) -> int:
        """Where the audio of this turn begins."""
        return self._ms(self._start)

    @property
    def sent_ms(self) -> int:
        """Behind all audio that was sent."""
        return self._ms(self._position - len(self._waiting))

    @property
    def forgotten_ms(self) -> int:
        """So much of this turn would not be sent again, on the turn's own time."""
        return self._ms(self._position - len(self._waiting) - self._start - len(self._unsettled))

    def push(self, pcm: bytes) -> list[Sending]:
        due = self.due()
        self._position += len(pcm)
        if self._state is _State.ENDING:
            self._waiting += pcm
            return due
        begins = self._state is _State.BETWEEN
        audio = self._take(pcm) if begins else pcm
        if begins:
            self._start = self._position - len(audio)
        self._state = _State.OPEN
        self._keep(audio)
        return [*due, Sending(audio, begins=begins)]

    def flush(self) -> list[Sending]:
        """Ends the turn, so that the service tells what it has; its end is the answer. Between turns there is nothing
        to ask about, and no answer."""
        due = self.due()
        if self._state is _State.ENDING:
            if self._waiting:
                self._asked_next += 1
            else:
                self._asked += 1
            return due
        begins = self._state is _State.BETWEEN
        if begins and not self._waiting:
            return due
        return [*due, self._last(begins, 1)]

    def due(self) -> list[Sending]:
        """What was to be flushed while the turn before it was ending, and can be now."""
        if self._state is _State.BETWEEN and self._asked_next and self._waiting:
            asked, self._asked_next = self._asked_next, 0
            return [self._last(True, asked)]
        return []

    def settle(self, ms: int) -> None:
        """The service has dealt with this turn up to there, on the turn's own time."""
        self.settled_ms = max(self.settled_ms, ms)
        behind = self._position - len(self._waiting) - self._start - self._bytes(ms)
        del self._unsettled[: max(0, len(self._unsettled) - max(0, behind))]

    def ended(self) -> int:
        """The service says that the turn is over; how many flushes that answers."""
        left_out = self._state is _State.ENDING and not self._again and self._loud()
        if self._state is _State.OPEN or left_out:
            self._waiting[:0] = self._unsettled
        self._unsettled.clear()
        self.settled_ms = 0
        self._state = _State.BETWEEN
        asked, self._asked = self._asked, 0
        self._again = left_out
        if left_out:
            self._asked_next += asked
            return 0
        return asked

    def _last(self, begins: bool, asked: int) -> Sending:
        audio = self._take(b"") if begins else b""
        if begins:
            self._start = self._position - len(audio)
        self._state = _State.ENDING
        self._asked = asked
        self._keep(audio)
        return Sending(audio, begins=begins, ends=True)

    def _keep(self, audio: bytes) -> None:
        self._unsettled += audio
        del self._unsettled[: max(0, len(self._unsettled) - self._bytes(KEPT_MS))]

    def _loud(self) -> bool:
        """Somebody may have spoken in what is not settled; the last sound of a word lies behind its end."""
        size = self._bytes(WINDOW_MS)
        starts = range(self._bytes(TAIL_MS), len(self._unsettled), size)
        return any(audioop.rms(bytes(self._unsettled[at : at + size]), 2) > QUIET_RMS for at in starts)

    def _take(self, more: bytes) -> bytes:
        audio = bytes(self._waiting) + more
        self._waiting.clear()
        return audio

    def _ms(self, position: int) -> int:
        return position * 1000 // (self._rate * 2)

    def _bytes(self, ms: int) -> int:
        return ms * self._rate // 1000 * 2
