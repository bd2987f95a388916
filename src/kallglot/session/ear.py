"""One speaker's audio on its way into a recogniser, placed on the session's timeline."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from kallglot.audio.mediaclock import Placed
from kallglot.audio.resample import Resampler
from kallglot.speech.types import (
    EngineError,
    Recognizer,
    RecognizerEvent,
    RecognizerOptions,
    RecognizerStream,
    Restarted,
)
from kallglot.speech.types import Final as FinalText

log = logging.getLogger(__name__)

STALL_MS: Final = 800
"""A speaker whose audio stops coming in mid-utterance has ended it: push-to-talk, and senders that suppress silence."""
PENDING_MS: Final = 25_000.0
"""Audio kept while a recogniser is being opened, beside what it is to hear again: more than has to wait before a leg is
not read from any more."""
KEPT_AFTER_FAILURE_MS: Final = 8_000
"""Of that, when no recogniser could be opened: little enough for the leg to be read from again, which tries again."""
TOLD_LOST_MS: Final = 1000
KEPT_MS: Final = 20_000
"""Audio kept to be heard again by another recogniser: longer than any utterance."""
OPEN_ATTEMPTS: Final = 5
LEAVE_SECONDS: Final = 5.0


@dataclass(eq=False, slots=True)
class _Line:
    """One stream, and where its time lies on the session's."""

    language: str | None
    translate_to: str | None = None
    stream: RecognizerStream | None = None
    stream_ms: float = 0.0
    origin_ms: float = 0.0
    told: bool = True
    """What it says is listened to."""


