"""Sample rate conversion on the live path: a stateful polyphase filter with a fixed, short delay.

The filter is a Kaiser-windowed sinc over 48 periods of the lower rate: flat to 0.84 of the lower rate's half, at least
55 dB down from that half upwards. Its delay is 24 periods of the lower rate: 3 ms between 8 kHz and anything above,
1.5 ms between 16 kHz and anything above.

Filter coefficients are whole multiples of 2**-30 and samples are 16 bit, so that every sum is exact in 64-bit floating
point. The output therefore depends on the samples alone: neither the chunks they come in nor the order in which a
matrix library adds changes a bit of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import ceil, gcd
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from kallglot.audio.codec import AudioFormatError

RATES: Final = (8000, 16000, 22050, 24000, 48000)
HALF_PERIODS: Final = 24
"""Half the filter's length, in periods of the lower rate."""

_CUTOFF: Final = 0.925
_KAISER_BETA: Final = 6.2
_SCALE: Final = 2.0**30
_BLOCK_MS: Final = 2
_SLICE: Final = 16_384
_HIGHEST: Final = np.array(32767.0)
_LOWEST: Final = np.array(-32768.0)

_Floats = npt.NDArray[np.float64]


class Resampler:
    """One stream of audio from one rate to another.

    ``source_hz`` and ``target_hz`` are of :data:`RATES`. Audio is converted in blocks of 2 ms (20 ms or 6.7 ms where
    one of the rates is 22,050); what does not fill a block waits for the next chunk or the flush.
    """

    def __init__(self, source_hz: int, target_hz: int) -> None:
        for rate in (source_hz, target_hz):
            if rate not in RATES:
                raise AudioFormatError(f"expected a sample rate of {', '.join(map(str, RATES))} Hz, got {rate}")
        self.source_hz = source_hz
        self.target_hz = target_hz
        self._filter = None if source_hz == target_hz else _design(source_hz, target_hz)
        self._reset()

    def _reset(self) -> None:
        self._held: _Floats = np.zeros(2 * self._filter.half if self._filter else 0)
        self._taken = 0
        self._given = 0

    @property
    def delay_ms(self) -> float:
        return self._filter.half * 1000 / self.source_hz if self._filter else 0.0

    def process(self, pcm: bytes | memoryview) -> bytes:
        """The audio that is ready, mono s16le in and out. Raises :class:`AudioFormatError` for half a sample."""
        if len(pcm) % 2:
            raise AudioFormatError(f"expected whole 16-bit samples, got {len(pcm)} bytes")
        if self._filter is None:
            return bytes(pcm)
        samples = np.frombuffer(pcm, "<i2")
        if len(samples) <= _SLICE:
            return self._convert(self._filter, samples)
        return b"".join(self._convert(self._filter, samples[at : at + _SLICE]) for at in range(0, len(samples), _SLICE))

    def flush(self) -> bytes:
        """What the filter still holds. The resampler then starts anew, as for another stream."""
        design = self._filter
        if design is None or not self._taken:
            return b""
        wanted = ceil((self._taken + design.half) * self.target_hz / self.source_hz)
        padding = np.zeros(design.half + design.block, "<i2")
        before = self._given
        tail = self._convert(design, padding)
        self._reset()
        return tail[: (wanted - before) * 2]

    def _convert(self, design: _Filter, samples: npt.NDArray[Any]) -> bytes:
        held = len(self._held)
        audio = np.empty(held + len(samples))
        audio[:held] = self._held
        audio[held:] = samples
        self._taken += len(samples)
        blocks = (len(audio) - 2 * design.half) // design.block
        self._held = audio[blocks * design.block :].copy()
        if not blocks:
            return b""
        width = 2 * design.half + design.block
        # The copy unfolds the overlapping windows, which the matrix library would refuse and numpy do slowly.
        windows = np.ndarray((blocks, width), np.float64, audio, 0, (design.block * 8, 8)).copy()
        output = windows.dot(design.matrix)
        np.rint(output, out=output)
        np.minimum(output, _HIGHEST, out=output)
        np.maximum(output, _LOWEST, out=output)
        self._given += output.size
        return output.astype("<i2").tobytes()


@dataclass(frozen=True, slots=True, eq=False)
class _Filter:
    half: int
    """Delay, and half the filter's length, in source samples."""
    block: int
    """Source samples that one row of windows moves on."""
    matrix: _Floats
    """(2 half + block) source samples to one block of the target."""


@cache
def _design(source_hz: int, target_hz: int) -> _Filter:
    divisor = gcd(source_hz, target_hz)
    up, down = target_hz // divisor, source_hz // divisor
    repeat = max(1, source_hz * _BLOCK_MS // 1000 // down)
    block, outputs = repeat * down, repeat * up
    lower = min(source_hz, target_hz)
    half = ceil(HALF_PERIODS * source_hz / lower)
    # Row i is source sample i - 2 half, column j the output at j * down / up, delayed by half.
    at = np.arange(outputs) * (down / up) + half - np.arange(2 * half + block)[:, None]
    band = _CUTOFF * lower / source_hz
    shape = np.sqrt(np.clip(1.0 - (at / (HALF_PERIODS * source_hz / lower)) ** 2, 0.0, None))
    taps = np.sinc(band * at) * np.where(shape > 0.0, np.i0(_KAISER_BETA * shape), 0.0)
    taps /= taps.sum(axis=0)
    return _Filter(half, block, np.ascontiguousarray(np.rint(taps * _SCALE) / _SCALE))
