"""Voice activity by Silero (MIT), the windows of many streams in one run.

The trained numbers are those in the ``silero-vad`` wheel; the package itself is never imported, as it needs torch. What
is done with them is what the graph beside them says, but for all streams at once: onnxruntime goes through the numbers
once for each window, which takes three times as long (docs/decisions/0012).
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from kallglot.audio.levels import Floats
from kallglot.speech.engines import onnx_file

WINDOW: Final = {8000: 256, 16000: 512}
"""Samples a window, 32 ms."""
_CONTEXT: Final = {8000: 32, 16000: 64}
_PREFIX: Final = {8000: "model_8k.", 16000: "model."}
_MEMORY: Final = 128
_FILE: Final = "silero_vad_op18_ifless.onnx"


def model_file() -> Path | None:
    spec = importlib.util.find_spec("silero_vad")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "data" / _FILE
        if path.exists():
            return path
    return None


class Window(NamedTuple):
    """``samples``, full scale 1.0, that are judged as if they were ``gain`` times as loud."""

    samples: Floats
    gain: float = 1.0


class VoiceState:
    """What the model remembers of one stream."""

    def __init__(self, sample_rate_hz: int) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.hidden: Floats = np.zeros(_MEMORY, np.float32)
        self.cell: Floats = np.zeros(_MEMORY, np.float32)
        self.context: Floats = np.zeros(_CONTEXT[sample_rate_hz], np.float32)

    def pass_by(self, window: Window) -> None:
        """A window that the model was not asked about."""
        self.context = window.samples[-len(self.context) :] * np.float32(window.gain)


class Silero:
    def __init__(self, path: Path) -> None:
        """Raises ``OSError``, and ``ValueError`` for another file. From then on the process multiplies matrices in one
        thread: these are too small for more, and a server has more to do."""
        threadpoolctl: Any = importlib.import_module("threadpoolctl")
        threadpoolctl.threadpool_limits(1, "blas")
        tensors = onnx_file.tensors(path)
        try:
            self._networks = {rate: _Network(tensors, rate) for rate in WINDOW}
        except KeyError as error:
            raise ValueError(f"{path.name} is no voice activity model that is known: {error} is missing") from None

    def probabilities(self, windows: Sequence[tuple[VoiceState, Window]]) -> list[float]:
        """The probability of speech in each window; all of one sample rate, each of another stream. Moves the states
        on."""
        if not windows:
            return []
        states = [state for state, _ in windows]
        rate = states[0].sample_rate_hz
        before = _CONTEXT[rate]
        heard = np.empty((len(windows), before + WINDOW[rate]), np.float32)
        heard[:, before:] = [window.samples for _, window in windows]
        heard[:, before:] *= np.array([[window.gain] for _, window in windows], np.float32)
        heard[:, :before] = [state.context for state in states]
        hidden = np.array([state.hidden for state in states])
        cell = np.array([state.cell for state in states])
        found, hidden, cell = self._networks[rate].run(heard, hidden, cell)
        ends = heard[:, -before:].copy()
        for number, state in enumerate(states):
            state.hidden, state.cell, state.context = hidden[number], cell[number], ends[number]
        return found.tolist()


class _Network:
    """Four pieces of a window, each half over the next, are transformed by Fourier; their magnitudes go through four
    convolutions over time, of which two leave out every other step, so that one step is left for the LSTM cell. Every
    layer is one product of matrices, over the steps of all windows."""

    def __init__(self, tensors: Mapping[str, Floats], rate: int) -> None:
        def named(name: str) -> Floats:
            return tensors[_PREFIX[rate] + name]

        def convolution(number: int, taps: slice) -> tuple[Floats, Floats]:
            weight = named(f"encoder.{number}.reparam_conv.weight")[:, :, taps]
            rows = weight.transpose(2, 1, 0).reshape(-1, len(weight))
            return np.ascontiguousarray(rows), named(f"encoder.{number}.reparam_conv.bias")

        self._fourier = np.ascontiguousarray(named("stft.forward_basis_buffer")[:, 0].T)
        # Where there are only two steps, or one, the other taps fall on nothing.
        self._layers = [convolution(0, slice(0, 3)), convolution(1, slice(0, 3))]
        self._layers += [convolution(2, slice(1, 3)), convolution(3, slice(1, 2))]
        self._cell = np.concatenate((named("decoder.rnn.weight_ih").T, named("decoder.rnn.weight_hh").T))
        self._cell_bias = named("decoder.rnn.bias_ih") + named("decoder.rnn.bias_hh")
        self._speech = named("decoder.decoder.2.weight")[0, :, 0]
        self._speech_bias = named("decoder.decoder.2.bias")

    def run(self, heard: Floats, hidden: Floats, cell: Floats) -> tuple[Floats, Floats, Floats]:
        """The probabilities, and what is remembered. A row of ``heard`` is a window behind its context."""
        count, length = heard.shape
        piece, waves = len(self._fourier), self._fourier.shape[1]
        bins = waves // 2
        mirrored = np.concatenate((heard, heard[:, length - 2 : length - 2 - piece // 4 : -1]), axis=1)
        turned = _steps(mirrored, piece // 2, 4, piece) @ self._fourier
        turned *= turned
        power = turned[:, :bins] + turned[:, bins:]
        # A step of nothing before the first and behind the last.
        steps = np.zeros((count, 6, bins), np.float32)
        np.sqrt(power.reshape(count, 4, bins), out=steps[:, 1:5])
        first = self._layer(0, _steps(steps, bins, 4, 3 * bins))
        width = first.shape[1]
        steps = np.zeros((count, 5, width), np.float32)
        steps[:, 1:] = first.reshape(count, 4, width)
        second = self._layer(1, _steps(steps, 2 * width, 2, 3 * width))
        third = self._layer(2, second.reshape(count, -1))
        gates = np.concatenate((self._layer(3, third), hidden), axis=1) @ self._cell
        gates += self._cell_bias
        let_in, kept, new, told = np.split(gates, 4, axis=1)
        cell = _sigmoid(kept) * cell + _sigmoid(let_in) * np.tanh(new)
        hidden = _sigmoid(told) * np.tanh(cell)
        return _sigmoid(np.maximum(hidden, 0) @ self._speech + self._speech_bias), hidden, cell

    def _layer(self, number: int, steps: Floats) -> Floats:
        weight, bias = self._layers[number]
        made = steps @ weight
        made += bias
        return np.maximum(made, 0, out=made)


def _steps(rows: Floats, apart: int, count: int, length: int) -> Floats:
    """Of every row ``count`` pieces of ``length``, each so far behind the one before, one below the other."""
    flat = rows.reshape(len(rows), -1)
    across, along = flat.strides
    pieces = as_strided(flat, (len(flat), count, length), (across, apart * along, along), writeable=False)
    return pieces.reshape(-1, length)


def _sigmoid(values: Floats) -> Floats:
    half = np.float32(0.5)
    return np.tanh(values * half) * half + half
