import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kallglot.audio.codec import AudioFormatError
from kallglot.audio.resample import RATES, Resampler

PAIRS = [pair for pair in itertools.product(RATES, RATES) if pair[0] != pair[1]]


def tone(rate: int, hz: float, seconds: float = 0.5, level: float = 10000.0) -> bytes:
    at = np.arange(round(rate * seconds))
    return np.rint(level * np.sin(2 * math.pi * hz * at / rate)).astype("<i2").tobytes()


def steady(pcm: bytes, rate: int) -> np.ndarray:
    """The middle of the audio, away from where the filter fills and empties."""
    values = np.frombuffer(pcm, "<i2").astype(float)
    edge = rate // 50
    return values[edge:-edge]


def level_at(values: np.ndarray, rate: int, hz: float) -> float:
    window = np.hanning(len(values))
    return 2 * abs(np.sum(values * window * np.exp(-2j * math.pi * hz * np.arange(len(values)) / rate))) / window.sum()


def decibels(ratio: float) -> float:
    return 20 * math.log10(max(ratio, 1e-12))


def convert(pcm: bytes, source: int, target: int) -> bytes:
    resampler = Resampler(source, target)
    return resampler.process(pcm) + resampler.flush()


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_pass_band_is_flat(source: int, target: int) -> None:
    for share in (0.05, 0.3, 0.6, 0.84):
        hz = share * min(source, target) / 2
        heard = level_at(steady(convert(tone(source, hz), source, target), target), target, hz)
        assert decibels(heard / 10000) == pytest.approx(0, abs=0.1), f"{hz} Hz"


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_nothing_but_the_tone_comes_out(source: int, target: int) -> None:
    """Images of a rising rate and products of the fractional steps, measured as all that is not the tone."""
    hz = 0.8 * min(source, target) / 2
    heard = steady(convert(tone(source, hz), source, target), target)
    window = np.hanning(len(heard))
    spectrum = np.abs(np.fft.rfft(heard * window)) * 2 / window.sum()
    line = hz * len(heard) / target
    spectrum[max(0, int(line) - 30) : int(line) + 32] = 0
    assert decibels(spectrum.max() / 10000) < -60


@pytest.mark.parametrize(("source", "target"), [pair for pair in PAIRS if pair[0] > pair[1]])
def test_what_the_target_cannot_carry_is_gone(source: int, target: int) -> None:
    highest = source / 2
    for hz in np.linspace(target / 2 * 1.01, highest * 0.98, 5):
        heard = steady(convert(tone(source, float(hz)), source, target), target)
        assert decibels(np.abs(heard).max() / 10000) < -55, f"{hz} Hz"


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_chunks_do_not_matter(source: int, target: int) -> None:
    noise = np.random.default_rng(7).integers(-32768, 32768, source // 4, dtype=np.int16).tobytes()
    whole = convert(noise, source, target)
    for size in (2, 14, source // 50 * 2, 2046):
        resampler = Resampler(source, target)
        pieces = [resampler.process(memoryview(noise)[at : at + size]) for at in range(0, len(noise), size)]
        assert b"".join(pieces) + resampler.flush() == whole


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 700), max_size=12), st.sampled_from(PAIRS), st.randoms(use_true_random=False))
def test_any_chunks_do_not_matter(sizes: list[int], pair: tuple[int, int], random) -> None:
    chunks = [random.randbytes(2 * size) for size in sizes]
    resampler = Resampler(*pair)
    assert b"".join(map(resampler.process, chunks)) + resampler.flush() == convert(b"".join(chunks), *pair)


@pytest.mark.parametrize(("source", "target"), [pair for pair in PAIRS if 22050 not in pair])
def test_a_frame_for_a_frame_for_a_minute(source: int, target: int) -> None:
    resampler = Resampler(source, target)
    frame = bytes(source // 50 * 2)
    assert {len(resampler.process(frame)) for _ in range(3000)} == {target // 50 * 2}


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_no_drift(source: int, target: int) -> None:
    resampler = Resampler(source, target)
    seconds = 60
    given_out = sum(len(resampler.process(bytes(source * 2))) // 2 for _ in range(seconds))
    assert abs(given_out - seconds * target) <= target // 50
    total = given_out + len(resampler.flush()) // 2
    assert total == math.ceil(seconds * target + resampler.delay_ms * target / 1000)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_delay(source: int, target: int) -> None:
    resampler = Resampler(source, target)
    assert resampler.delay_ms <= 3.05
    click = np.zeros(source // 10, "<i2")
    click[source // 20] = 20000
    heard = np.frombuffer(resampler.process(click.tobytes()) + resampler.flush(), "<i2")
    expected = (source // 20 / source + resampler.delay_ms / 1000) * target
    assert abs(int(np.argmax(heard)) - expected) <= 1


def test_loud_audio_is_clipped_not_wrapped() -> None:
    square = np.where(np.arange(8000) // 20 % 2, 32767, -32768).astype("<i2").tobytes()
    heard = np.frombuffer(convert(square, 8000, 16000), "<i2").astype(int)
    assert heard.max() == 32767
    assert heard.min() == -32768
    middle = heard[2000:-2000]
    # One period is 80 samples; a wrapped sample would sit in the half of the other sign.
    away_from_edges = middle[np.abs(np.arange(len(middle)) % 40 - 20) < 10]
    assert np.abs(away_from_edges).min() > 25000


def test_flush_starts_anew() -> None:
    resampler = Resampler(8000, 16000)
    speech = tone(8000, 500)
    first = resampler.process(speech) + resampler.flush()
    assert resampler.flush() == b""
    assert resampler.process(speech) + resampler.flush() == first


def test_same_rate_passes_through() -> None:
    resampler = Resampler(16000, 16000)
    assert resampler.process(memoryview(b"\1\2\3\4")) == b"\1\2\3\4"
    assert resampler.flush() == b""
    assert resampler.delay_ms == 0


def test_refusals() -> None:
    with pytest.raises(AudioFormatError, match=r"expected a sample rate of .*, got 11025"):
        Resampler(11025, 8000)
    with pytest.raises(AudioFormatError, match="expected whole 16-bit samples, got 3 bytes"):
        Resampler(8000, 16000).process(b"abc")
