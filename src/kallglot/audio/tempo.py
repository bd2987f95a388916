"""Speech played faster with its pitch kept: waveform similarity overlap-add.

Verhelst and Roelands, "An overlap-add technique based on waveform similarity (WSOLA) for high quality time-scale
modification of speech", ICASSP 1993. At tempo 1.0 what comes out is what went in, sample for sample.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

OVERLAP_MS: Final = 15
SEARCH_MS: Final = 8
"""Half a period of the lowest voice: within it the next piece is found in phase with the last."""

Floats = npt.NDArray[np.float32]


class TempoChanger:
    """One spurt of speech, signed 16-bit mono PCM. Holds back 38 ms until ``flush``."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._overlap = sample_rate_hz * OVERLAP_MS // 1000
        self._search = sample_rate_hz * SEARCH_MS // 1000
        self._rise: Floats = np.linspace(0, 1, self._overlap, endpoint=False, dtype=np.float32)
        self._input: Floats = np.zeros(0, np.float32)
        self._at = 0.0
        """Where in the input the next piece is looked for."""
        self._follow: int | None = None
        """Where in the input the last piece goes on."""

    def process(self, pcm: bytes, tempo: float) -> bytes:
        """The next of the spurt at ``tempo`` times its speed, 1.0 or more."""
        if pcm:
            self._input = np.concatenate([self._input, np.frombuffer(pcm, "<i2").astype(np.float32)])
        pieces: list[Floats] = []
        overlap, search = self._overlap, self._search
        while len(self._input) >= int(self._at) + search + 2 * overlap:
            piece = self._piece(tempo)
            pieces.append(piece)
        self._forget()
        return _pcm(pieces)

    def flush(self) -> bytes:
        """The end of the spurt; the object begins another one afterwards."""
        start = self._follow if self._follow is not None else int(self._at)
        rest = self._input[start:]
        self._input, self._at, self._follow = np.zeros(0, np.float32), 0.0, None
        return _pcm([rest])

    def _piece(self, tempo: float) -> Floats:
        overlap, search = self._overlap, self._search
        target, follow = int(self._at), self._follow
        if follow is None or target == follow:
            start = target
            made = self._input[start : start + overlap]
        else:
            last = self._input[follow : follow + overlap]
            first = max(0, target - search)
            near = self._input[first : target + search + overlap]
            start = first + _most_alike(near, last)
            made = (last + self._rise * (self._input[start : start + overlap] - last)).astype(np.float32)
        self._follow = start + overlap
        self._at = float(self._follow) if tempo <= 1.0 else self._at + overlap * tempo
        return made

    def _forget(self) -> None:
        drop = min(int(self._at) - self._search, self._follow if self._follow is not None else 0)
        if drop > 0:
            self._input = self._input[drop:]
            self._at -= drop
            if self._follow is not None:
                self._follow -= drop


def _most_alike(near: Floats, last: Floats) -> int:
    """Where in ``near`` the piece begins that goes on as ``last`` does."""
    product = np.correlate(near, last, "valid")
    energy = np.convolve(near * near, np.ones(len(last), np.float32), "valid")
    return int(np.argmax(product / np.sqrt(energy + len(last))))


def _pcm(pieces: list[Floats]) -> bytes:
    if not pieces:
        return b""
    return np.clip(np.rint(np.concatenate(pieces)), -32768, 32767).astype("<i2").tobytes()
