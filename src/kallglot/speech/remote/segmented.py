"""The base of recognisers that take whole utterances as files: our own voice activity finds them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from kallglot.speech.remote.errors import unusable
from kallglot.speech.remote.exchange import Request
from kallglot.speech.remote.recognizer import RemoteRecognizer
from kallglot.speech.remote.translator import NOT_UNDERSTOOD
from kallglot.speech.types import EngineError, RecognizerEvent, RecognizerOptions, RecognizerStream


@dataclass(frozen=True, slots=True)
class Said:
    """What a server understood of one utterance. Empty text: it was no speech."""

    text: str
    confidence: float | None = None
    language: str | None = None


class Transcript(Protocol):
    """An answer on its way: what it says so far, and in the end."""

    def feed(self, data: bytes) -> Iterable[str]:
        """The text so far, each time that it grew."""
        ...

    def end(self) -> Said: ...


class UtteranceRecognizer(RemoteRecognizer):
    """A vendor gives :meth:`request` and :meth:`transcript`. The option ``voice_activity`` is ``silero`` (what is
    chosen where its model is installed) or ``energy``."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._judge: Any = None

    async def start(self) -> None:
        from kallglot.speech.remote.judging import Judge

        await super().start()
        kind = self.config.text("voice_activity", "silero")
        if kind not in ("silero", "energy"):
            raise EngineError(f"{self.name}: voice_activity has to be silero or energy", passing=False)
        self._judge = Judge(kind)
        await self._judge.start()

    async def close(self) -> None:
        await super().close()
        if self._judge is not None:
            await self._judge.close()

    async def open(self, options: RecognizerOptions, on_event: Callable[[RecognizerEvent], None]) -> RecognizerStream:
        """Asks nothing of the server yet. Raises :class:`EngineError` where nothing would be asked."""
        from kallglot.speech.remote.segmentstream import SegmentStream

        self.check(options)
        if self._judge is None:
            raise EngineError(f"{self.name} is not started")
        if not self.healthy:
            # Says why.
            with self.breaker.attempt():
                pass
        stream = SegmentStream(self, self._judge, options, on_event)
        self.streams.add(stream)
        return stream

    async def recognise(
        self, pcm: bytes, options: RecognizerOptions, on_text: Callable[[str], None] | None = None
    ) -> Said:
        """One utterance. ``on_text`` gets its text as it grows. Raises :class:`EngineError`."""
        self.spending.spend_seconds(len(pcm) / 2 / options.sample_rate_hz)
        transcript = self.transcript()
        async with self.stream(self.request(pcm, options)) as pieces:
            try:
                async for piece in pieces:
                    for text in transcript.feed(piece):
                        if on_text is not None and text.strip():
                            on_text(text)
                return transcript.end()
            except NOT_UNDERSTOOD:
                self.counters.garbled += 1
                raise unusable(self.name, "the answer cannot be understood") from None

    @abstractmethod
    def request(self, pcm: bytes, options: RecognizerOptions) -> Request:
        """For one utterance, PCM at ``options.sample_rate_hz``; :func:`kallglot.speech.remote.audio.wav` makes a file
        of it."""

    @abstractmethod
    def transcript(self) -> Transcript:
        """A new reader of one answer. It raises :class:`ValueError` and the like for what it cannot understand."""
