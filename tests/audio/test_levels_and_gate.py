import numpy as np
import pytest

from kallglot.audio.gate import EnergyGate
from kallglot.audio.levels import SPEECH_RMS, normalise, rms, to_float


def tone(level: float, seconds: float = 1.0) -> "np.ndarray":
    return (np.sin(np.arange(int(8000 * seconds)) * 0.5) * level * np.sqrt(2)).astype(np.float32)


@pytest.mark.parametrize("level", [0.002, 0.01, 0.1, 0.4])
def test_speech_is_brought_to_one_level_whatever_pauses_are_in_it(level: float) -> None:
    speech = np.concatenate([tone(level), np.zeros(16000, np.float32)])
    assert rms(normalise(speech)[:8000]) == pytest.approx(SPEECH_RMS, rel=0.05)


def test_nothing_is_clipped_and_silence_stays_silent() -> None:
    spike = tone(0.01)
    spike[100] = 0.9
    assert np.abs(normalise(spike)).max() <= 1.0
    assert not normalise(np.zeros(8000, np.float32)).any()
    assert len(normalise(np.zeros(10, np.float32))) == 10


def test_float_of_pcm() -> None:
    assert to_float(b"\x00\x80\xff\x7f").tolist() == [-1.0, pytest.approx(32767 / 32768)]


def test_the_gate_opens_for_speech_over_a_noisy_line_and_closes_behind_it() -> None:
    gate = EnergyGate()
    noise = [gate.open(0.003) for _ in range(600)]
    assert not any(noise[-100:])
    assert gate.open(0.02)
    assert not any([gate.open(0.003) for _ in range(20)][-5:])


def test_digital_silence_never_opens_it() -> None:
    gate = EnergyGate()
    assert not any(gate.open(0.0) for _ in range(100))
    assert gate.open(0.01)
