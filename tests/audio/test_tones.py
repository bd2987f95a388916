import numpy as np
import pytest

from kallglot.audio.tones import DIGITS, GAP_MS, HOLD_MS, TONE_MS, dtmf, hold_music

ROWS, COLUMNS = (697, 770, 852, 941), (1209, 1336, 1477, 1633)
KEYS = ("123A", "456B", "789C", "*0#D")
RATE = 8000


def power(samples: np.ndarray, hz: float) -> float:
    """Goertzel's, by a dot product."""
    at = np.arange(len(samples)) / RATE
    return float(abs(np.dot(samples, np.exp(-2j * np.pi * hz * at))))


def digit_of(samples: np.ndarray) -> str:
    row = max(range(4), key=lambda n: power(samples, ROWS[n]))
    column = max(range(4), key=lambda n: power(samples, COLUMNS[n]))
    return KEYS[row][column]


def test_every_digit_is_heard_as_itself() -> None:
    samples = np.frombuffer(dtmf(DIGITS, RATE), "<i2").astype(float)
    step = RATE * (TONE_MS + GAP_MS) // 1000
    heard = [digit_of(samples[n * step : n * step + RATE * TONE_MS // 1000]) for n in range(len(DIGITS))]
    assert "".join(heard) == DIGITS
    assert np.abs(samples).max() < 32767


def test_pauses() -> None:
    assert len(dtmf("w", RATE)) == RATE
    assert len(dtmf("W", RATE)) == 2 * RATE
    assert dtmf("1w2", RATE) == dtmf("1", RATE) + dtmf("w", RATE) + dtmf("2", RATE)
    assert dtmf("a", RATE) == dtmf("A", RATE)


@pytest.mark.parametrize("digits", ["x", "1 2", "12é"])
def test_what_is_no_digit(digits: str) -> None:
    with pytest.raises(ValueError, match="expected digits"):
        dtmf(digits, RATE)


def test_hold_music_is_soft_and_joins_itself() -> None:
    samples = np.frombuffer(hold_music(RATE), "<i2").astype(int)
    assert len(samples) == RATE * HOLD_MS // 1000
    assert 500 < np.abs(samples).max() < 6000
    assert abs(samples[0] - samples[-1]) < 100
