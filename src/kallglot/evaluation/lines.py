"""What arrives of a recording over a line: as it was made, or over the telephone. Pure but for reading the file.

Both are brought to one level: how loud somebody happened to record is not what is measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast

import numpy as np
import soundfile  # pyright: ignore[reportMissingTypeStubs]
import soxr  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from kallglot.audio import g711
from kallglot.audio.codec import PCM_RATES
from kallglot.evaluation.scores import EvaluationError

Line = Literal["clean", "telephone"]
LINES: Final[tuple[Line, ...]] = ("clean", "telephone")
FRAME_MS: Final = 20
BAND_HZ: Final = (300.0, 3400.0)
LEVEL_DB: Final = -3.0
"""The loudest sample, below full scale."""
LEVEL: Final = 10 ** (LEVEL_DB / 20)
LONGEST_SECONDS: Final = 3600
_TRANSITION_HZ: Final = 200.0
"""From passing to -80 dB."""
_KAISER_BETA: Final = 7.9
_LOUD_DB: Final = -35

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sound:
    pcm: bytes
    """16 bit mono."""
    rate: int
    begins_s: float
    """Where speech begins and ends: the first and last 10 ms louder than 35 dB below the loudest."""
    ends_s: float

    @property
    def seconds(self) -> float:
        return len(self.pcm) / 2 / self.rate

    def frames(self, silence_s: float = 0.0) -> Iterator[bytes]:
        """Frames of 20 ms, with so much silence behind; the last is filled up with it."""
        size = self.rate * FRAME_MS // 1000 * 2
        audio = self.pcm + bytes(round(silence_s * self.rate) * 2)
        for at in range(0, len(audio), size):
            yield audio[at : at + size].ljust(size, b"\0")


def load(path: Path, line: Line, level_db: float = LEVEL_DB) -> Sound:
    """Any file that libsndfile reads, its channels together. Raises :class:`EvaluationError`."""
    try:
        about = soundfile.info(str(path))
        if about.duration > LONGEST_SECONDS:
            raise EvaluationError(f"it is {about.duration:.0f} s long, more than {LONGEST_SECONDS}")
        audio, rate = cast(
            "tuple[Floats, int]",
            soundfile.read(str(path), dtype="float64", always_2d=True),  # pyright: ignore[reportUnknownMemberType]
        )
    except (soundfile.LibsndfileError, OSError) as error:
        raise EvaluationError(f"it cannot be read as sound: {error}") from None
    mono = audio.mean(axis=1)
    if not len(mono) or not np.isfinite(mono).all():
        raise EvaluationError("there is no sound in it")
    return telephone(mono, rate, level_db) if line == "telephone" else clean(mono, rate, level_db)


def clean(audio: Floats, rate: int, level_db: float = LEVEL_DB) -> Sound:
    """At its own rate where a stream can bring that, else at the next one."""
    live = next((other for other in PCM_RATES if other >= rate), PCM_RATES[-1])
    return _sound(_resampled(_levelled(audio, level_db), rate, live), live)


def telephone(audio: Floats, rate: int, level_db: float = LEVEL_DB) -> Sound:
    """300 to 3400 Hz, 8 kHz, mu-law and back, as ``sox`` does it by ``-r 8000 -e mu-law`` and ``sinc 300-3400``."""
    sound = _sound(_resampled(_levelled(band_passed(audio, rate), level_db), rate, 8000), 8000)
    return Sound(g711.mulaw_to_pcm(g711.pcm_to_mulaw(sound.pcm)), 8000, sound.begins_s, sound.ends_s)


def _levelled(audio: Floats, level_db: float) -> Floats:
    peak = float(np.abs(audio).max())
    return audio * (10 ** (level_db / 20) / peak) if peak > 0 else audio


def band_passed(audio: Floats, rate: int) -> Floats:
    """The telephone's band by a linear-phase filter, without delay: a Kaiser-windowed sinc, 80 dB down outside."""
    half = int(rate / _TRANSITION_HZ * 2.6) + 1
    at = np.arange(-half, half + 1)
    window = np.kaiser(2 * half + 1, _KAISER_BETA)
    low, high = BAND_HZ[0] / rate, min(BAND_HZ[1], rate / 2) / rate
    taps = (2 * high * np.sinc(2 * high * at) - 2 * low * np.sinc(2 * low * at)) * window
    size = 1 << int(np.ceil(np.log2(len(audio) + len(taps))))
    spectrum = np.fft.rfft(audio, size) * np.fft.rfft(taps, size)
    return np.fft.irfft(spectrum, size)[half : half + len(audio)]


def _resampled(audio: Floats, rate: int, wanted: int) -> Floats:
    if rate == wanted:
        return audio
    return np.asarray(soxr.resample(audio, rate, wanted, quality="HQ"))  # pyright: ignore[reportUnknownMemberType]


def _sound(audio: Floats, rate: int) -> Sound:
    pcm = np.rint(np.clip(audio, -1.0, 1.0) * 32767).astype("<i2")
    return Sound(pcm.tobytes(), rate, *speech_bounds(pcm, rate))


def speech_bounds(samples: NDArray[np.int16], rate: int) -> tuple[float, float]:
    """Seconds of the first and last 10 ms that are louder than 35 dB below the loudest."""
    step = rate // 100
    count = len(samples) // step
    if not count:
        return 0.0, len(samples) / rate
    frames = samples[: count * step].astype(np.float64).reshape(count, step)
    level = np.sqrt((frames**2).mean(axis=1)) + 1e-9
    loud = np.flatnonzero(level > level.max() * 10 ** (_LOUD_DB / 20))
    return float(loud[0] * 0.01), float((loud[-1] + 1) * 0.01)
