"""sherpa-onnx's voices over models that sing."""

from __future__ import annotations

import dataclasses
import importlib.util
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.speech.contract.makers import Kind, Rig, local


@dataclasses.dataclass
class LocalVoice:
    name: str
    build: str
    language: str
    kind: Kind = "synthesis"
    cannot: dict[str, str] = dataclasses.field(default_factory=local)
    speech: bool = True

    def missing(self) -> str | None:
        if importlib.util.find_spec("onnx") is None:
            return "onnx not installed"
        return None if shutil.which("espeak-ng") else "espeak-ng not installed"

    @asynccontextmanager
    async def rig(self, **changes: Any) -> AsyncIterator[Rig]:
        from tests.speech.standins import voices

        from kallglot.speech.engines.voices import SherpaVoice

        with tempfile.TemporaryDirectory() as folder:
            engine = SherpaVoice(getattr(voices, self.build)(Path(folder)))
            assert engine.missing() is None
            await engine.start()
            try:
                yield Rig(engine, language=self.language)
            finally:
                await engine.close()


MAKERS = [
    LocalVoice("sherpa-onnx, Piper", "build_german", "de"),
    LocalVoice("sherpa-onnx, Kokoro", "build_kokoro", "en"),
]
