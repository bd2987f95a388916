"""The engines of the models that are installed here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kallglot.models.installed import InstalledModel
from kallglot.speech.engines import spoken_language
from kallglot.speech.engines.sherpa import FAMILIES, SherpaRecognizer
from kallglot.speech.engines.spoken_language import SpokenLanguageDetector
from kallglot.speech.engines.translation_models import CTranslateTranslator, translators_of
from kallglot.speech.engines.voices import SherpaVoice, synthesizers_of


@dataclass(frozen=True, slots=True)
class LocalEngines:
    """None of them started; each kind in the order in which the models were given."""

    recognizers: Sequence[SherpaRecognizer]
    translators: Sequence[CTranslateTranslator]
    synthesizers: Sequence[SherpaVoice]
    spoken_detectors: Sequence[SpokenLanguageDetector]


def engines_of(models: Sequence[InstalledModel], *, processes: int) -> LocalEngines:
    """An engine for every model that there is a loader for. ``processes`` is for each recogniser, 0 for what the
    machine has room for. Loads no library and starts nothing."""
    recognition = [model for model in models if model.kind == "recognition" and model.family in FAMILIES]
    detection = [model for model in models if model.kind == "detection" and model.family in spoken_language.FAMILIES]
    count = len(recognition) + len(detection)
    return LocalEngines(
        recognizers=[SherpaRecognizer(model, processes=processes, models=count) for model in recognition],
        translators=translators_of([model for model in models if model.kind == "translation"]),
        synthesizers=synthesizers_of([model for model in models if model.kind == "synthesis"]),
        spoken_detectors=[SpokenLanguageDetector(model, models=count) for model in detection],
    )
