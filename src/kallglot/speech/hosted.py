"""A recogniser stream whose recogniser is in a child process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from kallglot.speech import frames
from kallglot.speech.backlog import Backlog
from kallglot.speech.frames import Frame, Kind
from kallglot.speech.types import (
    Failed,
    Partial,
    RecognizerEvent,
    RecognizerOptions,
    Restarted,
    SpeechStarted,
    SpeechStopped,
)
from kallglot.speech.types import Final as FinalText

log = logging.getLogger(__name__)


class Carrier(Protocol):
    """The child that serves a stream."""

    def notify(self, stream: HostedStream) -> None:
        """The stream may have something to send."""
        ...


class HostedStream:
    """A :class:`RecognizerStream` whose recogniser is in a child."""

    def __init__(
        self,
        number: int,
        options: RecognizerOptions,
        on_event: Callable[[RecognizerEvent], None],
        on_close: Callable[[HostedStream], None],
        among: Sequence[str] = (),
    ) -> None:
        self.number = number
        self.options = options
        self._among = tuple(among)
        self.backlog = Backlog(number, options.sample_rate_hz)
        self.child: Carrier | None = None
        self.closed = False
        self._on_close = on_close
        self._on_event = on_event
        self._draining: dict[bytes, asyncio.Future[None]] = {}
        self._dropped_when_orphaned: int | None = None

    @property
    def backlog_ms(self) -> int:
        return 0 if self.closed else self.backlog.backlog_ms

    @property
    def dropped_ms(self) -> int:
        return self.backlog.ms(self.backlog.dropped)

    def push(self, pcm: bytes | memoryview) -> None:
        if not self.closed:
            self.backlog.push(pcm)
            self._notify()

    def skip(self, ms: int) -> None:
        if not self.closed:
            self.backlog.skip(ms)
            self._notify()

    def finish(self) -> None:
        if not self.closed:
            self.backlog.finish()
            self._notify()

    async def drain(self) -> None:
        if self.closed:
            return
        token = self.backlog.drain()
        done = self._draining[token] = asyncio.get_running_loop().create_future()
        self._notify()
        try:
            await done
        finally:
            del self._draining[token]
            self.backlog.drained(token)

    async def close(self) -> None:
        if not self.closed:
            self.shut()
            self._on_close(self)

    # For the host

    def shut(self) -> None:
        """Nothing more comes of it; who waits for it waits no longer."""
        self.closed = True
        for waiting in self._draining.values():
            if not waiting.done():
                waiting.set_result(None)

    def opening(self) -> bytes:
        """What a child is told first; everything kept is sent after it."""
        options = {
            "rate": self.options.sample_rate_hz,
            "partials": self.options.partials,
            "language": self.options.language,
            "among": self._among,
            "start": self.backlog.start,
        }
        return frames.pack(Kind.OPEN, self.number, options)

    def failed(self, reason: str) -> None:
        """No child will come any more."""
        if not self.closed:
            self._tell(Failed(reason))
            self.shut()
            self._on_close(self)

    def orphaned(self) -> None:
        """Its child is gone."""
        self.child = None
        if self._dropped_when_orphaned is None:
            self._dropped_when_orphaned = self.backlog.dropped
        self.backlog.rewind()

    def adopted(self, child: Carrier) -> None:
        self.child = child
        child.notify(self)
        if self._dropped_when_orphaned is not None:
            lost = self.backlog.dropped - self._dropped_when_orphaned
            self._dropped_when_orphaned = None
            self._tell(Restarted(self.backlog.ms(lost)))

    def receive(self, frame: Frame) -> None:
        if self.closed:
            return
        if frame.kind is Kind.EVENT:
            # One frame carries a final and how far it commits: a child that dies leaves both or none.
            event, committed = _event(frames.unpack(frame))
            self._commit(committed)
            self._tell(event)
        elif frame.kind is Kind.COMMITTED:
            self._commit(int.from_bytes(frame.payload, "big"))
        elif frame.kind is Kind.DRAINED:
            waiting = self._draining.get(frame.payload)
            if waiting is not None and not waiting.done():
                waiting.set_result(None)

    def _commit(self, position: int) -> None:
        self.backlog.commit(position)
        if self.backlog.waiting:
            self._notify()

    def _notify(self) -> None:
        if self.child is not None:
            self.child.notify(self)

    def _tell(self, event: RecognizerEvent) -> None:
        try:
            self._on_event(event)
        except Exception:
            log.exception("an event of a recogniser could not be handled")


def _event(told: list[Any]) -> tuple[RecognizerEvent, int]:
    """The event, and the position up to which it commits, 0 where it does not."""
    match told:
        case ["started", at_ms]:
            return SpeechStarted(at_ms), 0
        case ["stopped", at_ms]:
            return SpeechStopped(at_ms), 0
        case ["partial", start_ms, text, stable, hypothesis]:
            return Partial(text, stable, start_ms, hypothesis), 0
        case ["final", start_ms, end_ms, text, confidence, language, committed]:
            return FinalText(text, start_ms, end_ms, confidence, language), committed
        case _:
            raise ValueError(f"an engine told of {told!r}")
