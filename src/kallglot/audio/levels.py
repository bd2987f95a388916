"""Levels of float samples, full scale 1.0."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
SPEECH_RMS: Final = 0.1
"""-20 dBFS: what recognition is given, however loud the caller was."""
MAX_GAIN: Final = 100.0
_PCM16: Final = np.dtype("<i2")


def to_float(pcm: bytes | bytearray | memoryview) -> Floats:
    return np.multiply(np.frombuffer(pcm, _PCM16), np.float32(1 / 32768), dtype=np.float32)


def rms(samples: Floats) -> float:
    return math.sqrt(float(samples @ samples) / len(samples)) if len(samples) else 0.0


def normalise(samples: Floats, frame: int = 160) -> Floats:
    """Brings the louder part of an utterance to -20 dBFS; pauses inside it don't count, and nothing is clipped."""
    if len(samples) < frame:
        return samples
    whole = len(samples) - len(samples) % frame
    energies = np.square(samples[:whole]).reshape(-1, frame).mean(axis=1)
    loud = energies[energies >= energies.max() * 0.01]
    level = float(np.sqrt(loud.mean()))
    if level <= 0:
        return samples
    peak = float(np.abs(samples).max())
    gain = min(SPEECH_RMS / level, MAX_GAIN, 0.99 / peak)
    return samples * np.float32(gain)


def faded_in(pcm: bytes, samples: int) -> bytes:
    """16-bit PCM that begins from silence, over its first ``samples``."""
    return _ramped(pcm, 0, min(samples, len(pcm) // 2), 0.0, 1.0)


def faded_out(pcm: bytes, samples: int) -> bytes:
    """16-bit PCM that ends in silence, over its last ``samples``."""
    length = len(pcm) // 2
    return _ramped(pcm, max(0, length - samples), length, 1.0, 0.0)


def _ramped(pcm: bytes, start: int, end: int, first: float, last: float) -> bytes:
    audio = np.frombuffer(pcm, "<i2").copy()
    audio[start:end] = audio[start:end] * np.linspace(first, last, end - start, endpoint=last == 0.0)
    return audio.tobytes()
