"""The base of recognisers that stream over a WebSocket."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Collection
from typing import Any, ClassVar
from weakref import WeakSet

from kallglot.speech.languages import match
from kallglot.speech.remote.codec import RecognitionCodec
from kallglot.speech.remote.engine import RemoteEngine
from kallglot.speech.remote.errors import RemoteError
from kallglot.speech.remote.languages import served
from kallglot.speech.remote.stream import RemoteStream
from kallglot.speech.types import RecognizerEvent, RecognizerOptions, RecognizerStream

RATES: frozenset[int] = frozenset((8000, 16000))


class RemoteRecognizer(RemoteEngine):
    """What recognisers have in common, however they send their audio."""

    default_languages: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.streams: WeakSet[Any] = WeakSet()

    @property
    def languages(self) -> Collection[str]:
        return served(self.config.languages, self.default_languages)

    @property
    def acknowledged_lag_ms(self) -> int:
        """The most audio that any open stream has sent without an answer."""
        return max((stream.lag_ms for stream in self.streams), default=0)

    async def close(self) -> None:
        await asyncio.gather(*(stream.close() for stream in list(self.streams)))
        await super().close()

    def check(self, options: RecognizerOptions) -> None:
        """Raises :class:`EngineError` for what it cannot be opened for."""
        if options.sample_rate_hz not in RATES:
            what = f"takes audio at 8000 or 16000 Hz, not {options.sample_rate_hz}"
            raise RemoteError(f"{self.name} {what}", blame="request")
        if options.language is not None and self.languages and match(options.language, self.languages) is None:
            raise RemoteError(f"{self.name} does not recognise {options.language}", blame="request")


class StreamingRecognizer(RemoteRecognizer):
    """A vendor gives :meth:`codec`."""

    @abstractmethod
    def codec(self, options: RecognizerOptions) -> RecognitionCodec:
        """A new one for each connection. Raises :class:`EngineError`."""

    async def open(self, options: RecognizerOptions, on_event: Callable[[RecognizerEvent], None]) -> RecognizerStream:
        """Returns when the server listens, or raises :class:`EngineError` at the first that goes wrong: whoever asks
        may have another engine."""
        self.check(options)
        stream = RemoteStream(self, options, on_event, self.codec)
        await stream.begin()
        self.streams.add(stream)
        return stream
