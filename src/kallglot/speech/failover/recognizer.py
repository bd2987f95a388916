"""Several recognisers as one: a stream goes on with the next when the one that hears it is lost."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Coroutine, Sequence
from functools import partial
from typing import Any, Final

from kallglot.speech import used
from kallglot.speech.failover.opener import Line, Opener, key_of
from kallglot.speech.failover.relay import Relay
from kallglot.speech.failover.rests import Rests
from kallglot.speech.types import (
    EngineError,
    Failed,
    Partial,
    Recognizer,
    RecognizerEvent,
    RecognizerOptions,
    RecognizerStream,
)
from kallglot.speech.types import Final as FinalText

log = logging.getLogger(__name__)

CLOSE_S: Final = 5.0
LOOK_S: Final = 0.5
"""Between looks at whether an engine has stalled, or the preferred one is back."""
WAITS_S: Final[tuple[float, ...]] = (0.5, 1.0, 2.0, 4.0)
"""Between rounds in which no engine could be opened; the last again and again."""
SETTLED_S: Final = 10.0
"""An engine that lasted so long did not fail over what the one before it failed over."""
BACK_S: Final = 10.0
"""After a preferred engine could not be gone back to, doubled each time up to the longest."""
LONGEST_BACK_S: Final = 60.0
DRAIN_S: Final = 4.0
"""While all is waited for, of an engine that says nothing and whose backlog does not get less: half of what a session
waits at its end, so that the next has the other half."""
MOST_TOLD_MS: Final = 8_000
"""Of a backlog that waits for any engine at all: more would keep the caller's line from being read."""


