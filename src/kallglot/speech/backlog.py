"""What an engine has not finally dealt with of one stream, so that another engine can take over. Pure.

Positions are samples on the stream's timeline, gaps included.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from kallglot.speech import frames
from kallglot.speech.frames import Kind

KEEP_MS: Final = 60_000
"""Audio kept for a stream; beyond it the oldest that no engine has yet is given up."""
FLYING_MS: Final = 30_000
"""Of that, what an engine is given ahead of its answers."""
PIECE_MS: Final = 500
"""Larger pushes are cut up."""
STRIKES: Final = 5
"""Engines that die one after another over the same audio, without getting any further: it is given up."""


@dataclass(slots=True)
class Entry:
    kind: Kind
    payload: bytes
    start: int
    end: int


class Backlog:
    """Entries wait, are taken to be sent, and are forgotten when the engine has committed itself beyond them."""

    def __init__(self, stream: int, sample_rate_hz: int) -> None:
        self.committed = 0
        self.dropped = 0
        """Samples that were given up."""
        self._stream = stream
        self._rate = sample_rate_hz
        self._end = 0
        self._sent: deque[Entry] = deque()
        self._waiting: deque[Entry] = deque()
        self._flying = 0
        self._unsent = 0
        self._half_sample = b""
        self._drains: set[bytes] = set()
        self._tokens = 0
        self._strikes = 0

    @property
    def backlog_ms(self) -> int:
        """Audio only: a gap is no work."""
        return self.ms(self._flying + self._unsent)

    @property
    def waiting(self) -> bool:
        return bool(self._waiting)

    @property
    def entries(self) -> int:
        return len(self._sent) + len(self._waiting)

    def ms(self, samples: int) -> int:
        return samples * 1000 // self._rate

    def push(self, pcm: bytes | memoryview) -> None:
        data = self._half_sample + bytes(pcm)
        whole = len(data) & ~1
        self._half_sample = data[whole:]
        size = PIECE_MS * self._rate // 1000 * 2
        for at in range(0, whole, size):
            piece = data[at : min(at + size, whole)]
            self._add(Kind.AUDIO, piece, len(piece) // 2)
            self._unsent += len(piece) // 2
            if self.ms(self._flying + self._unsent) > KEEP_MS:
                self._give_up_oldest()

    def skip(self, ms: int) -> None:
        if ms <= 0:
            return
        self._half_sample = b""
        samples = ms * self._rate // 1000
        if self._waiting and self._waiting[-1].kind is Kind.SKIP:
            last = self._waiting.pop()
            self._end, samples = last.start, samples + last.end - last.start
        self._add(Kind.SKIP, b"", samples)

    def finish(self) -> None:
        last = self._waiting or self._sent
        if last and last[-1].kind is not Kind.FINISH:
            self._add(Kind.FINISH, b"", 0)

    def drain(self) -> bytes:
        """A mark in the stream; the engine answers with the same token."""
        self._tokens += 1
        token = self._tokens.to_bytes(8, "big")
        self._drains.add(token)
        self._add(Kind.DRAIN, token, 0)
        return token

    def drained(self, token: bytes) -> None:
        """Answered, or nobody waits for it any more."""
        self._drains.discard(token)
        self._trim()

    def take(self) -> bytes | None:
        """The next frame for the engine; None when there is none, or the engine has enough to do."""
        if not self._waiting:
            return None
        entry = self._waiting[0]
        length = entry.end - entry.start
        if entry.kind is Kind.AUDIO:
            if self.ms(self._flying) >= FLYING_MS:
                return None
            self._flying += length
            self._unsent -= length
        self._sent.append(self._waiting.popleft())
        payload = length.to_bytes(8, "big") if entry.kind is Kind.SKIP else entry.payload
        return frames.encode(entry.kind, self._stream, payload)

    def commit(self, position: int) -> None:
        """The engine has told all there is to tell up to there."""
        if position > self.committed:
            self.committed = position
            self._strikes = 0
            self._trim()
            self._cut_committed()

    def rewind(self) -> None:
        """The engine is lost: what it had not dealt with waits again."""
        self._strikes += 1
        self._waiting.extendleft(reversed(self._sent))
        self._sent.clear()
        self._unsent += self._flying
        poisoned, self._flying = self._flying, 0
        if self._strikes >= STRIKES:
            self._strikes = 0
            before = self._unsent
            while before - self._unsent < poisoned:
                self._give_up_oldest()

    @property
    def start(self) -> int:
        """Where a new engine begins."""
        return max(self.committed, self._waiting[0].start) if self._waiting else self._end

    def _add(self, kind: Kind, payload: bytes, length: int) -> None:
        self._waiting.append(Entry(kind, payload, self._end, self._end + length))
        self._end += length

    def _trim(self) -> None:
        sent = self._sent
        while sent and sent[0].end <= self.committed and not self._awaited(sent[0]):
            gone = sent.popleft()
            if gone.kind is Kind.AUDIO:
                self._flying -= gone.end - gone.start

    def _awaited(self, entry: Entry) -> bool:
        return entry.kind is Kind.DRAIN and entry.payload in self._drains

    def _cut_committed(self) -> None:
        """A new engine must not hear again what the old one has told."""
        for entry in self._sent:
            if entry.start >= self.committed:
                return
            cut = min(self.committed, entry.end) - entry.start
            entry.start += cut
            if entry.kind is Kind.AUDIO:
                entry.payload = entry.payload[cut * 2 :]
                self._flying -= cut

    def _give_up_oldest(self) -> None:
        """The oldest waiting audio becomes a gap, together with a gap before it. Marks stay."""
        drains: list[Entry] = []
        start: int | None = None
        while self._waiting:
            entry = self._waiting.popleft()
            start = entry.start if start is None else start
            if entry.kind is Kind.DRAIN:
                drains.append(entry)
            elif entry.kind is Kind.AUDIO:
                length = entry.end - entry.start
                self._unsent -= length
                self.dropped += length
                self._waiting.appendleft(Entry(Kind.SKIP, b"", start, entry.end))
                break
        self._waiting.extendleft(reversed(drains))
