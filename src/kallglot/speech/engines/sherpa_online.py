"""Models that hear speech as it comes, run by sherpa-onnx's online recogniser: streaming Zipformer transducers.

https://k2-fsa.github.io/sherpa/onnx/pretrained_models/online-transducer/index.html. Where an utterance ends is decided
outside, as for every other model; sherpa's endpointing stays off. Only for child processes: on some bad files
sherpa-onnx ends the process it runs in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import sherpa_onnx  # pyright: ignore[reportMissingTypeStubs]

from kallglot.speech.engines.decoding import MODEL_RATE, Growing, without_loops
from kallglot.speech.engines.recognition_models import Cadence, Heard, ModelSpec
from kallglot.speech.engines.schedule import Job, Urgency

TAIL_SECONDS: Final = 0.66
"""Of silence after the end, so that the last words leave the encoder, which looks ahead."""


@dataclass(slots=True)
class _Running:
    """An utterance that is being heard."""

    utterance: int
    audio: Growing
    stream: Any


class StreamingZipformer:
    cadence = Cadence(200, 200)
    streaming = True

    def __init__(self, spec: ModelSpec) -> None:
        recognizer: Any = sherpa_onnx.OnlineRecognizer
        self._recognizer = recognizer.from_transducer(
            tokens=spec.path("tokens"),
            encoder=spec.path("encoder"),
            decoder=spec.path("decoder"),
            joiner=spec.path("joiner"),
            num_threads=spec.threads,
            model_type=str(spec.options.get("model_type", "")),
            decoding_method=str(spec.options.get("decoding_method", "greedy_search")),
        )
        self._running: dict[int, _Running] = {}

    def recognise(self, job: Job) -> Heard:
        running = self._running.get(job.stream)
        if running is None or running.utterance != job.utterance or job.cut:
            running = _Running(job.utterance, Growing(), self._recognizer.create_stream())
            self._running[job.stream] = running
        last = job.urgency is Urgency.FINAL
        samples = running.audio.fresh(job.audio, job.rate, last=last, tail_s=TAIL_SECONDS)
        if len(samples):
            running.stream.accept_waveform(MODEL_RATE, samples)
        if last:
            running.stream.input_finished()
            del self._running[job.stream]
        while self._recognizer.is_ready(running.stream):
            self._recognizer.decode_stream(running.stream)
        result: Any = self._recognizer.get_result_all(running.stream)
        probabilities = list(result.ys_probs) if last else []
        confidence = math.exp(sum(probabilities) / len(probabilities)) if probabilities else None
        return Heard(without_loops(str(result.text).strip()), confidence)

    def forget(self, stream: int) -> None:
        self._running.pop(stream, None)
