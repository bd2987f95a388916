"""Tones that are made here: digits for a telephone that is called, and what somebody on hold hears.

PCM is signed 16-bit little-endian mono. DTMF: ITU-T Q.23 (frequencies), Q.24 (durations).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

DIGITS: Final = "0123456789*#ABCD"
TONE_MS: Final = 100
GAP_MS: Final = 80
PAUSES_MS: Final = {"w": 500, "W": 1000, ",": 500}
_LOW: Final = {"123A": 697, "456B": 770, "789C": 852, "*0#D": 941}
_HIGH: Final = {"147*": 1209, "2580": 1336, "369#": 1477, "ABCD": 1633}
_LEVEL: Final = 7000
"""Of each of the two: together 9 dB below full scale."""
HOLD_MS: Final = 6000
_NOTES: Final = ((523.25, 0), (659.26, 350), (783.99, 700))


def dtmf(digits: str, sample_rate_hz: int) -> bytes:
    """``w`` and ``W`` are pauses of half a second and a second. Raises ``ValueError`` for what is no digit."""
    parts: list[bytes] = []
    for digit in digits.upper() if "w" not in digits else "".join(d if d == "w" else d.upper() for d in digits):
        pause = PAUSES_MS.get(digit)
        parts.append(bytes(2 * (sample_rate_hz * pause // 1000)) if pause else _tone(digit, sample_rate_hz))
    return b"".join(parts)


@lru_cache(maxsize=64)
def _tone(digit: str, sample_rate_hz: int) -> bytes:
    low = next((hz for row, hz in _LOW.items() if digit in row), None)
    high = next((hz for column, hz in _HIGH.items() if digit in column), None)
    if low is None or high is None or len(digit) != 1:
        raise ValueError(f"expected digits of {DIGITS}, w and W, got {digit!r}")
    at = np.arange(sample_rate_hz * TONE_MS // 1000) / sample_rate_hz
    tone = _LEVEL * (np.sin(2 * np.pi * low * at) + np.sin(2 * np.pi * high * at))
    edge = sample_rate_hz * 3 // 1000
    ramp = np.linspace(0, 1, edge)
    tone[:edge] *= ramp
    tone[-edge:] *= ramp[::-1]
    return np.rint(tone).astype("<i2").tobytes() + bytes(2 * (sample_rate_hz * GAP_MS // 1000))


@lru_cache(maxsize=8)
def hold_music(sample_rate_hz: int) -> bytes:
    """:data:`HOLD_MS` that can be repeated: three soft notes, and silence. Somebody on hold knows that the line is
    open, and nobody's recogniser takes it for speech."""
    at = np.arange(sample_rate_hz * HOLD_MS // 1000) / sample_rate_hz
    music = np.zeros(len(at))
    for hz, from_ms in _NOTES:
        since = at - from_ms / 1000
        shape = np.where(since >= 0, np.exp(-np.clip(since, 0, None) * 3.0) * np.clip(since / 0.01, 0, 1), 0.0)
        music += 1800 * shape * np.sin(2 * np.pi * hz * since)
    fade = sample_rate_hz // 10
    music[-fade:] *= np.linspace(1, 0, fade)
    return np.rint(music).astype("<i2").tobytes()
