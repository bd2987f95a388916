"""Moonshine's streaming models (MIT), run by onnxruntime: sherpa-onnx does not load them.

Five graphs: ``frontend`` turns samples into features and keeps what is left over (its weights may be a graph of their
own, run once, whose outputs it takes as inputs); ``encoder`` sees a window of features
and is final but for its lookahead; ``adapter`` adds positions; ``cross_kv`` prepares what the decoder attends to;
``decoder_kv`` writes a token at a time. Names, shapes and limits follow Moonshine's own runtime,
https://github.com/moonshine-ai/moonshine/blob/main/core/moonshine-streaming-model.cpp.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from kallglot.audio.levels import Floats
from kallglot.speech.engines.decoding import (
    MODEL_RATE,
    TOKENS_PER_SECOND,
    Growing,
    text_of,
    tokens_of,
    without_loops,
)
from kallglot.speech.engines.onnx_session import Tensor, sessions
from kallglot.speech.engines.recognition_models import Cadence, Heard, ModelSpec
from kallglot.speech.engines.schedule import Job, Urgency

LEFT_OVER: Final = 79
"""Samples that the frontend may keep, one less than its frame of 5 ms."""
FRAMES_PER_SECOND: Final = 50
LAYER_CONTEXT: Final = 16
"""Frames to the left that a layer of the encoder attends to."""


class Config(NamedTuple):
    """``streaming_config.json``."""

    encoder_dim: int
    depth: int
    nheads: int
    head_dim: int
    bos_id: int
    eos_id: int
    total_lookahead: int
    d_model_frontend: int
    c1: int
    max_seq_len: int = 448

    @classmethod
    def read(cls, path: Path) -> Config:
        """Raises ``KeyError`` and ``ValueError`` for a file that is not one."""
        told = json.loads(path.read_text())
        values = {name: int(told[name]) for name in cls._fields if name != "max_seq_len"}
        return cls(**values, max_seq_len=int(told.get("max_seq_len") or 448))


@dataclass(slots=True)
class _Running:
    """An utterance that is being heard."""

    utterance: int
    audio: Growing
    left_over: dict[str, Tensor]
    """The frontend's own state, input name → value."""
    features: Tensor
    memory: Tensor
    emitted: int = 0


class MoonshineStreaming:
    cadence = Cadence(300, 300)
    streaming = True

    def __init__(self, spec: ModelSpec) -> None:
        session = sessions(spec)
        self._config = Config.read(Path(spec.path("config")))
        self._frontend = session("frontend")
        self._weights: dict[str, Tensor] = {}
        if "frontend_weights" in spec.files:
            weights = session("frontend_weights")
            names = [output.name for output in weights.get_outputs()]
            self._weights = dict(zip(names, weights.run(names, {}), strict=True))
        self._encoder = session("encoder")
        self._adapter = session("adapter")
        self._cross_kv = session("cross_kv")
        self._decoder = session("decoder_kv", "decoder")
        self._pieces = tokens_of(Path(spec.path("tokenizer")).read_bytes())
        self._tokens_per_second = float(spec.options.get("max_tokens_per_second", TOKENS_PER_SECOND))
        self._running: dict[int, _Running] = {}
        self._try_out()

    def recognise(self, job: Job) -> Heard:
        running = self._running.get(job.stream)
        if running is None or running.utterance != job.utterance or job.cut:
            running = self._running[job.stream] = self._begin(job.utterance)
        last = job.urgency is Urgency.FINAL
        self._take(running, job, last)
        if last:
            del self._running[job.stream]
        self._encode(running, last)
        return self._decode(running.memory)

    def forget(self, stream: int) -> None:
        self._running.pop(stream, None)

    def _try_out(self) -> None:
        """Files of different models do not fit together, which they should say before anybody speaks."""
        silence = np.zeros(MODEL_RATE, np.float32)
        self.recognise(Job(0, 0, Urgency.FINAL, 0, silence, MODEL_RATE))

    def _begin(self, utterance: int) -> _Running:
        config = self._config
        left_over: dict[str, Tensor] = {
            "sample_buffer": np.zeros((1, LEFT_OVER), np.float32),
            "sample_len": np.zeros(1, np.int64),
            "conv1_buffer": np.zeros((1, config.d_model_frontend, 4), np.float32),
            "conv2_buffer": np.zeros((1, config.c1, 4), np.float32),
            "frame_count": np.zeros(1, np.int64),
        }
        nothing = np.zeros((1, 0, config.encoder_dim), np.float32)
        return _Running(utterance, Growing(), left_over, nothing, nothing)

    def _take(self, running: _Running, job: Job, last: bool) -> None:
        """Audio that is new in the job, brought to the model's rate, through the frontend."""
        samples = running.audio.fresh(job.audio, job.rate, last=last)
        if not len(samples):
            return
        names = list(running.left_over)
        outputs: list[Tensor] = self._frontend.run(
            ["features", *(f"{name}_out" for name in names)],
            {"audio_chunk": np.ascontiguousarray(samples[None], np.float32), **running.left_over, **self._weights},
        )
        running.left_over = dict(zip(names, outputs[1:], strict=True))
        running.features = np.concatenate((running.features, outputs[0]), axis=1)

    def _encode(self, running: _Running, last: bool) -> None:
        """What of the features will not change any more goes into the memory."""
        config = self._config
        total = running.features.shape[1]
        stable = total if last else max(0, total - config.total_lookahead)
        if stable <= running.emitted:
            return
        start = max(0, running.emitted - LAYER_CONTEXT * config.depth)
        encoded: Tensor = self._encoder.run(["encoded"], {"features": running.features[:, start:]})[0]
        fresh = encoded[:, running.emitted - start : stable - start]
        position = np.array([running.emitted], np.int64)
        memory: Tensor = self._adapter.run(["memory"], {"encoded": fresh, "pos_offset": position})[0]
        running.memory = memory if running.emitted == 0 else np.concatenate((running.memory, memory), axis=1)
        running.emitted = stable

    def _decode(self, memory: Tensor) -> Heard:
        frames = memory.shape[1]
        if frames == 0:
            return Heard("")
        config = self._config
        most = min(math.ceil(frames / FRAMES_PER_SECOND * self._tokens_per_second), config.max_seq_len)
        k_cross, v_cross = self._cross_kv.run(["k_cross", "v_cross"], {"memory": memory})
        k_self = v_self = np.zeros((config.depth, 1, config.nheads, 0, config.head_dim), np.float32)
        tokens: list[int] = []
        likely: list[float] = []
        token = config.bos_id
        while True:
            logits, k_self, v_self = self._decoder.run(
                ["logits", "out_k_self", "out_v_self"],
                {
                    "token": np.array([[token]], np.int64),
                    "k_self": k_self,
                    "v_self": v_self,
                    "out_k_cross": k_cross,
                    "out_v_cross": v_cross,
                },
            )
            row: Floats = logits[0, -1]
            token = int(row.argmax())
            likely.append(float(-np.log(np.exp(row - row[token]).sum())))
            if token == config.eos_id or len(tokens) >= most:
                break
            tokens.append(token)
        confidence = math.exp(sum(likely) / len(likely)) if tokens else None
        return Heard(without_loops(text_of(self._pieces, tokens)), confidence)
