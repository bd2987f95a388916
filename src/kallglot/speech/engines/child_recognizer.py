"""A recogniser whose model runs in child processes of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from kallglot.speech.engines.recognition_models import FAMILIES, ModelSpec, trouble
from kallglot.speech.engines.silero import WINDOW, model_file
from kallglot.speech.host import SILENT_SECONDS, EngineHost
from kallglot.speech.languages import match
from kallglot.speech.types import EngineError, Processes, RecognizerEvent, RecognizerOptions, RecognizerStream

WORKER: Final = ("-m", "kallglot.speech.engines.recognition_worker")


class ChildRecognizer:
    """Telephone audio goes in as it is, at 8 or 16 kHz; ``spec`` says which model, ``processes`` how many children."""

    quality: str | None = None

    def __init__(self, name: str, spec: ModelSpec, *, processes: int, silent_seconds: float = SILENT_SECONDS) -> None:
        self.name = name
        self._spec = spec
        self._host = EngineHost((*WORKER, spec.to_json()), processes, silent_seconds=silent_seconds)

    @property
    def languages(self) -> Collection[str]:
        return self._spec.languages

    @property
    def pids(self) -> list[int]:
        """The child processes."""
        return self._host.pids

    @property
    def processes(self) -> Processes:
        return self._host.processes

    def missing(self) -> str | None:
        wrong = trouble(self._spec)
        if wrong is not None:
            return f"the model {self.name} cannot be used, {wrong}"
        if model_file() is None:
            return "the voice activity model is not installed: pip install --no-deps silero-vad==6.2.3"
        return None

    async def start(self) -> None:
        """Raises :class:`EngineError`: what the model's library said of its files, where it ends over them."""
        try:
            await self._host.start()
        except EngineError as error:
            raise EngineError(f"{self.name}: {error}", passing=error.passing) from None

    async def close(self) -> None:
        await self._host.close()

    async def open(self, options: RecognizerOptions, on_event: Callable[[RecognizerEvent], None]) -> RecognizerStream:
        self._check(options)
        return self._host.open(options, on_event)

    def _check(self, options: RecognizerOptions) -> None:
        if options.sample_rate_hz not in WINDOW:
            raise EngineError(f"recognition takes audio at 8000 or 16000 Hz, not {options.sample_rate_hz}")
        languages = self._spec.languages
        if options.language is None:
            if len(languages) > 1 and not FAMILIES[self._spec.family].detects:
                raise EngineError(f"{self.name} has to be told which language it hears")
        elif match(options.language, languages) is None:
            raise EngineError(f"{self.name} does not recognise {options.language}")
