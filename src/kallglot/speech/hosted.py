"""A recogniser stream whose recogniser is in a child process: what it keeps until the child has dealt with it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from kallglot.speech import frames
from kallglot.speech.frames import Frame, Kind
from kallglot.speech.types import Final as FinalText
from kallglot.speech.types import Partial, RecognizerEvent, RecognizerOptions, Restarted, SpeechStarted, SpeechStopped

KEEP_MS: Final = 60_000


class HostedStream:
    """A :class:`RecognizerStream` whose recogniser is in a child."""

    def __init__(
        self,
        number: int,
        options: RecognizerOptions,
        on_event: Callable[[RecognizerEvent], None],
        on_close: Callable[[HostedStream], None],
    ) -> None:
        self.number = number
        self.options = options
        self.wake: asyncio.Event | None = None
        """Set when there is something to send; None while no child serves the stream."""
        self.closed = False
        self._on_close = on_close
        self._on_event = on_event
        self._kept: deque[tuple[float, bytes]] = deque()
        """What the child has not dealt with: where it ends in ms, and the frame; the first ``_sent`` are under way."""
        self._sent = 0
        self._end_ms = 0.0
        self._kept_audio_ms = 0.0
        self._dropped_ms = 0.0
        self._draining: dict[bytes, asyncio.Future[None]] = {}
        self._tokens = 0

    @property
    def backlog_ms(self) -> int:
        return round(self._kept_audio_ms)

    @property
    def dropped_ms(self) -> int:
        return round(self._dropped_ms)

    @property
    def has_unsent(self) -> bool:
        return self._sent < len(self._kept)

    def push(self, pcm: bytes | memoryview) -> None:
        length_ms = len(pcm) / 2 * 1000 / self.options.sample_rate_hz
        self._end_ms += length_ms
        self._kept_audio_ms += length_ms
        self._keep(frames.encode(Kind.AUDIO, self.number, bytes(pcm)))
        while self._kept_audio_ms > KEEP_MS:
            self._drop_oldest()

    def skip(self, ms: int) -> None:
        self._end_ms += ms
        self._keep(frames.encode(Kind.SKIP, self.number, ms.to_bytes(8, "big")))

    def finish(self) -> None:
        self._keep(frames.encode(Kind.FINISH, self.number))

    async def drain(self) -> None:
        if self.closed:
            return
        self._tokens += 1
        token = self._tokens.to_bytes(8, "big")
        done = self._draining[token] = asyncio.get_running_loop().create_future()
        self._keep(frames.encode(Kind.DRAIN, self.number, token))
        try:
            await done
        finally:
            self._draining.pop(token, None)

    async def close(self) -> None:
        self.closed = True
        for waiting in self._draining.values():
            waiting.cancel()
        self._on_close(self)

    # For the host

    def opening(self) -> bytes:
        """What a child is told first; everything kept is sent after it."""
        self._sent = 0
        start_ms = round(self._kept_from_ms())
        options = {
            "rate": self.options.sample_rate_hz,
            "language": self.options.language,
            "partials": self.options.partials,
            "start_ms": start_ms,
        }
        return frames.pack(Kind.OPEN, self.number, options)

    def take_unsent(self) -> bytes:
        _, frame = self._kept[self._sent]
        self._sent += 1
        return frame

    def moved(self) -> None:
        """The child behind it was replaced."""
        if not self.closed:
            self._on_event(Restarted(0))

    def receive(self, frame: Frame) -> None:
        if self.closed:
            return
        if frame.kind is Kind.COMMITTED:
            self._commit(int.from_bytes(frame.payload, "big"))
        elif frame.kind is Kind.DRAINED:
            self._drained(frame.payload)
        elif frame.kind is Kind.EVENT:
            told = frames.unpack(frame)
            if told[0] == "final":
                self._commit(told.pop())
            self._on_event(_event(told))

    def _keep(self, frame: bytes) -> None:
        if self.closed:
            return
        self._kept.append((self._end_ms, frame))
        if self.wake is not None:
            self.wake.set()

    def _kept_from_ms(self) -> float:
        """Where the first kept audio begins."""
        if not self._kept:
            return self._end_ms
        end_ms, frame = self._kept[0]
        return end_ms - self._length_ms(frame)

    def _length_ms(self, frame: bytes) -> float:
        kind, payload = frame[4], frame[9:]
        if kind == Kind.AUDIO:
            return len(payload) / 2 * 1000 / self.options.sample_rate_hz
        return float(int.from_bytes(payload, "big")) if kind == Kind.SKIP else 0.0

    def _commit(self, ms: int) -> None:
        while self._kept and self._sent and self._kept[0][0] <= ms and not self._waits_for(self._kept[0][1]):
            _, frame = self._kept.popleft()
            self._sent -= 1
            if frame[4] == Kind.AUDIO:
                self._kept_audio_ms -= self._length_ms(frame)

        if self._kept and self._sent:
            self._trim(ms)

    def _trim(self, ms: int) -> None:
        """Cuts off the part of the first kept audio that was dealt with, so that nobody hears it twice."""
        end_ms, frame = self._kept[0]
        length = self._length_ms(frame)
        if frame[4] != Kind.AUDIO or end_ms - length >= ms:
            return
        cut = round((ms - end_ms + length) * self.options.sample_rate_hz / 1000) * 2
        rest = frames.encode(Kind.AUDIO, self.number, frame[9 + cut :])
        self._kept_audio_ms -= length - self._length_ms(rest)
        self._kept[0] = (end_ms, rest)

    def _waits_for(self, frame: bytes) -> bool:
        return frame[4] == Kind.DRAIN and frame[9:] in self._draining

    def _drained(self, token: bytes) -> None:
        waiting = self._draining.get(token)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def _drop_oldest(self) -> None:
        """The child is a minute behind, or away for as long: the oldest audio becomes a gap."""
        for index, (end_ms, frame) in enumerate(self._kept):
            if frame[4] == Kind.AUDIO:
                length = self._length_ms(frame)
                self._kept_audio_ms -= length
                if index >= self._sent:
                    self._dropped_ms += length
                gap = frames.encode(Kind.SKIP, self.number, round(length).to_bytes(8, "big"))
                self._kept[index] = (end_ms, gap)
                return
        self._kept_audio_ms = 0.0


def _event(told: list[Any]) -> RecognizerEvent:
    match told:
        case ["started", at_ms]:
            return SpeechStarted(at_ms)
        case ["stopped", at_ms]:
            return SpeechStopped(at_ms)
        case ["partial", start_ms, text, stable]:
            return Partial(text, stable, start_ms)
        case ["final", start_ms, end_ms, text, confidence]:
            return FinalText(text, start_ms, end_ms, confidence)
        case _:
            raise ValueError(f"an engine told of {told!r}")
