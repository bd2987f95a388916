"""Raw tracks of a session, side by side or summed, as blocks of samples.

A track is a file of mono s16le whose first sample is at the session's beginning. Tracks of one side, and for mono those
of both, are summed at full level and clipped at 16 bit: people on a call seldom speak at once, and halving each would
mostly only make them quieter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import IO, Final, Literal

import numpy as np
import numpy.typing as npt

from kallglot.audio.resample import Resampler

Channels = Literal["dual", "mono"]
Side = Literal["left", "right"]

BLOCK_SECONDS: Final = 4
SAMPLE_BYTES: Final = 2

_Samples = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Track:
    """``sample_rate_hz`` is one of :data:`kallglot.audio.resample.RATES`. Holes in the file are silence, and so is a
    file that is missing; half a sample at its end is not there."""

    path: Path
    sample_rate_hz: int
    side: Side


def blocks(
    tracks: Sequence[Track], *, channels: Channels, sample_rate_hz: int, seconds: float | None = None
) -> Iterator[_Samples]:
    """Blocks of at most :data:`BLOCK_SECONDS`, of shape (n, 2), left and right, for dual and (n,) for mono.

    Together they are as long as the longest track, or ``seconds``. A side without a track is silent. Raises
    :class:`~kallglot.audio.codec.AudioFormatError` for a rate that is not converted, :class:`OSError` for a file that
    cannot be read.
    """
    with ExitStack() as opened:
        readers = [_Reader(track, sample_rate_hz, opened) for track in tracks]
        if seconds is None:
            left = max((reader.length for reader in readers), default=0)
        else:
            left = round(seconds * sample_rate_hz)
        while left > 0:
            count = min(left, BLOCK_SECONDS * sample_rate_hz)
            left -= count
            sums = np.zeros((count, 2), np.int32)
            for reader in readers:
                reader.add_to(sums[:, 0 if channels == "mono" or reader.side == "left" else 1])
            if channels == "mono":
                sums = sums[:, 0]
            yield np.clip(sums, -32768, 32767).astype(np.int16)


class _Reader:
    """One track at the rate wanted, its samples where they were in the session."""

    def __init__(self, track: Track, sample_rate_hz: int, opened: ExitStack) -> None:
        self.side = track.side
        self.length = 0
        """In samples at the rate wanted."""
        self._resampler = Resampler(track.sample_rate_hz, sample_rate_hz)
        self._ready = b""
        self._late = round(self._resampler.delay_ms * sample_rate_hz / 1000) * SAMPLE_BYTES
        """Bytes that come out before the first sample of the track."""
        self._file: IO[bytes] | None = None
        try:
            self._file = opened.enter_context(track.path.open("rb"))
        except FileNotFoundError:
            return
        samples = self._file.seek(0, 2) // SAMPLE_BYTES
        self._file.seek(0)
        self.length = ceil(samples * sample_rate_hz / track.sample_rate_hz)

    def add_to(self, sums: npt.NDArray[np.int32]) -> None:
        wanted = len(sums) * SAMPLE_BYTES
        while len(self._ready) < wanted and self._file is not None:
            self._ready += self._next(self._file)
        samples = np.frombuffer(self._ready[:wanted], "<i2")
        sums[: len(samples)] += samples
        self._ready = self._ready[wanted:]

    def _next(self, file: IO[bytes]) -> bytes:
        size = BLOCK_SECONDS * self._resampler.source_hz * SAMPLE_BYTES
        pcm = file.read(size)
        out = self._resampler.process(pcm[: len(pcm) // SAMPLE_BYTES * SAMPLE_BYTES])
        if len(pcm) < size:
            out += self._resampler.flush()
            self._file = None
        late = min(self._late, len(out))
        self._late -= late
        return out[late:]
