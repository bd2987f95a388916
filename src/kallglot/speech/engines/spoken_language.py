"""Which language somebody speaks: a multilingual Whisper in child processes listens to the first seconds of speech."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Final

from kallglot.models.installed import InstalledModel
from kallglot.speech.engines.child_recognizer import WORKER
from kallglot.speech.engines.sherpa import missing_of, placed
from kallglot.speech.engines.silero import WINDOW, model_file
from kallglot.speech.engines.undecided import UndecidedStream
from kallglot.speech.host import SILENT_SECONDS, EngineHost
from kallglot.speech.types import (
    EngineError,
    Failed,
    Processes,
    Recognizer,
    RecognizerEvent,
    RecognizerOptions,
    RecognizerStream,
    SpokenDetector,
)
from kallglot.speech.types import Final as FinalText

log = logging.getLogger(__name__)

FAMILIES: Final = ("whisper-lid",)


class SpokenLanguageDetector:
    """Tells the language of speech; silence and noise have none."""

    def __init__(
        self,
        model: InstalledModel,
        *,
        processes: int = 0,
        models: int = 1,
        silent_seconds: float = SILENT_SECONDS,
    ) -> None:
        self.name = model.name
        self.quality = model.quality
        self.languages: Collection[str] = model.languages
        # Asked once a call, so one process of it does.
        self._spec, _ = placed(model, processes=processes or 1, models=models)
        self._host = EngineHost((*WORKER, self._spec.to_json()), processes or 1, silent_seconds=silent_seconds)

    @property
    def pids(self) -> list[int]:
        return self._host.pids

    @property
    def processes(self) -> Processes:
        return self._host.processes

    def missing(self) -> str | None:
        wrong = missing_of(self.name, self._spec)
        if wrong is None and model_file() is None:
            return "the voice activity model is not installed: pip install --no-deps silero-vad==6.2.3"
        return wrong

    async def start(self) -> None:
        """Raises :class:`EngineError`: what the library said of the model's files, where it ends over them."""
        try:
            await self._host.start()
        except EngineError as error:
            raise EngineError(f"{self.name}: {error}", passing=error.passing) from None

    async def close(self) -> None:
        await self._host.close()

    def open(
        self, sample_rate_hz: int, among: Sequence[str], on_event: Callable[[RecognizerEvent], None]
    ) -> RecognizerStream:
        """A stream that tells as text which of the languages is spoken: ``hypothesis`` of a partial after 2.5 s of an
        utterance and from time to time, ``language`` of a final at its end; nothing where it is none of them. All the
        model's languages where ``among`` is empty. Raises :class:`EngineError`."""
        if sample_rate_hz not in WINDOW:
            raise EngineError(f"language identification takes audio at 8000 or 16000 Hz, not {sample_rate_hz}")
        return self._host.open(RecognizerOptions(sample_rate_hz), on_event, among=among)

    async def identify(self, pcm: bytes, sample_rate_hz: int, among: Sequence[str] = ()) -> str | None:
        """The language of a recording, None where nobody speaks or it is none of ``among``: the first utterance that
        has one decides. Raises :class:`EngineError`."""
        told: list[RecognizerEvent] = []
        stream = self.open(sample_rate_hz, among, told.append)
        try:
            stream.push(pcm)
            stream.finish()
            await stream.drain()
        finally:
            await stream.close()
        for event in told:
            if isinstance(event, Failed):
                raise EngineError(f"{self.name}: {event.reason}")
        return next((event.language for event in told if isinstance(event, FinalText) and event.language), None)


class AnyLanguageRecognizer:
    """A recogniser to open without a language: it finds out which is spoken, then has the right one hear it all.

    ``choose`` gives the recogniser of a language, ``languages`` those that there are recognisers for, the most likely
    first: that one is taken where the language cannot be told, or the detector is away. The engines are started and
    closed by whose they are.
    """

    def __init__(
        self,
        detector: SpokenDetector,
        languages: Callable[[], Sequence[str]],
        choose: Callable[[str], Recognizer | None],
    ) -> None:
        self.name = detector.name
        self._detector = detector
        self._languages = languages
        self._choose = choose

    @property
    def languages(self) -> Collection[str]:
        return self._languages()

    async def open(self, options: RecognizerOptions, on_event: Callable[[RecognizerEvent], None]) -> RecognizerStream:
        """With a language in ``options`` it is that one's recogniser that is opened. Raises :class:`EngineError`."""
        languages = tuple(self._languages())
        if options.language is not None:
            return await self._recognizer(options.language).open(options, on_event)
        if not languages:
            raise EngineError("there is no recogniser for any language")
        if len(languages) == 1:
            return await self._recognizer(languages[0]).open(replace(options, language=languages[0]), on_event)

        async def decided(language: str, told: Callable[[RecognizerEvent], None]) -> RecognizerStream:
            return await self._recognizer(language).open(replace(options, language=language), told)

        stream = UndecidedStream(options.sample_rate_hz, languages[0], decided, on_event)
        try:
            stream.listen(self._detector.open(options.sample_rate_hz, languages, stream.detected))
        except EngineError as error:
            log.warning("%s cannot listen: %s", self._detector.name, error)
            return await decided(languages[0], on_event)
        return stream

    def _recognizer(self, language: str) -> Recognizer:
        found = self._choose(language)
        if found is None:
            raise EngineError(f"there is no recogniser for {language}")
        return found