class FailoverRecognizer:
    """``engines`` in the order of preference. A single one, too, is opened again when it has given up."""

    def __init__(
        self, engines: Sequence[Recognizer], rests: Rests, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._engines = tuple(engines)
        self._rests = rests
        self._now = now
        self.name = engines[0].name

    @property
    def engines(self) -> Sequence[Recognizer]:
        return self._engines

    @property
    def languages(self) -> Collection[str]:
        return tuple(dict.fromkeys(code for engine in self._engines for code in engine.languages))

    async def open(self, options: RecognizerOptions, on_event: Callable[[RecognizerEvent], None]) -> RecognizerStream:
        stream = FailoverStream(self._engines, self._rests, options, on_event, self._now)
        await stream.open()
        return stream


class FailoverStream:
    def __init__(
        self,
        engines: Sequence[Recognizer],
        rests: Rests,
        options: RecognizerOptions,
        on_event: Callable[[RecognizerEvent], None],
        now: Callable[[], float],
    ) -> None:
        self._engines = engines
        self._rests = rests
        self._options = options
        self._opener = Opener(engines, rests, options, told=self._told, let_go=self._let_go)
        self._on_event = on_event
        self._now = now
        self._alone = len(engines) == 1
        self._looks = not self._alone or _far(engines[0])
        self._relay = Relay(options.sample_rate_hz, keeps=self._looks)
        self._line: Line | None = None
        self._changed = asyncio.Event()
        self._suspect: Recognizer | None = None
        self._work: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._taken_at = 0.0
        self._fruitless = 0
        """Engines, one after another, that were lost before they had told anything."""
        self._back_at = 0.0
        self._back_s = BACK_S
        self._drains = 0
        self._progress: tuple[float, int] | None = None
        """While it is drained: since when the backlog has not got less than that."""
        self._dropped_ms = 0
        self._closed = False
        self._meter = used.current()

    async def open(self) -> None:
        """Raises :class:`EngineError` where no engine can be opened."""
        found = await self._opener.first(None)
        if isinstance(found, EngineError):
            raise found
        self._take(found)
        if self._looks:
            self._timer = asyncio.get_running_loop().call_later(LOOK_S, self.look)

    # What a recogniser's stream does

    def push(self, pcm: bytes | memoryview) -> None:
        if self._closed:
            return
        data = self._relay.push(pcm)
        if data and self._line is not None:
            self._do(self._line, partial(_push, data))

    def skip(self, ms: int) -> None:
        if self._closed or ms <= 0:
            return
        self._relay.skip(ms)
        if self._line is not None:
            self._do(self._line, partial(_skip, ms))

    def finish(self) -> None:
        if self._closed:
            return
        self._relay.finish(self._now())
        if self._line is not None:
            self._do(self._line, _finish)

    async def drain(self) -> None:
        self._drains += 1
        try:
            await self._drain()
        finally:
            self._drains -= 1

    async def _drain(self) -> None:
        while not self._closed:
            line = self._line
            self._changed.clear()
            if line is None or line.stream is None:
                await self._changed.wait()
                continue
            draining = asyncio.ensure_future(line.stream.drain())
            changed = asyncio.ensure_future(self._changed.wait())
            try:
                await asyncio.wait((draining, changed), return_when=asyncio.FIRST_COMPLETED)
                if draining.done() and not draining.cancelled() and draining.exception() is not None:
                    self._lose(line, _in_words(draining.exception()))
                elif draining.done() and line is self._line:
                    return
            finally:
                draining.cancel()
                changed.cancel()

    async def close(self) -> None:
        if self._closed:
            return
        if self._meter is not None:
            for name, ms in self.untold:
                self._meter.add("recognition", name, self._options.language, audio_ms=ms)
        self._closed = True
        self._changed.set()
        if self._timer is not None:
            self._timer.cancel()
        line, self._line = self._line, None
        if self._work is not None:
            self._work.cancel()
            await asyncio.wait([self._work])
        if line is not None:
            self._let_go(line)
        self._relay.clear()
        if self._closing:
            await asyncio.wait(self._closing)
        self._on_event = _unheard

    @property
    def backlog_ms(self) -> int:
        if self._line is None or self._line.stream is None:
            return min(self._relay.kept_ms, MOST_TOLD_MS)
        return self._line.stream.backlog_ms

    @property
    def dropped_ms(self) -> int:
        now = self._line.stream.dropped_ms if self._line is not None and self._line.stream is not None else 0
        return self._dropped_ms + now + self._relay.dropped_ms

    @property
    def untold(self) -> tuple[tuple[str, int], ...]:
        """Engines, and how many milliseconds of audio they were given that no final has told of; none of a stream that
        is closed."""
        return () if self._closed else self._relay.untold

    @property
    def engine(self) -> str | None:
        """The name of the one that hears now; None while there is none."""
        return None if self._line is None else self._line.engine.name

    # Choosing

    def _take(self, line: Line, *, failure: bool = False, trial: bool = False) -> None:
        again, events = self._relay.adopt(line.engine.name, self._now(), failure=failure, trial=trial)
        self._line = line
        self._taken_at, self._progress = self._now(), None
        self._changed.set()
        for event in events:
            self._tell(event)
        for entry in again:
            match entry.kind:
                case "audio":
                    self._do(line, partial(_push, entry.pcm))
                case "skip":
                    self._do(line, partial(_skip, (entry.end - entry.start) * 1000 // self._options.sample_rate_hz))
                case "finish":
                    self._do(line, _finish)

    def _do(self, line: Line, what: Callable[[RecognizerStream], None]) -> None:
        if line.stream is None or line is not self._line:
            return
        try:
            what(line.stream)
        except Exception as error:
            self._lose(line, _in_words(error))

    # What engines tell

    def _told(self, line: Line, event: RecognizerEvent) -> None:
        if isinstance(event, Failed):
            line.failed = line.failed or EngineError(event.reason)
            self._lose(line, line.failed)
            return
        if line is not self._line or self._closed:
            return
        self._fruitless = 0
        for one in self._relay.tell(event, self._now()):
            self._tell(one)
        if isinstance(event, FinalText):
            self._rests.well(key_of(line.engine))
        if isinstance(event, Partial | FinalText):
            if self._suspect is not None and self._suspect is not line.engine:
                # Somebody heard what it did not.
                self._opener.failed(
                    self._suspect, EngineError(f"{self._suspect.name} said nothing of what it was given")
                )
                self._rests.replaced[key_of(self._suspect)] += 1
            self._suspect = None

    def _tell(self, event: RecognizerEvent) -> None:
        try:
            self._on_event(event)
        except Exception:
            log.exception("an event of a recogniser could not be handled")

    # Replacing

    def _lose(self, line: Line, error: EngineError, *, deaf: bool = False) -> None:
        if line is not self._line or self._closed:
            return
        if deaf:
            self._suspect = line.engine
        else:
            self._opener.failed(line.engine, error)
        lasted_s = self._now() - self._taken_at
        self._fruitless = 0 if lasted_s > SETTLED_S else self._fruitless + 1
        self._drop(line, deaf=deaf)
        self._begin(self._replace(line.engine))

    def _drop(self, line: Line, *, deaf: bool = False) -> None:
        self._line = None
        self._changed.set()
        self._relay.lost(deaf=deaf)
        self._let_go(line)

    async def _replace(self, lost: Recognizer) -> None:
        waits = iter(WAITS_S)
        if (rounds := self._fruitless - len(self._engines)) > 0:
            # All of them open, and fall over what they are given.
            await asyncio.sleep(WAITS_S[min(rounds, len(WAITS_S)) - 1])
        while not self._closed:
            found = await self._opener.first(lost)
            if not isinstance(found, EngineError):
                if found.engine is not lost and lost is not self._suspect:
                    self._rests.replaced[key_of(lost)] += 1
                self._take(found, failure=True)
                return
            await asyncio.sleep(next(waits, WAITS_S[-1]))

    async def _go_back(self, engine: Recognizer) -> None:
        """To one that is preferred, unless somebody has begun to speak meanwhile."""
        line = await self._opener.one(engine)
        if line.failed is not None:
            # Also where that says nothing of the engine, as when this caller's language is refused.
            self._back_at = self._now() + min(max(self._back_s, line.failed.retry_after_s or 0.0), LONGEST_BACK_S)
            self._back_s = min(self._back_s * 2, LONGEST_BACK_S)
            return
        self._back_s = BACK_S
        current = self._line
        if current is None or self._closed or not self._relay.between:
            self._let_go(line)
            return
        self._drop(current)
        log.info("recognition goes back to %s", engine.name)
        self._take(line, trial=True)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        """One thing at a time; going back gives way to replacing."""
        if self._work is not None:
            self._work.cancel()
        self._work = asyncio.create_task(work, name="recogniser-failover")
        self._work.add_done_callback(self._worked)

    def _worked(self, task: asyncio.Task[None]) -> None:
        if self._work is task:
            self._work = None
        if not task.cancelled() and task.exception() is not None:
            log.error("replacing a recogniser failed", exc_info=task.exception())

    def look(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_S, self.look)
        line = self._line
        if line is None or line.stream is None:
            return
        now, backlog_ms = self._now(), line.stream.backlog_ms
        for event in self._relay.no_speech(now, backlog_ms):
            self._tell(event)
        why = None if self._alone else self._relay.stalled(now, backlog_ms) or self._unfinished(now, backlog_ms)
        if why is not None:
            self._lose(line, EngineError(f"{line.engine.name}: {why}"), deaf=self._relay.deaf(now))
            return
        self._relay.settled(backlog_ms)
        if self._relay.between and self._work is None and now >= self._back_at:
            better = self._engines[: self._engines.index(line.engine)]
            back = next((engine for engine in better if self._opener.ready(engine)), None)
            if back is not None:
                self._begin(self._go_back(back))

    def _unfinished(self, now: float, backlog_ms: int) -> str | None:
        """Why it is to be replaced at the end of a call, where no more audio shows what it does not hear."""
        if not self._drains:
            self._progress = None
        elif self._progress is None or backlog_ms < self._progress[1]:
            self._progress = now, backlog_ms
        elif now - max(self._progress[0], self._relay.heard_at) > DRAIN_S:
            return "it does not finish what it was given"
        return None

    def _let_go(self, line: Line) -> None:
        if line.stream is None:
            return
        stream, line.stream = line.stream, None
        self._dropped_ms += stream.dropped_ms
        task = asyncio.create_task(_closed(stream), name="recogniser-close")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _unheard(event: RecognizerEvent) -> None:
    """Whoever has listened is let go of: they hold the stream, too."""


async def _closed(stream: RecognizerStream) -> None:
    try:
        async with asyncio.timeout(CLOSE_S):
            await stream.close()
    except Exception as error:
        log.warning("a recogniser's stream could not be closed: %s", type(error).__name__)


def _far(engine: Recognizer) -> bool:
    """Whether it may give a stream up."""
    return getattr(engine, "remote", hasattr(engine, "healthy"))


def _push(pcm: bytes, stream: RecognizerStream) -> None:
    stream.push(pcm)


def _skip(ms: int, stream: RecognizerStream) -> None:
    stream.skip(ms)


def _finish(stream: RecognizerStream) -> None:
    stream.finish()


def _in_words(error: BaseException | None) -> EngineError:
    if isinstance(error, EngineError):
        return error
    return EngineError("" if error is None else type(error).__name__)
