"""Moonshine models that hear an utterance in one piece (MIT), run by onnxruntime.

Two graphs: ``encoder`` makes frames of samples; ``decoder`` writes tokens, and its first run prepares what all others
attend to. Names and shapes are those of Optimum's exports (https://huggingface.co/docs/optimum). sherpa-onnx runs the
same files, but takes the likeliest token each time.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from kallglot.audio.levels import Floats
from kallglot.speech.engines.beam import Beam
from kallglot.speech.engines.decoding import (
    MODEL_RATE,
    TOKENS_PER_SECOND,
    chances,
    prepared,
    text_of,
    tokens_of,
    without_loops,
)
from kallglot.speech.engines.onnx_session import Tensor, sessions
from kallglot.speech.engines.recognition_models import Cadence, Heard, ModelSpec
from kallglot.speech.engines.schedule import Job, Urgency

WIDTH: Final = 4
"""Texts kept in mind; in partials, too, as clauses of theirs are translated before the speaker pauses."""
TAIL_S: Final = 0.8
"""Silence behind an utterance that is over; without it more words are wrong (docs/evaluation.md)."""
SHORTEST: Final = 1600
"""Samples; of less than 56 ms the encoder makes no frame."""
BEGIN: Final = 1
END: Final = 2


class MoonshineOffline:
    cadence = Cadence()
    streaming = False

    def __init__(self, spec: ModelSpec) -> None:
        """``tokens`` is sherpa-onnx's text file, ``tokenizer`` Moonshine's own ``tokenizer.bin``."""
        session = sessions(spec)
        self._encoder = session("encoder")
        self._decoder = session("decoder")
        self._pieces = _pieces(Path(spec.path("tokens", "tokenizer")))
        self._masked = "encoder_attention_mask" in (given.name for given in self._decoder.get_inputs())
        self._nothing = {
            given.name: np.zeros((1, given.shape[1], 0, given.shape[3]), np.float32)
            for given in self._decoder.get_inputs()
            if given.name.startswith("past_key_values.")
        }
        self._first = [told.name for told in self._decoder.get_outputs()]
        self._others = [name for name in self._first if ".encoder." not in name]
        # Files of different models do not fit together, which they should say before anybody speaks.
        self.hear(np.zeros(MODEL_RATE, np.float32), MODEL_RATE)

    def recognise(self, job: Job) -> Heard:
        return self.hear(job.audio, job.rate, over=job.urgency in (Urgency.FINAL, Urgency.GUESS))

    def hear(self, audio: Floats, rate: int, *, over: bool = True, width: int = WIDTH) -> Heard:
        """Audio as it came, full scale 1.0, at ``rate`` Hz; whether the utterance is over, or goes on behind it."""
        tail = np.zeros(int(TAIL_S * MODEL_RATE) if over else 0, np.float32)
        return self._hear(np.concatenate((prepared(audio, rate), tail)), width)

    def forget(self, stream: int) -> None:
        """It remembers nothing."""

    def _hear(self, samples: Floats, width: int) -> Heard:
        if len(samples) < SHORTEST:
            samples = np.concatenate((samples, np.zeros(SHORTEST - len(samples), np.float32)))
        mask = np.ones((1, len(samples)), np.int64)
        taken = [given.name for given in self._encoder.get_inputs()]
        frames: Tensor = self._encoder.run(None, dict(zip(taken, (samples[None], mask), strict=False)))[0]
        beam = Beam(width, END, math.ceil(len(samples) / MODEL_RATE * TOKENS_PER_SECOND))
        masks = {"encoder_attention_mask": mask} if self._masked else {}
        states = self._step(beam, {"encoder_hidden_states": frames, **masks, **self._nothing})
        # One row does for all texts.
        attended = {name: states.pop(name) for name in self._nothing if ".encoder." in name}
        attended |= {"encoder_hidden_states": frames[:, :1], **masks}
        while not beam.over:
            states = self._step(beam, attended | {name: state[beam.rows] for name, state in states.items()})
        best = beam.best
        confidence = math.exp(best.mean) if best.tokens else None
        return Heard(without_loops(text_of(self._pieces, best.tokens)), confidence)

    def _step(self, beam: Beam, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The beam takes what may come next; what the decoder wants to be given in the next step."""
        last = [text.tokens[-1:] or (BEGIN,) for text in beam.texts]
        first = not beam.texts[0].tokens
        wanted = self._first if first else self._others
        asked = {"input_ids": np.array(last, np.int64), "use_cache_branch": np.array([not first])}
        logits, *states = self._decoder.run(wanted, {**given, **asked})
        beam.take(chances(logits[:, -1]))
        return {
            name.replace("present", "past_key_values"): state for name, state in zip(wanted[1:], states, strict=True)
        }


def _pieces(tokens: Path) -> list[bytes]:
    """By number. Raises ``ValueError`` for what is neither kind of file."""
    if tokens.suffix == ".bin":
        return tokens_of(tokens.read_bytes())
    rows = (line.rsplit("\t", 1) for line in tokens.read_text().splitlines())
    by_number = {int(number): base64.b64decode(piece) for piece, number in rows}
    return [by_number.get(number, b"") for number in range(max(by_number, default=-1) + 1)]
