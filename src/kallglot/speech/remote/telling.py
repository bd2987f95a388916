"""What is told of a stream, out of what was heard on its connections: in order, once, with times that only grow.
Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final as Constant

from kallglot.speech.remote.codec import Heard
from kallglot.speech.remote.ledger import Ledger
from kallglot.speech.types import Final, Partial, RecognizerEvent, SpeechStarted, SpeechStopped

OVERLAP_MS: Constant = 250
"""An utterance that begins so much before the end of the last one is a new one all the same: times are rounded."""


class Telling:
    """Times come in on the connection's timeline and leave on the stream's."""

    def __init__(self, ledger: Ledger, *, partials: bool) -> None:
        self._ledger = ledger
        self._partials = partials
        self._begun_ms = -1
        """Of the last final."""
        self._ended_ms = 0
        self._since_ms: int | None = None
        """When the utterance in progress began."""
        self._stopped = False

    @property
    def pending(self) -> bool:
        """An utterance was begun to be told whose final is out."""
        return self._since_ms is not None

    def hear(self, heard: Heard) -> Iterator[RecognizerEvent]:
        if isinstance(heard, SpeechStarted):
            yield from self._begin(self._at(heard.at_ms))
        elif isinstance(heard, SpeechStopped):
            yield from self._stop(self._at(heard.at_ms, ending=True))
        elif isinstance(heard, Partial):
            yield from self._partial(heard)
        elif isinstance(heard, Final):
            yield from self._final(heard)

    def passed(self) -> Iterator[RecognizerEvent]:
        """The server has told all there is up to what is committed: an utterance from before it had no words."""
        if self._since_ms is not None and self._since_ms < self._ledger.ms(self._ledger.committed):
            yield from self._stop(self._ledger.ms(self._ledger.committed))
            self._since_ms, self._stopped = None, False

    def _begin(self, at_ms: int) -> Iterator[RecognizerEvent]:
        if self._since_ms is None and at_ms >= self._ended_ms - OVERLAP_MS:
            self._since_ms = max(at_ms, self._ended_ms)
            self._stopped = False
            yield SpeechStarted(self._since_ms)

    def _stop(self, at_ms: int) -> Iterator[RecognizerEvent]:
        if self._since_ms is not None and not self._stopped and at_ms >= self._since_ms:
            self._stopped = True
            yield SpeechStopped(at_ms)

    def _partial(self, heard: Partial) -> Iterator[RecognizerEvent]:
        start_ms = self._at(heard.start_ms)
        if not heard.text.strip() or self._outdated(start_ms):
            return
        yield from self._begin(start_ms)
        if self._partials and self._since_ms is not None:
            start_ms = max(start_ms, self._ended_ms, self._since_ms)
            yield replace(heard, start_ms=start_ms)

    def _final(self, heard: Final) -> Iterator[RecognizerEvent]:
        start_ms, end_ms = self._at(heard.start_ms), self._at(heard.end_ms, ending=True)
        if not heard.text.strip() or self._outdated(start_ms) or end_ms <= self._ended_ms:
            return
        yield from self._begin(start_ms)
        start_ms = max(start_ms, self._ended_ms)
        end_ms = max(end_ms, start_ms, self._since_ms or 0)
        yield from self._stop(end_ms)
        self._begun_ms, self._ended_ms = start_ms, end_ms
        self._since_ms, self._stopped = None, False
        yield replace(heard, start_ms=start_ms, end_ms=end_ms)

    def _outdated(self, start_ms: int) -> bool:
        return start_ms <= self._begun_ms or start_ms < self._ended_ms - OVERLAP_MS

    def _at(self, connection_ms: int, *, ending: bool = False) -> int:
        return self._ledger.ms(self._ledger.place(connection_ms, ending=ending))
