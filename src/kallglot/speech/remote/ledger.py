"""The audio of one recognition stream: what waits to be sent, what was sent and not acknowledged, and where it lies on
the timelines of the stream and of the connection. Pure.

Positions are samples. The stream's timeline has all audio and all gaps; a connection's only what was sent on it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from dataclasses import dataclass
from typing import Final

from kallglot.audio.g711 import audioop

QUIET_RMS: Final = 100
"""Of 16-bit samples, about -50 dBFS: below it nobody speaks."""
TAIL_MS: Final = 100
PIECE_MS: Final = 500
"""Larger pushes are cut up."""


@dataclass(slots=True)
class Audio:
    start: int
    end: int
    pcm: bytes
    loud: bool = False
    behind: int = 0
    """Its end on the connection."""


@dataclass(slots=True)
class Gap:
    start: int
    end: int


@dataclass(slots=True)
class Mark:
    """Where the utterance is to end: the question to which the codec's ``Flushed`` is the answer."""

    start: int

    @property
    def end(self) -> int:
        return self.start


Entry = Audio | Gap | Mark


class Ledger:
    """Entries wait, are taken to be sent, and are forgotten when they are acknowledged, or too old to be kept."""

    def __init__(self, sample_rate_hz: int, *, keep_ms: int, wait_ms: int) -> None:
        self.rate = sample_rate_hz
        self.committed = 0
        """All before it is dealt with."""
        self.end = 0
        self.dropped = 0
        """Samples that were given up before they were sent."""
        self._keep = self._samples(keep_ms)
        self._wait = self._samples(wait_ms)
        self._sent: deque[Entry] = deque()
        self._waiting: deque[Entry] = deque()
        self._sent_audio = 0
        self._waiting_audio = 0
        self._waiting_marks = 0
        self._odd = b""
        self._unmarked = False
        self._unkept = 0
        """Samples that were sent, and forgotten before they were acknowledged."""
        self._position = 0
        self._places: list[tuple[int, int]] = [(0, 0)]
        """Of this connection: from which position of it on which of the stream's is told."""

    def ms(self, samples: int) -> int:
        return samples * 1000 // self.rate

    @property
    def backlog_ms(self) -> int:
        return self.ms(self._waiting_audio + self._sent_audio)

    @property
    def lag_ms(self) -> int:
        """Sent and not acknowledged."""
        return self.ms(self._sent_audio)

    @property
    def sent_ms(self) -> int:
        """On this connection."""
        return self.ms(self._position)

    @property
    def entries(self) -> int:
        return len(self._sent) + len(self._waiting) + len(self._places)

    @property
    def asking(self) -> bool:
        """A mark was sent whose answer is out."""
        return any(isinstance(entry, Mark) for entry in self._sent)

    @property
    def loud(self) -> bool:
        """Somebody may have spoken in what was sent and is not acknowledged."""
        return any(isinstance(entry, Audio) and entry.loud for entry in self._sent)

    def unanswered(self) -> bytes:
        """All audio that was sent and is not acknowledged."""
        return b"".join(entry.pcm for entry in self._sent if isinstance(entry, Audio))

    def push(self, pcm: bytes | memoryview) -> None:
        data = self._odd + bytes(pcm) if self._odd else bytes(pcm)
        whole = len(data) & ~1
        self._odd = data[whole:]
        size = self._samples(PIECE_MS) * 2
        for at in range(0, whole, size):
            piece = data[at : min(at + size, whole)]
            self._add(Audio(self.end, self.end + len(piece) // 2, piece))
            self._waiting_audio += len(piece) // 2
            self._unmarked = True
            while self._waiting_audio > self._wait:
                self._give_up_oldest()

    def skip(self, ms: int) -> None:
        """A gap; an utterance in progress ends there."""
        if ms <= 0:
            return
        self.finish()
        samples = self._samples(ms)
        last = self._waiting[-1] if self._waiting else None
        if isinstance(last, Gap):
            last.end += samples
            self.end += samples
        else:
            self._add(Gap(self.end, self.end + samples))
            self._waiting_marks += 1

    def finish(self) -> None:
        """Nothing where nothing was said since the last."""
        self._odd = b""
        if self._unmarked:
            self._unmarked = False
            self._add(Mark(self.end))
            self._waiting_marks += 1

    def ready(self, samples: int) -> bool:
        """There is so much audio to take, or something that does not wait for more of it."""
        return self._waiting_marks > 0 or self._waiting_audio >= max(1, samples)

    def take(self, most: int) -> Entry | None:
        """What is to be sent next: at most so many samples of audio, or a gap, or a mark. None where nothing waits."""
        if not self._waiting:
            return None
        if not isinstance(self._waiting[0], Audio):
            entry = self._waiting.popleft()
            self._waiting_marks -= 1
            if isinstance(entry, Mark):
                self._sent.append(entry)
            elif not self._sent:
                self._commit(entry.end)
            else:
                self._sent.append(entry)
            return entry
        taken = self._gather(most)
        if self._places[-1][1] - self._places[-1][0] != taken.start - self._position:
            self._places.append((self._position, taken.start))
        self._position += taken.end - taken.start
        taken.behind = self._position
        self._sent.append(taken)
        length = taken.end - taken.start
        self._waiting_audio -= length
        self._sent_audio += length
        self._forget_oldest()
        return taken

    def filled(self, samples: int) -> None:
        """So much silence was sent for a gap."""
        self._position += samples

    def place(self, connection_ms: int, *, ending: bool = False) -> int:
        """Where a time of this connection lies on the stream's, in samples. At a place where something was left out an
        ``ending`` is before it, everything else behind it."""
        at = min(max(0, self._samples(connection_ms)), self._position)
        find = bisect_left if ending else bisect_right
        index = max(0, find(self._places, at, key=lambda place: place[0]) - 1)
        ours, streams = self._places[index]
        return streams + at - ours

    def commit(self, position: int) -> None:
        """The server has told all there is to tell up to there."""
        if position > self.committed:
            self._commit(position)

    def flushed(self) -> bool:
        """The oldest question is answered; False where none was asked."""
        mark = next((entry for entry in self._sent if isinstance(entry, Mark)), None)
        if mark is None:
            return False
        self._sent.remove(mark)
        self._commit(max(self.committed, mark.end))
        return True

    def settle(self, quiet_ms: int) -> None:
        """Silence that was sent so long before the newest audio, with nothing before it, is dealt with: servers need
        not say so."""
        while self._sent and isinstance(first := self._sent[0], Audio):
            if first.loud or self._position - first.behind < self._samples(quiet_ms):
                return
            self._commit(first.end, told=False)

    @property
    def sent(self) -> int:
        """Behind what was sent last."""
        return self._sent[-1].end if self._sent else self.committed

    def rewind(self) -> int:
        """A new connection: what was not acknowledged waits again. How many samples of it are not kept any more. It is
        not asked about what the last one has dealt with."""
        unkept, self._unkept = self._unkept, 0
        for entry in reversed(self._sent):
            if isinstance(entry, Mark) and entry.start <= self.committed:
                continue
            self._waiting.appendleft(entry)
            self._waiting_marks += not isinstance(entry, Audio)
        self._waiting_audio += self._sent_audio
        self._sent.clear()
        self._sent_audio = 0
        self._position = 0
        start = self._waiting[0].start if self._waiting else self.end
        self._places = [(0, start)]
        return unkept

    def dealt_with(self, position: int) -> bool:
        """All audio before it was sent, and no question about it is open."""
        if any(not isinstance(entry, Gap) and entry.start < position for entry in self._waiting):
            return False
        marks = (entry for kept in (self._waiting, self._sent) for entry in kept if isinstance(entry, Mark))
        return not any(mark.end <= position for mark in marks)

    def clear(self) -> None:
        self._sent.clear()
        self._waiting.clear()
        self._sent_audio = self._waiting_audio = self._waiting_marks = 0

    def _samples(self, ms: int) -> int:
        return ms * self.rate // 1000

    def _add(self, entry: Entry) -> None:
        self._waiting.append(entry)
        self.end = entry.end

    def _gather(self, most: int) -> Audio:
        pieces: list[bytes] = []
        start = self._waiting[0].start
        count = 0
        while self._waiting and count < most and isinstance(entry := self._waiting[0], Audio):
            left = most - count
            if entry.end - entry.start > left:
                pieces.append(entry.pcm[: left * 2])
                entry.pcm = entry.pcm[left * 2 :]
                entry.start += left
                count += left
                break
            pieces.append(entry.pcm)
            count += entry.end - entry.start
            self._waiting.popleft()
        pcm = b"".join(pieces)
        return Audio(start, start + count, pcm, audioop.rms(pcm, 2) > QUIET_RMS)

    def _commit(self, position: int, *, told: bool = True) -> None:
        self.committed = max(self.committed, position)
        if self.committed >= self.end:
            self._unmarked = False
        kept: deque[Entry] = deque()
        while self._sent and self._sent[0].start <= self.committed:
            entry = self._sent.popleft()
            if isinstance(entry, Mark):
                kept.append(entry)
            elif isinstance(entry, Gap):
                # A gap is dealt with as soon as it is reached.
                self.committed = max(self.committed, entry.end)
            else:
                cut = min(self.committed, entry.end) - entry.start
                self._sent_audio -= cut
                if entry.end > self.committed:
                    rest = entry.pcm[cut * 2 :]
                    # The last sound of a word often lies a little behind the end that is told of it.
                    loud = entry.loud and (not told or audioop.rms(rest[self._samples(TAIL_MS) * 2 :], 2) > QUIET_RMS)
                    kept.append(Audio(self.committed, entry.end, rest, loud, entry.behind))
                    break
        self._sent.extendleft(reversed(kept))
        self._unkept = 0
        self._forget_places()

    def _forget_places(self) -> None:
        places = self._places
        while len(places) > 1 and places[1][1] <= self.committed:
            places.pop(0)

    def _forget_oldest(self) -> None:
        marks: list[Entry] = []
        while self._sent_audio > self._keep and self._sent:
            entry = self._sent.popleft()
            if isinstance(entry, Mark):
                marks.append(entry)
            elif isinstance(entry, Audio):
                self._sent_audio -= entry.end - entry.start
                self._unkept += entry.end - entry.start
        self._sent.extendleft(reversed(marks))

    def _give_up_oldest(self) -> None:
        """The oldest waiting audio becomes a gap, together with a gap before it. Marks stay."""
        marks: list[Entry] = []
        start: int | None = None
        while self._waiting:
            entry = self._waiting.popleft()
            if isinstance(entry, Mark):
                marks.append(entry)
                continue
            start = entry.start if start is None else start
            if isinstance(entry, Audio):
                self._waiting_audio -= entry.end - entry.start
                self.dropped += entry.end - entry.start
                self._waiting.appendleft(Gap(start, entry.end))
                self._waiting_marks += 1
                break
            self._waiting_marks -= 1
        self._waiting.extendleft(reversed(marks))