class Ear:
    """Opens its recogniser stream with the first audio.

    ``on_event`` gets the stream's events with the session's millisecond at which the stream's time began and, for what
    was said before :meth:`hand_over`, with the language that it was heard in. With ``keeps`` the last twenty seconds
    can be heard again by :meth:`relisten`. Its tasks log as who made it does.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        *,
        language: str | None,
        partials: bool,
        terms: tuple[str, ...],
        keeps: bool,
        translate_to: Callable[[str | None], str | None] = lambda _: None,
        on_event: Callable[[RecognizerEvent, int, str | None], None],
        on_failure: Callable[[str], None],
    ) -> None:
        self.recognizer = recognizer
        self._partials = partials
        self._terms = terms
        self._translate_to = translate_to
        self._on_event = on_event
        self._on_failure = on_failure
        self._line = _Line(language)
        self._context = copy_context()
        self._opening: asyncio.Task[None] | None = None
        self._openings: set[asyncio.Task[None]] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._pending: deque[tuple[Placed, bytes]] = deque()
        self._pending_ms = 0.0
        self._most_pending_ms = PENDING_MS
        self._kept: deque[tuple[Placed, bytes]] | None = deque() if keeps else None
        self._rate = 0
        self._resamplers: dict[int, Resampler] = {}
        self._heard_at_ms = 0.0
        self._restless = False
        self._lost_ms = 0.0
        self._closed = False

    @property
    def backlog_ms(self) -> float:
        return self._pending_ms + (self._line.stream.backlog_ms if self._line.stream else 0)

    @property
    def untold(self) -> tuple[tuple[str, int], ...]:
        """Engines, and how many milliseconds of audio they were given that they have not told of."""
        return getattr(self._line.stream, "untold", ())

    def hear(self, pcm: bytes, sample_rate_hz: int, placed: Placed, now_ms: float) -> None:
        """Takes the next audio of the speaker, of any length, at a millisecond of the session."""
        if self._closed or not pcm:
            return
        if not self._rate:
            self._rate = 8000 if sample_rate_hz == 8000 else 16000
        if self._line.stream is None and self._opening is None:
            self._begin()
        self._heard_at_ms = now_ms
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

    def tick(self, now_ms: float) -> None:
        if self._restless and now_ms - self._heard_at_ms > STALL_MS:
            self.finish()

    def finish(self) -> None:
        self._restless = False
        if self._line.stream is not None:
            self._line.stream.finish()

    def relisten(self, recognizer: Recognizer, language: str | None, from_ms: float, *, partials: bool) -> None:
        """Goes on with another recogniser or language, from ``from_ms`` of the session or as far back as was kept."""
        self._line.told = False
        self._let_go(_closed)
        self.recognizer, self._partials = recognizer, partials
        self._line = _Line(language)
        if self._rate:
            self._pending = deque(self._from(from_ms))
            self._pending_ms = sum(self._duration(pcm) for _, pcm in self._pending)
            self._most_pending_ms = self._pending_ms + PENDING_MS
            self._begin()

    def hand_over(
        self, recognizer: Recognizer | None, language: str | None, *, partials: bool, keeps: bool = False
    ) -> None:
        """What is said from now on is heard by another recogniser, or by none; what was said before, still by this."""
        self._let_go(_finished)
        self._line, self._partials = _Line(language), partials
        self._kept = deque(self._pending) if keeps else None
        if recognizer is None:
            self._pending, self._pending_ms = deque(), 0.0
        else:
            self.recognizer = recognizer
            if self._rate:
                self._begin()

    def translated(self, final: FinalText) -> tuple[str, str] | None:
        """The language and the translation to it that the recogniser brought along, if it did."""
        to = self._line.translate_to
        return (to, final.translation) if to is not None and final.translation else None

    async def drain(self) -> None:
        """Everything heard so far is recognised and told when this returns."""
        while True:
            while (opening := self._opening) is not None and not opening.done():
                await asyncio.wait([opening])
            line = self._line
            self.finish()
            if line.stream is not None:
                await line.stream.drain()
            if self._closing:
                await asyncio.wait(self._closing)
            if line is self._line:
                return

    async def close(self) -> None:
        self._closed = True
        for opening in self._openings:
            opening.cancel()
        if self._openings:
            await asyncio.wait(self._openings)
        self._line.told = False
        self._let_go(_closed)
        if self._closing:
            await asyncio.wait(self._closing)
        # What its stream holds goes with it, and is not left to garbage collection.
        self._line = _Line(self._line.language)
        self._pending.clear()
        self._kept = None

    # Inside

    def _begin(self) -> None:
        self._line = _Line(self._line.language)
        self._opening = asyncio.create_task(self._open(self._line), name="recogniser-open", context=self._context)
        self._openings.add(self._opening)
        self._opening.add_done_callback(self._openings.discard)

    def _let_go(self, end: Callable[[_Line, RecognizerStream], Coroutine[Any, Any, None]]) -> None:
        """Lets go of the stream and of one that is being opened."""
        line, self._opening = self._line, None
        if line.stream is None:
            line.told = False
            return
        task = asyncio.create_task(end(line, line.stream), name="recogniser-close", context=self._context)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _duration(self, pcm: bytes) -> float:
        return len(pcm) / 2 * 1000 / self._rate

    def _from(self, from_ms: float) -> Iterator[tuple[Placed, bytes]]:
        """What was kept, from there on."""
        for placed, pcm in self._kept or ():
            before = round((from_ms - placed.at_ms) * self._rate / 1000)
            if before <= 0:
                yield placed, pcm
            elif before * 2 < len(pcm):
                yield Placed(from_ms, 0), pcm[before * 2 :]

    def _give(self, placed: Placed, pcm: bytes) -> None:
        line, stream = self._line, self._line.stream
        if stream is None:
            self._pending.append((placed, pcm))
            self._pending_ms += self._duration(pcm)
            self._bound_pending(self._most_pending_ms)
            return
        if placed.gap_ms and line.stream_ms:
            stream.skip(placed.gap_ms)
            line.stream_ms += placed.gap_ms
        line.origin_ms = placed.at_ms - line.stream_ms
        line.stream_ms += self._duration(pcm)
        stream.push(pcm)

    def _bound_pending(self, most_ms: float) -> None:
        lost_ms = 0.0
        while self._pending_ms > most_ms and self._pending:
            dropped_ms = self._duration(self._pending.popleft()[1])
            self._pending_ms -= dropped_ms
            lost_ms += dropped_ms
        self._lost_ms += lost_ms
        if self._lost_ms >= TOLD_LOST_MS:
            lost_ms, self._lost_ms = self._lost_ms, 0.0
            self._on_event(Restarted(round(lost_ms)), round(self._line.origin_ms), None)

    async def _open(self, line: _Line) -> None:
        line.translate_to = self._translate_to(line.language)
        options = RecognizerOptions(self._rate, line.language, self._partials, self._terms, line.translate_to)
        stream = None
        for attempt in range(1, OPEN_ATTEMPTS + 1):
            try:
                stream = await self.recognizer.open(options, partial(self._tell, line))
            except Exception as error:
                expected = isinstance(error, EngineError)
                log.warning(
                    "opening a recogniser failed (attempt %d of %d): %s",
                    attempt,
                    OPEN_ATTEMPTS,
                    error,
                    exc_info=not expected,
                )
                self._on_failure(str(error))
                if attempt < OPEN_ATTEMPTS:
                    await asyncio.sleep(0.2 * 2**attempt)
                if line is not self._line:
                    return
            else:
                break
        self._most_pending_ms = PENDING_MS
        if stream is None:
            # The next audio tries again, and brings what was kept.
            self._bound_pending(KEPT_AFTER_FAILURE_MS)
            self._opening = None
            return
        if line is not self._line:
            await stream.close()
            return
        line.stream, self._opening = stream, None
        pending, self._pending, self._pending_ms = self._pending, deque(), 0.0
        for placed, pcm in pending:
            self._give(placed, pcm)
            if line is not self._line:
                # What was just heard called for another recogniser, which hears the rest too.
                break

    def _tell(self, line: _Line, event: RecognizerEvent) -> None:
        if line.told:
            self._on_event(event, round(line.origin_ms), None if line is self._line else line.language)


async def _closed(line: _Line, stream: RecognizerStream) -> None:
    line.told = False
    await stream.close()


async def _finished(line: _Line, stream: RecognizerStream) -> None:
    try:
        async with asyncio.timeout(LEAVE_SECONDS):
            stream.finish()
            await stream.drain()
    except (EngineError, TimeoutError) as error:
        log.warning("a recogniser was let go of before it was through: %s", type(error).__name__)
    await _closed(line, stream)
