"""One speaker's audio on its way into a recogniser, placed on the session's timeline."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

from kallglot.audio.resample import Resampler
from kallglot.speech.types import EngineError, Recognizer, RecognizerEvent, RecognizerOptions, RecognizerStream

log = logging.getLogger(__name__)

UNSTAMPED_GAP_MS: Final = 1000
"""Audio without stamps that comes this much later than the audio before it ended had a silence before it."""
STALL_MS: Final = 800
"""A speaker whose audio stops coming in mid-utterance has ended it: push-to-talk, and senders that suppress silence."""
PENDING_MS: Final = 10_000
"""Audio kept while a recogniser is being opened."""
OPEN_ATTEMPTS: Final = 5


class Ear:
    """Opens its recogniser stream with the first audio; ``on_event`` gets its events with times from session start."""

    def __init__(
        self,
        recognizer: Recognizer,
        *,
        language: str | None,
        partials: bool,
        terms: tuple[str, ...],
        now_ms: Callable[[], float],
        on_event: Callable[[RecognizerEvent, int], None],
        on_failure: Callable[[str], None],
    ) -> None:
        self._recognizer = recognizer
        self._language = language
        self._partials = partials
        self._terms = terms
        self._now_ms = now_ms
        self._on_event = on_event
        self._on_failure = on_failure
        self._stream: RecognizerStream | None = None
        self._opening: asyncio.Task[None] | None = None
        self._pending: list[bytes | int] = []
        self._pending_ms = 0.0
        self._rate = 0
        self._resamplers: dict[int, Resampler] = {}
        self._position_ms: float | None = None
        self._origin_ms = 0
        self._heard_at_ms = 0.0
        self._restless = False
        self._closed = False

    @property
    def backlog_ms(self) -> float:
        return self._pending_ms + (self._stream.backlog_ms if self._stream else 0)

    def hear(self, pcm: bytes, sample_rate_hz: int, *, gap_ms: int, stamped: bool, new_source: bool) -> None:
        """Takes the next audio of the speaker, of any length."""
        if self._closed:
            return
        now = self._now_ms()
        duration_ms = len(pcm) / 2 * 1000 / sample_rate_hz
        if self._position_ms is None:
            self._position_ms = now
            self._origin_ms = round(now)
            self._rate = 8000 if sample_rate_hz == 8000 else 16000
            self._opening = asyncio.create_task(self._open(), name="recogniser-open")
        elif new_source or (not stamped and now - self._position_ms > UNSTAMPED_GAP_MS):
            gap_ms = max(0, round(now - self._position_ms))
        if gap_ms > 0:
            self._position_ms += gap_ms
            self._give(gap_ms)
        self._position_ms += duration_ms
        self._heard_at_ms = now
        self._restless = True
        if sample_rate_hz != self._rate:
            resampler = self._resamplers.get(sample_rate_hz)
            if resampler is None:
                resampler = self._resamplers[sample_rate_hz] = Resampler(sample_rate_hz, self._rate)
            pcm = resampler.process(pcm)
        self._give(pcm)

    def tick(self) -> None:
        if self._restless and self._now_ms() - self._heard_at_ms > STALL_MS:
            self.finish()

    def finish(self) -> None:
        self._restless = False
        if self._stream is not None:
            self._stream.finish()

    async def drain(self) -> None:
        """Everything heard so far is recognised and told when this returns."""
        if self._opening is not None:
            await asyncio.wait([self._opening])
        self.finish()
        if self._stream is not None:
            await self._stream.drain()

    async def close(self) -> None:
        self._closed = True
        if self._opening is not None and not self._opening.done():
            self._opening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._opening
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.close()

    def _give(self, item: bytes | int) -> None:
        if self._stream is None:
            if self._pending_ms < PENDING_MS:
                self._pending.append(item)
                self._pending_ms += item if isinstance(item, int) else len(item) / 2 * 1000 / self._rate
        elif isinstance(item, int):
            self._stream.skip(item)
        else:
            self._stream.push(item)

    async def _open(self) -> None:
        options = RecognizerOptions(self._rate, self._language, self._partials, self._terms)
        for attempt in range(1, OPEN_ATTEMPTS + 1):
            try:
                stream = await self._recognizer.open(options, self._tell)
                break
            except EngineError as error:
                log.warning("opening a recogniser failed (attempt %d of %d): %s", attempt, OPEN_ATTEMPTS, error)
                self._on_failure(str(error))
                if attempt == OPEN_ATTEMPTS:
                    self._pending.clear()
                    self._pending_ms = 0.0
                    self._position_ms = None
                    return
                await asyncio.sleep(0.2 * 2**attempt)
        else:
            return
        self._stream = stream
        pending, self._pending, self._pending_ms = self._pending, [], 0.0
        for item in pending:
            self._give(item)

    def _tell(self, event: RecognizerEvent) -> None:
        self._on_event(event, self._origin_ms)
