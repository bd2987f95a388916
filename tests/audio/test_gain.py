import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kallglot.audio.gain import MOST_GAIN, MOST_RMS, TARGET_RMS, SpeechGain
from kallglot.audio.levels import rms

WINDOW = 256


def sound(level_db: float) -> "np.ndarray":
    return np.full(WINDOW, 10 ** (level_db / 20), np.float32)


def heard(gain: SpeechGain, level_db: float, windows: int, probability: float, *, above_noise: bool = True) -> float:
    """The level of the last of so many windows as it was judged."""
    level = 0.0
    for _ in range(windows):
        unraised = rms(sound(level_db))
        level = unraised * gain.of(unraised)
        gain.judged(probability, sound=above_noise)
    return level


@pytest.mark.parametrize("level_db", [-45, -40, -30, -20, -10, -3])
def test_whoever_speaks_is_brought_to_one_level(level_db: float) -> None:
    assert heard(SpeechGain(), level_db, 200, 0.9) == pytest.approx(TARGET_RMS, rel=0.05)


@pytest.mark.parametrize("level_db", [-55, -45, -40])
def test_a_quiet_beginning_is_raised_from_its_first_window(level_db: float) -> None:
    assert SpeechGain().of(rms(sound(level_db))) > 3.5


def test_a_loud_noise_is_turned_down_and_leaves_no_trace() -> None:
    gain, undisturbed = SpeechGain(), SpeechGain()
    assert heard(gain, -1, 20, 0.0) == pytest.approx(MOST_RMS, rel=0.01)
    assert heard(gain, -45, 1, 0.9) >= heard(undisturbed, -45, 1, 0.9)


def test_a_quiet_speaker_after_a_loud_one_is_raised_within_a_second_or_two_of_sound() -> None:
    gain = SpeechGain()
    heard(gain, -10, 100, 0.9)
    before = heard(gain, -42, 1, 0.1)
    assert heard(gain, -42, 60, 0.1) > 4 * before


def test_steady_noise_is_never_raised() -> None:
    gain = SpeechGain()
    heard(gain, -10, 100, 0.9)
    before = heard(gain, -60, 1, 0.0, above_noise=False)
    assert heard(gain, -60, 10_000, 0.0, above_noise=False) == before


@given(st.lists(st.tuples(st.floats(0, 1, width=32), st.floats(0, 1), st.booleans()), max_size=300))
def test_it_is_bounded_whatever_comes(windows: list[tuple[float, float, bool]]) -> None:
    gain = SpeechGain()
    for level, probability, above_noise in windows:
        factor = gain.of(level)
        assert level * factor <= MOST_RMS * 1.001
        assert 0.0 < factor <= MOST_GAIN
        gain.judged(probability, sound=above_noise)
