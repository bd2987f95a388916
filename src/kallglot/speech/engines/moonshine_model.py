"""The tiny-en model that the ``moonshine-voice==0.1.0`` wheel carries (MIT). The wheel's Python is never imported."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Final

from kallglot.audio.levels import Floats
from kallglot.speech.engines.recognition_models import ModelSpec

_FILES: Final = {
    "encoder": "encoder_model.ort",
    "decoder": "decoder_model_merged.ort",
    "tokenizer": "tokenizer.bin",
}


def model_folder(given: Path | None = None) -> Path | None:
    """Where the model's files are, None where they are not."""
    folders = [given] if given is not None else []
    spec = importlib.util.find_spec("moonshine_voice")
    folders += [Path(found) / "assets" / "tiny-en" for found in (spec.submodule_search_locations or [])] if spec else []
    return next((folder for folder in folders if all((folder / name).exists() for name in _FILES.values())), None)


def model_spec(folder: Path) -> ModelSpec:
    return ModelSpec("moonshine-v2", {role: str(folder / name) for role, name in _FILES.items()}, ("en",))


class MoonshineModel:
    """Whole utterances in, text out; about 0.04 of real time on one core."""

    def __init__(self, folder: Path) -> None:
        from kallglot.speech.engines.moonshine_offline import MoonshineOffline

        self._model = MoonshineOffline(model_spec(folder))

    def recognise(self, audio: Floats, rate: int) -> tuple[str, float | None]:
        """The text, and a confidence where the decoder gives one. Audio as it came: levels are put right here."""
        heard = self._model.hear(audio, rate)
        return heard.text, heard.confidence
