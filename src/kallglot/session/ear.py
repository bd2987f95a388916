"""One speaker's audio on its way into a recogniser, placed on the session's timeline."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from kallglot.audio.mediaclock import Placed
from kallglot.audio.resample import Resampler
from kallglot.speech.types import EngineError, Recognizer, RecognizerEvent, RecognizerOptions, RecognizerStream

log = logging.getLogger(__name__)

STALL_MS: Final = 800
"""A speaker whose audio stops coming in mid-utterance has ended it: push-to-talk, and senders that suppress silence."""
PENDING_MS: Final = 10_000
"""Audio kept while a recogniser is being opened."""
KEPT_MS: Final = 20_000
"""Audio kept to be heard again by another recogniser: longer than any utterance."""
OPEN_ATTEMPTS: Final = 5


class Ear:
    """Opens its recogniser stream with the first audio.

    ``on_event`` gets the stream's events with the session's millisecond at which the stream's time began.
    With ``keeps`` the last twenty seconds can be heard again by :meth:`relisten`.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        *,
        language: str | None,
        partials: bool,
        terms: tuple[str, ...],
        keeps: bool,
        now_ms: Callable[[], float],
        on_event: Callable[[RecognizerEvent, int], None],
        on_failure: Callable[[str], None],
    ) -> None:
        self.recognizer = recognizer
        self._language = language
        self._partials = partials
        self._terms = terms
        self._now_ms = now_ms
        self._on_event = on_event
        self._on_failure = on_failure
        self._stream: RecognizerStream | None = None
        self._opening: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._generation = 0
        self._pending: list[tuple[Placed, bytes]] = []
        self._pending_ms = 0.0
        self._kept: deque[tuple[Placed, bytes]] | None = deque() if keeps else None
        self._rate = 0
        self._resamplers: dict[int, Resampler] = {}
        self._stream_ms = 0.0
        self._origin_ms = 0.0
        self._heard_at_ms = 0.0
        self._restless = False
        self._closed = False

    @property
    def backlog_ms(self) -> float:
        return self._pending_ms + (self._stream.backlog_ms if self._stream else 0)

    def hear(self, pcm: bytes, sample_rate_hz: int, placed: Placed) -> None:
        """Takes the next audio of the speaker, of any length."""
        if self._closed:
            return
        if not self._rate:
            self._rate = 8000 if sample_rate_hz == 8000 else 16000
            self._begin()
        elif self._stream is None and self._opening is None:
            self._begin()
        self._heard_at_ms = self._now_ms()
        self._restless = True
        if sample_rate_hz != self._rate:
            resampler = self._resamplers.get(sample_rate_hz)
            if resampler is None:
                resampler = self._resamplers[sample_rate_hz] = Resampler(sample_rate_hz, self._rate)
            pcm = resampler.process(pcm)
        if self._kept is not None:
            self._kept.append((placed, pcm))
            while placed.at_ms - self._kept[0][0].at_ms > KEPT_MS:
                self._kept.popleft()
        self._give(placed, pcm)

    def tick(self) -> None:
        if self._restless and self._now_ms() - self._heard_at_ms > STALL_MS:
            self.finish()

    def finish(self) -> None:
        self._restless = False
        if self._stream is not None:
            self._stream.finish()

    def relisten(self, recognizer: Recognizer, language: str | None, from_ms: float) -> None:
        """Goes on with another recogniser or language, from ``from_ms`` of the session or as far back as was kept."""
        self._retire()
        self.recognizer, self._language = recognizer, language
        if self._rate:
            self._pending = [(placed, pcm) for placed, pcm in self._kept or () if placed.at_ms >= from_ms]
            self._pending_ms = sum(self._duration(pcm) for _, pcm in self._pending)
            self._begin()

    async def drain(self) -> None:
        """Everything heard so far is recognised and told when this returns."""
        while (opening := self._opening) is not None:
            await asyncio.wait([opening])
            if self._opening is opening:
                break
        self.finish()
        if self._stream is not None:
            await self._stream.drain()

    async def close(self) -> None:
        self._closed = True
        if self._opening is not None and not self._opening.done():
            self._opening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._opening
        self._retire()
        if self._closing:
            await asyncio.wait(self._closing)

    # Inside

    def _begin(self) -> None:
        self._generation += 1
        self._stream_ms = 0.0
        self._opening = asyncio.create_task(self._open(self._generation), name="recogniser-open")

    def _retire(self) -> None:
        """Lets go of the stream; what it still says is not listened to."""
        self._generation += 1
        stream, self._stream = self._stream, None
        if stream is not None:
            task = asyncio.create_task(stream.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _duration(self, pcm: bytes) -> float:
        return len(pcm) / 2 * 1000 / self._rate

    def _give(self, placed: Placed, pcm: bytes) -> None:
        stream = self._stream
        if stream is None:
            if self._pending_ms < PENDING_MS:
                self._pending.append((placed, pcm))
                self._pending_ms += self._duration(pcm)
            return
        if placed.gap_ms and self._stream_ms:
            stream.skip(placed.gap_ms)
            self._stream_ms += placed.gap_ms
        self._origin_ms = placed.at_ms - self._stream_ms
        stream.push(pcm)
        self._stream_ms += self._duration(pcm)

    async def _open(self, generation: int) -> None:
        options = RecognizerOptions(self._rate, self._language, self._partials, self._terms)
        for attempt in range(1, OPEN_ATTEMPTS + 1):
            try:
                stream = await self.recognizer.open(options, partial(self._tell, generation))
            except EngineError as error:
                log.warning("opening a recogniser failed (attempt %d of %d): %s", attempt, OPEN_ATTEMPTS, error)
                self._on_failure(str(error))
                if attempt < OPEN_ATTEMPTS:
                    await asyncio.sleep(0.2 * 2**attempt)
            else:
                break
        else:
            if generation == self._generation:
                # The next audio tries again.
                self._pending, self._pending_ms, self._opening = [], 0.0, None
            return
        if generation != self._generation:
            await stream.close()
            return
        self._stream = stream
        pending, self._pending, self._pending_ms = self._pending, [], 0.0
        for placed, pcm in pending:
            self._give(placed, pcm)

    def _tell(self, generation: int, event: RecognizerEvent) -> None:
        if generation == self._generation:
            self._on_event(event, round(self._origin_ms))
