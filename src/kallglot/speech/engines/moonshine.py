"""English speech recognition that comes with the installation: Moonshine tiny-en in child processes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from kallglot.speech.engines.moonshine_model import model_folder
from kallglot.speech.engines.silero import WINDOW, model_file
from kallglot.speech.host import SILENT_SECONDS, EngineHost
from kallglot.speech.types import EngineError, Processes, RecognizerEvent, RecognizerOptions, RecognizerStream

_WORKER: Final = ("-m", "kallglot.speech.engines.recognition_worker")


class MoonshineRecognizer:
    """``processes`` 0 is one for each core. Telephone audio goes in as it is, at 8 or 16 kHz."""

    name = "moonshine-tiny-en"
    languages = ("en",)

    def __init__(
        self, *, processes: int = 0, model_dir: Path | None = None, silent_seconds: float = SILENT_SECONDS
    ) -> None:
        count = processes or len(os.sched_getaffinity(0))
        self._model_dir = model_dir
        arguments = (str(model_dir),) if model_dir is not None else ()
        self._host = EngineHost((*_WORKER, *arguments), count, silent_seconds=silent_seconds)

    @property
    def pids(self) -> list[int]:
        """The child processes."""
        return self._host.pids

    @property
    def processes(self) -> Processes:
        return self._host.processes

    def missing(self) -> str | None:
        if model_folder(self._model_dir) is None:
            return "the English recognition model is not installed: pip install moonshine-voice==0.1.0"
        if model_file() is None:
            return "the voice activity model is not installed: pip install --no-deps silero-vad==6.2.3"
        return None

    async def start(self) -> None:
        await self._host.start()

    async def close(self) -> None:
        await self._host.close()

    async def open(self, options: RecognizerOptions, on_event: Callable[[RecognizerEvent], None]) -> RecognizerStream:
        if options.sample_rate_hz not in WINDOW:
            raise EngineError(f"recognition takes audio at 8000 or 16000 Hz, not {options.sample_rate_hz}")
        return self._host.open(options, on_event)
