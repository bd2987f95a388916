from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from kallglot.audio.codec import AudioFormatError
from kallglot.recording.mixdown import BLOCK_SECONDS, Channels, Side, Track, blocks

HOUR = 3600


def track(path: Path, rate: int, samples: object, side: Side = "left") -> Track:
    path.write_bytes(np.asarray(samples, "<i2").tobytes())
    return Track(path, rate, side)


def clicks(path: Path, rate: int, at: list[float], seconds: float, side: Side = "left", level: int = 20000) -> Track:
    """Silence that takes no room on disk, and single samples of ``level`` at the times ``at``."""
    with path.open("wb") as file:
        for time in at:
            file.seek(round(time * rate) * 2)
            file.write(np.array([level], "<i2").tobytes())
        file.truncate(round(seconds * rate) * 2)
    return Track(path, rate, side)


def mixed(tracks: list[Track], channels: Channels, rate: int, seconds: float | None = None) -> np.ndarray:
    got = list(blocks(tracks, channels=channels, sample_rate_hz=rate, seconds=seconds))
    assert all(block.dtype == np.int16 and 0 < len(block) <= BLOCK_SECONDS * rate for block in got)
    empty = np.zeros((0, 2) if channels == "dual" else 0, np.int16)
    return np.concatenate([empty, *got])


def peaks(audio: np.ndarray, rate: int, at: list[float]) -> list[int]:
    """How many samples after its time, rounded, the loudest sample within 0.1 s of each time is."""
    offsets = []
    for time in at:
        middle, around = round(time * rate), rate // 10
        begin = max(0, middle - around)
        offsets.append(begin + int(np.argmax(np.abs(audio[begin : middle + around].astype(int)))) - middle)
    return offsets


@pytest.mark.parametrize("source", [8000, 16000])
@pytest.mark.parametrize("target", [8000, 16000])
def test_clicks_stay_in_place_for_an_hour(tmp_path: Path, source: int, target: int) -> None:
    at = [0.0, 1.0101, 3.5, 4.0, 7.99994, 61.03, 1800.77777, 3599.0, 3599.9]
    one = clicks(tmp_path / "left", source, at, HOUR)
    assert os.stat(one.path).st_blocks * 512 < 1_000_000, "sparse"
    offsets = []
    position = 0
    for block in blocks([one], channels="dual", sample_rate_hz=target):
        assert not block[:, 1].any()
        begin, end = position / target, (position + len(block)) / target
        near = [time for time in at if begin <= round(time * target) / target < end]
        offsets += peaks(block[:, 0], target, [time - begin for time in near])
        position += len(block)
    assert position == HOUR * target
    assert len(offsets) == len(at)
    assert max(map(abs, offsets)) <= 1


def test_tracks_of_both_rates_line_up(tmp_path: Path) -> None:
    at = [0.5, 7.25, 12.0]
    low = clicks(tmp_path / "low", 8000, at, 13)
    high = clicks(tmp_path / "high", 16000, at, 13.5, "right")
    for rate in (8000, 16000):
        audio = mixed([low, high], "dual", rate)
        assert audio.shape == (13.5 * rate, 2)
        for side in (0, 1):
            assert max(map(abs, peaks(audio[:, side], rate, at))) <= 1
        both = mixed([low, high], "mono", rate)
        assert both.shape == (13.5 * rate,)
        assert max(map(abs, peaks(both, rate, at))) <= 1


def test_the_same_rate_is_left_alone(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(-32768, 32767, 8000 * 9 + 13)
    assert np.array_equal(mixed([track(tmp_path / "one", 8000, noise)], "mono", 8000), noise)


def test_a_tone_crosses_the_blocks_unbroken(tmp_path: Path) -> None:
    rate, seconds = 8000, 13
    tone = np.rint(12000 * np.sin(2 * np.pi * 440 * np.arange(rate * seconds) / rate))
    audio = mixed([track(tmp_path / "tone", rate, tone)], "mono", 16000)
    expected = 12000 * np.sin(2 * np.pi * 440 * np.arange(16000 * seconds) / 16000)
    assert len(audio) == len(expected)
    assert np.abs(audio[200:-200] - expected[200:-200]).max() < 150


def test_sides_sum_and_saturate(tmp_path: Path) -> None:
    first = track(tmp_path / "1", 8000, [1000, 30000, -30000, 5])
    second = track(tmp_path / "2", 8000, [200, 30000, -30000])
    third = track(tmp_path / "3", 8000, [-7, -30000, 30000, 1, 9], "right")
    assert mixed([first, second, third], "dual", 8000).tolist() == [
        [1200, -7],
        [32767, -30000],
        [-32768, 30000],
        [5, 1],
        [0, 9],
    ]
    assert mixed([first, second, third], "mono", 8000).tolist() == [1193, 30000, -30000, 6, 9]


def test_half_a_sample_at_the_end_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "killed").write_bytes(b"\x01\x00\x02\x00\x03")
    assert mixed([Track(tmp_path / "killed", 8000, "left")], "mono", 8000).tolist() == [1, 2]
    assert len(mixed([Track(tmp_path / "killed", 8000, "left")], "mono", 16000)) == 4


def test_nothing_to_mix(tmp_path: Path) -> None:
    empty = track(tmp_path / "empty", 8000, [])
    for tracks in ([], [empty], [Track(tmp_path / "missing", 8000, "left")]):
        assert mixed(tracks, "dual", 16000).shape == (0, 2)
        assert not mixed(tracks, "mono", 16000, seconds=5.5).any()
        assert mixed(tracks, "dual", 16000, seconds=5.5).shape == (5.5 * 16000, 2)


def test_a_missing_file_is_silence(tmp_path: Path) -> None:
    there = track(tmp_path / "there", 8000, [1, 2, 3])
    assert mixed([there, Track(tmp_path / "missing", 16000, "right")], "dual", 8000).tolist() == [
        [1, 0],
        [2, 0],
        [3, 0],
    ]


def test_a_length_asked_for(tmp_path: Path) -> None:
    one = track(tmp_path / "one", 8000, np.full(8000 * 6, 100))
    cut = mixed([one], "mono", 8000, seconds=5)
    assert len(cut) == 40000
    assert cut.all()
    padded = mixed([one], "mono", 8000, seconds=20)
    assert len(padded) == 160000
    assert padded[:48000].all()
    assert not padded[48000:].any()
    assert len(mixed([one], "mono", 16000, seconds=0)) == 0


def test_a_rate_that_is_not_converted(tmp_path: Path) -> None:
    with pytest.raises(AudioFormatError):
        mixed([track(tmp_path / "one", 11025, [1])], "mono", 8000)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        mixed([Track(tmp_path, 8000, "left")], "mono", 8000)
