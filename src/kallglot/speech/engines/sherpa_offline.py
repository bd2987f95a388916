"""Models that hear whole utterances, run by sherpa-onnx (Apache-2.0): Parakeet, Canary, Whisper.

How each is set up: https://k2-fsa.github.io/sherpa/onnx/pretrained_models/index.html. Only for child processes: on
some bad files sherpa-onnx ends the process it runs in.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, Final

import sherpa_onnx  # pyright: ignore[reportMissingTypeStubs]

from kallglot.audio.levels import Floats
from kallglot.speech.engines.decoding import MODEL_RATE, prepared, without_loops
from kallglot.speech.engines.recognition_models import Cadence, Heard, ModelSpec
from kallglot.speech.engines.schedule import Job
from kallglot.speech.languages import base

LONGEST_FOR_LANGUAGE_S: Final = 12


class Offline:
    """One recogniser of sherpa-onnx; ``recognise`` brings the level and the rate right itself."""

    cadence = Cadence()
    streaming = False

    def __init__(self, recognizer: Any) -> None:
        self._recognizer = recognizer

    def recognise(self, job: Job) -> Heard:
        return self.hear(job.audio, job.rate)

    def hear(self, audio: Floats, rate: int) -> Heard:
        """Audio as it came, full scale 1.0, at ``rate`` Hz."""
        stream = self._recognizer.create_stream()
        stream.accept_waveform(MODEL_RATE, prepared(audio, rate))
        self._recognizer.decode_stream(stream)
        result: Any = stream.result
        probabilities = list(getattr(result, "ys_log_probs", None) or ())
        confidence = math.exp(sum(probabilities) / len(probabilities)) if probabilities else None
        language = str(getattr(result, "lang", "") or "") or None
        return Heard(without_loops(str(result.text).strip()), confidence, language)

    def forget(self, stream: int) -> None:
        """It remembers nothing."""


class Parakeet(Offline):
    """NeMo's TDT transducers; version 3 hears by itself which of its languages is spoken, and does not tell."""

    def __init__(self, spec: ModelSpec) -> None:
        recognizer: Any = sherpa_onnx.OfflineRecognizer
        super().__init__(
            recognizer.from_transducer(
                spec.path("encoder"),
                spec.path("decoder"),
                spec.path("joiner"),
                spec.path("tokens"),
                num_threads=spec.threads,
                model_type=str(spec.options.get("model_type", "nemo_transducer")),
            )
        )


class _InALanguage(Offline, ABC):
    """A model that is told the language before each utterance. One thread uses it, so one recogniser does for all."""

    def __init__(self, recognizer: Any, spec: ModelSpec) -> None:
        super().__init__(recognizer.recognizer)
        self._config: Any = recognizer.config
        self._spec = spec
        self._language: str | None = None

    def recognise(self, job: Job) -> Heard:
        language = "" if job.language is None else self._spec.code(job.language)
        if language != self._language:
            self._tell(language)
            self._recognizer.set_config(self._config)
            self._language = language
        heard = self.hear(job.audio, job.rate)
        told = self._spec.tag(heard.language or "") if job.language is None else ""
        return Heard(heard.text, heard.confidence, told or None)

    @abstractmethod
    def _tell(self, language: str) -> None: ...


class Canary(_InALanguage):
    """NeMo's multi-task models, https://huggingface.co/nvidia/canary-180m-flash; hears the language it is told."""

    def __init__(self, spec: ModelSpec) -> None:
        recognizer: Any = sherpa_onnx.OfflineRecognizer
        made = recognizer.from_nemo_canary(
            spec.path("encoder"), spec.path("decoder"), spec.path("tokens"), num_threads=spec.threads
        )
        super().__init__(made, spec)
        self._language = "en"

    def _tell(self, language: str) -> None:
        self._config.model_config.canary.src_lang = self._config.model_config.canary.tgt_lang = language or "en"


class Whisper(_InALanguage):
    """Whisper in sherpa-onnx's export; without a language it hears which it is, utterance by utterance, and tells."""

    def __init__(self, spec: ModelSpec) -> None:
        recognizer: Any = sherpa_onnx.OfflineRecognizer
        made = recognizer.from_whisper(
            spec.path("encoder"),
            spec.path("decoder"),
            spec.path("tokens"),
            language="",
            num_threads=spec.threads,
            tail_paddings=int(spec.options.get("tail_paddings", -1)),
        )
        super().__init__(made, spec)
        self._language = ""

    def _tell(self, language: str) -> None:
        self._config.model_config.whisper.language = language


class WhisperLanguages:
    """Which language is spoken, by a multilingual Whisper: the text of what it hears is the language's code.

    It is sure enough after two and a half seconds; an answer that is not among the languages asked for is none.
    """

    cadence = Cadence(2500, 1500)
    streaming = False

    def __init__(self, spec: ModelSpec) -> None:
        api: Any = sherpa_onnx
        whisper = api.SpokenLanguageIdentificationWhisperConfig(
            encoder=spec.path("encoder"),
            decoder=spec.path("decoder"),
            tail_paddings=int(spec.options.get("tail_paddings", -1)),
        )
        config = api.SpokenLanguageIdentificationConfig(whisper=whisper, num_threads=spec.threads)
        self._spec = spec
        self._identifier = api.SpokenLanguageIdentification(config)

    def recognise(self, job: Job) -> Heard:
        stream = self._identifier.create_stream()
        stream.accept_waveform(MODEL_RATE, prepared(job.audio[: LONGEST_FOR_LANGUAGE_S * job.rate], job.rate))
        code = self._spec.tag(str(self._identifier.compute(stream)))
        language = next((one for one in job.among if base(one) == code), "") if job.among else code
        return Heard(language, None, language or None)

    def forget(self, stream: int) -> None:
        """It remembers nothing."""
