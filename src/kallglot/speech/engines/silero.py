"""Voice activity by Silero (MIT) on onnxruntime, several streams in one run.

The model file is the one in the ``silero-vad`` wheel; the package itself is never imported, as it needs torch.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
WINDOW: Final = {8000: 256, 16000: 512}
"""Samples a window, 32 ms."""
_CONTEXT: Final = {8000: 32, 16000: 64}
_FILE: Final = "silero_vad_op18_ifless.onnx"


def model_file() -> Path | None:
    spec = importlib.util.find_spec("silero_vad")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "data" / _FILE
        if path.exists():
            return path
    return None


class VoiceState:
    """What the model remembers of one stream."""

    def __init__(self, sample_rate_hz: int) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.memory: Floats = np.zeros((2, 128), np.float32)
        self.context: Floats = np.zeros(_CONTEXT[sample_rate_hz], np.float32)

    def pass_by(self, window: Floats) -> None:
        """A window that the model was not asked about."""
        self.context = window[-len(self.context) :]


class Silero:
    def __init__(self, path: Path) -> None:
        onnxruntime: Any = importlib.import_module("onnxruntime")
        onnxruntime.set_default_logger_severity(3)
        options: Any = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def probabilities(self, windows: list[tuple[VoiceState, Floats]]) -> list[float]:
        """The probability of speech in each window; all of one sample rate. Moves the states on."""
        if not windows:
            return []
        rate = windows[0][0].sample_rate_hz
        batch = np.stack([np.concatenate((state.context, window)) for state, window in windows])
        memory = np.stack([state.memory for state, _ in windows], axis=1)
        feed: dict[str, Any] = {"input": batch, "state": memory, "sr": np.array(rate, np.int64)}
        outputs: Any = self._session.run(["output", "stateN"], feed)
        found: Floats = outputs[0]
        moved: Floats = outputs[1]
        for number, (state, window) in enumerate(windows):
            state.memory = moved[:, number]
            state.pass_by(window)
        return [float(value) for value in found[:, 0]]
