"""Recognisers of every family that say a fixed row of words while they hear speech: real files for the real loaders.

A model takes a few milliseconds to build and to run. What it says depends on its language and on how long the audio is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.speech.standins.attention import canary, whisper
from tests.speech.standins.manifests import folder_of, sign
from tests.speech.standins.moonshine import moonshine_offline, moonshine_streaming
from tests.speech.standins.transducers import parakeet, zipformer
from tests.speech.standins.words import WORDS

from kallglot.models.installed import InstalledModel

__all__ = ["WORDS", "build_detector", "build_german", "build_recogniser"]

_BUILDERS: Mapping[str, tuple[Callable[[Path], dict[str, str]], tuple[str, ...]]] = {
    "moonshine-v2": (moonshine_offline, ("de",)),
    "moonshine-streaming": (moonshine_streaming, ("de",)),
    "zipformer-streaming": (zipformer, ("de",)),
    "parakeet": (parakeet, ("de", "fr")),
    "canary": (canary, ("en", "de", "es", "fr")),
    "whisper": (whisper, ("en", "de")),
}


def build_recogniser(models_dir: Path, family: str, name: str | None = None) -> InstalledModel:
    """Installs a stand-in of a family in a models folder."""
    builder, languages = _BUILDERS[family]
    folder = folder_of(models_dir, name or f"standin-{family}")
    return sign(folder, "recognition", family, builder(folder), languages=languages)


def build_german(folder: Path) -> None:
    """Makes ``folder`` a models folder in which German recognition is installed: a streaming Moonshine."""
    build_recogniser(folder, "moonshine-streaming", "standin-german")


def build_detector(models_dir: Path) -> InstalledModel:
    """Tells English from German: speech without anything above 4 kHz is English to it."""
    folder = folder_of(models_dir, "standin-languages")
    roles = whisper(folder)
    return sign(folder, "detection", "whisper-lid", roles, languages=("en", "de"))
