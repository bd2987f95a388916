from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kallglot.audio.tempo import TempoChanger

RATE = 8000


def voice(seconds: float, hz: float = 140.0) -> bytes:
    """A buzz with harmonics whose loudness comes and goes, much as a vowel's does."""
    t = np.arange(int(seconds * RATE)) / RATE
    buzz = sum(np.sin(2 * np.pi * hz * k * t) / k for k in range(1, 9))
    return (buzz * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * t)) * 5000).astype("<i2").tobytes()


def played(pcm: bytes, tempo: float, chunk: int = 320) -> bytes:
    changer = TempoChanger(RATE)
    out = b"".join(changer.process(pcm[at : at + chunk], tempo) for at in range(0, len(pcm), chunk))
    return out + changer.flush()


def pitch(pcm: bytes) -> float:
    samples = np.frombuffer(pcm, "<i2").astype(float)
    middle = samples[len(samples) // 4 : 3 * len(samples) // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 8 * len(middle)))
    frequencies = np.fft.rfftfreq(8 * len(middle), 1 / RATE)
    band = (frequencies > 80) & (frequencies < 220)
    return float(frequencies[band][np.argmax(spectrum[band])])


@given(st.lists(st.integers(1, 900), min_size=1, max_size=30))
def test_at_its_own_speed_every_sample_is_itself(sizes: list[int]) -> None:
    pcm = voice(1.0)
    changer, out, at = TempoChanger(RATE), b"", 0
    for size in sizes:
        out += changer.process(pcm[at : at + size * 2], 1.0)
        at += size * 2
    out += changer.process(pcm[at:], 1.0) + changer.flush()
    assert out == pcm


@pytest.mark.parametrize("tempo", [1.05, 1.2, 1.35])
@pytest.mark.parametrize("hz", [90.0, 140.0, 210.0])
def test_faster_by_so_much_and_at_the_same_pitch(tempo: float, hz: float) -> None:
    pcm = voice(4.0, hz)
    faster = played(pcm, tempo)
    assert len(pcm) / len(faster) == pytest.approx(tempo, rel=0.03)
    assert pitch(faster) == pytest.approx(pitch(pcm), rel=0.015)


def test_no_click_where_pieces_join() -> None:
    steepest = np.abs(np.diff(np.frombuffer(voice(4.0), "<i2").astype(int))).max()
    for tempo in (1.1, 1.35):
        joined = np.abs(np.diff(np.frombuffer(played(voice(4.0), tempo), "<i2").astype(int))).max()
        assert joined < 1.5 * steepest


def test_the_tempo_may_change_in_the_middle() -> None:
    pcm = voice(3.0)
    changer = TempoChanger(RATE)
    out = changer.process(pcm[:16000], 1.0) + changer.process(pcm[16000:32000], 1.3) + changer.process(pcm[32000:], 1.0)
    out += changer.flush()
    assert len(out) / 2 / RATE == pytest.approx(1 + 1 / 1.3 + 1, abs=0.05)
    assert pitch(out) == pytest.approx(pitch(pcm), rel=0.02)


def test_silence_and_nothing() -> None:
    changer = TempoChanger(RATE)
    assert changer.flush() == b""
    assert not np.frombuffer(played(bytes(16000), 1.35), "<i2").any()
    assert played(b"\x01\x00" * 40, 1.35) == b"\x01\x00" * 40
