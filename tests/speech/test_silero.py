"""The voice activity model against onnxruntime, which goes by the graph in its file."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr

from kallglot.audio.levels import Floats
from kallglot.speech.engines import onnx_file
from kallglot.speech.engines.silero import WINDOW, Silero, VoiceState, Window, model_file

pytestmark = pytest.mark.speech
RATES = sorted(WINDOW)


@pytest.fixture(scope="module")
def file() -> Path:
    path = model_file()
    assert path is not None
    return path


@pytest.fixture(scope="module")
def silero(file: Path) -> Silero:
    return Silero(file)


class Graph:
    """One stream, as the model's own package judges it."""

    def __init__(self, file: Path, rate: int) -> None:
        onnxruntime: Any = importlib.import_module("onnxruntime")
        self._session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        self._rate = np.array(rate, np.int64)
        self._state = np.zeros((2, 1, 128), np.float32)
        self._context = np.zeros((1, rate // 250), np.float32)

    def probability(self, window: Floats) -> float:
        heard = np.concatenate((self._context, window[None]), axis=1)
        output, self._state = self._session.run(None, {"input": heard, "state": self._state, "sr": self._rate})
        self._context = heard[:, -self._context.shape[1] :]
        return float(output[0, 0])


def windows(sound: Floats, rate: int) -> list[Floats]:
    size = WINDOW[rate]
    return [sound[at : at + size] for at in range(0, len(sound) - size + 1, size)]


@pytest.fixture(scope="module")
def speech(testdata: Path) -> dict[int, Floats]:
    path = next(iter(sorted((testdata / "speech").rglob("*jfk*.wav"))))
    sound, rate = soundfile.read(path, dtype="float32")
    return {to: soxr.resample(sound, rate, to).astype(np.float32) for to in RATES}


@pytest.mark.parametrize("rate", RATES)
def test_speech_is_judged_as_the_graph_says(silero: Silero, file: Path, speech: dict[int, Floats], rate: int) -> None:
    graph, state = Graph(file, rate), VoiceState(rate)
    asked = windows(speech[rate], rate)
    found = [silero.probabilities([(state, Window(one))])[0] for one in asked]
    assert found == pytest.approx([graph.probability(one) for one in asked], abs=1e-4)
    assert min(found) < 0.1 < 0.9 < max(found)


@pytest.mark.parametrize("rate", RATES)
def test_streams_that_are_judged_together_leave_each_other_alone(
    silero: Silero, file: Path, speech: dict[int, Floats], rate: int
) -> None:
    apart = [windows(speech[rate][first:], rate)[:60] for first in range(0, 5 * rate, rate)]
    graphs, states = [Graph(file, rate) for _ in apart], [VoiceState(rate) for _ in apart]
    for at in range(60):
        # Not every one has a window each time.
        asked = [n for n in range(len(apart)) if at % (n + 1) == 0]
        found = silero.probabilities([(states[n], Window(apart[n][at])) for n in asked])
        assert found == pytest.approx([graphs[n].probability(apart[n][at]) for n in asked], abs=1e-4)


def test_a_window_is_judged_at_the_level_that_it_is_raised_to(
    silero: Silero, file: Path, speech: dict[int, Floats]
) -> None:
    graph, state = Graph(file, 8000), VoiceState(8000)
    for one in windows(speech[8000], 8000)[:80]:
        assert silero.probabilities([(state, Window(one / 50, 50.0))])[0] == pytest.approx(
            graph.probability(one), abs=1e-4
        )


def test_what_was_passed_by_is_the_next_windows_context(silero: Silero, speech: dict[int, Floats]) -> None:
    before, after = windows(speech[8000], 8000)[40:42]
    passed, fresh = VoiceState(8000), VoiceState(8000)
    passed.pass_by(Window(before / 4, 4.0))
    assert passed.context == pytest.approx(before[-32:])
    told = silero.probabilities([(passed, Window(after)), (fresh, Window(after))])
    assert told[0] != told[1]


def test_nothing_is_asked_of_nobody(silero: Silero) -> None:
    assert silero.probabilities([]) == []


def test_another_file_is_refused(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(b"\x3a\xff\xff\xff\xff")
    with pytest.raises(ValueError, match=r"other\.onnx is no ONNX file"):
        Silero(other)
    other.write_bytes(b"")
    with pytest.raises(ValueError, match="no voice activity model that is known: 'model_8k"):
        Silero(other)
    other.write_bytes(file.read_bytes()[:100_000])
    with pytest.raises(ValueError, match=r"other\.onnx is no ONNX file"):
        Silero(other)
    with pytest.raises(FileNotFoundError):
        Silero(tmp_path / "missing.onnx")


def test_the_numbers_are_those_in_the_file(file: Path) -> None:
    found = onnx_file.tensors(file)
    assert found["model_8k.stft.forward_basis_buffer"].shape == (130, 1, 128)
    assert found["model.decoder.rnn.weight_ih"].shape == (512, 128)
    assert all(tensor.dtype == np.float32 for tensor in found.values())
