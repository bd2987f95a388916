"""What a line makes of a recording."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from kallglot.evaluation.lines import LEVEL, Floats, band_passed, clean, load, speech_bounds, telephone
from kallglot.evaluation.scores import EvaluationError

RATE = 16_000


def tone(hertz: float, seconds: float = 1.0, rate: int = RATE, level: float = 0.5) -> Floats:
    return level * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


def loudness(audio: Floats) -> float:
    middle = audio[len(audio) // 4 : -len(audio) // 4]
    return float(20 * np.log10(np.sqrt(np.mean(middle**2)) + 1e-12))


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
@pytest.mark.parametrize(("hertz", "passes"), [(60, False), (150, False), (500, True), (3_000, True), (3_800, False)])
def test_the_telephone_passes_its_band_only(rate: int, hertz: float, passes: bool) -> None:
    audio = tone(hertz, rate=rate)
    lost = loudness(audio) - loudness(band_passed(audio, rate))
    assert abs(lost) < 0.1 if passes else lost > 60


def test_the_filter_does_not_delay() -> None:
    audio = np.zeros(RATE)
    audio[5_000] = 1.0
    assert int(np.argmax(np.abs(band_passed(audio, RATE)))) == 5_000


def test_the_telephone_is_mu_law_at_8_khz_and_one_level() -> None:
    sound = telephone(tone(1_000, level=0.01), RATE)
    samples = np.frombuffer(sound.pcm, "<i2")
    assert sound.rate == 8_000
    assert sound.seconds == pytest.approx(1.0)
    assert np.abs(samples).max() / 32767 == pytest.approx(LEVEL, rel=0.05)
    # Mu-law knows 255 values.
    assert len(np.unique(samples)) <= 255


@pytest.mark.parametrize(("rate", "live"), [(8_000, 8_000), (11_025, 16_000), (44_100, 48_000), (96_000, 48_000)])
def test_a_clean_line_has_a_rate_that_streams_have(rate: int, live: int) -> None:
    sound = clean(tone(440, rate=rate), rate)
    assert sound.rate == live
    assert sound.seconds == pytest.approx(1.0, abs=0.01)


def test_frames_are_20_ms_and_the_last_is_whole() -> None:
    sound = clean(tone(440, 0.05), RATE)
    frames = list(sound.frames())
    assert [len(frame) for frame in frames] == [640, 640, 640]
    assert len(list(sound.frames(silence_s=1.0))) == 53
    assert b"".join(frames)[: len(sound.pcm)] == sound.pcm


def test_speech_bounds() -> None:
    audio = np.concatenate((np.zeros(RATE), tone(300, 0.5) * 32767, np.zeros(RATE))).astype(np.int16)
    assert speech_bounds(audio, RATE) == pytest.approx((1.0, 1.5), abs=0.02)
    assert speech_bounds(np.zeros(10, np.int16), RATE) == (0.0, 10 / RATE)


def test_silence_stays_silence() -> None:
    assert set(clean(np.zeros(RATE), RATE).pcm) == {0}


def test_stereo_is_mixed(tmp_path: Path) -> None:
    path = tmp_path / "both.wav"
    soundfile.write(path, np.stack((tone(440), np.zeros(RATE)), axis=1), RATE)
    assert load(path, "clean").seconds == pytest.approx(1.0)


def test_what_is_no_sound_is_told(tmp_path: Path) -> None:
    path = tmp_path / "text.wav"
    path.write_text("nothing to hear")
    with pytest.raises(EvaluationError, match="cannot be read as sound"):
        load(path, "clean")
    soundfile.write(path, np.zeros(0), RATE)
    with pytest.raises(EvaluationError, match="no sound"):
        load(path, "telephone")


def test_a_line_is_brought_to_the_level_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(str(path), tone(1000), RATE)
    for line in ("clean", "telephone"):
        samples = np.frombuffer(load(path, line, -40.0).pcm, "<i2")
        assert 20 * np.log10(np.abs(samples).max() / 32768) == pytest.approx(-40.0, abs=0.5)
