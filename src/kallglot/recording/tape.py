"""Writing a live session's sound to disk as it happens.

One raw track for each participant's own voice and one for what they heard: signed 16-bit little-endian mono PCM, its
first sample at the session's first millisecond, silence left out as holes. There is no header to be put right at the
end, so a killed process leaves files that are whole up to the last write. A track's name says what it is:
``said.left.part_01….8000.pcm``.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from kallglot.audio.resample import Resampler
from kallglot.recording.mixdown import Side, Track
from kallglot.session.model import Participant

log = logging.getLogger(__name__)

Kind = Literal["said", "heard"]

FLUSH_SECONDS: Final = 0.5
MOST_WAITING_BYTES: Final = 4 * 1024 * 1024
"""Per session, for a disk that does not answer: more than a minute of a two-party call."""
NUDGE_SAMPLES: Final = 2
"""A clock being followed moves audio by single samples: one is repeated or left out."""


class Tape:
    """Implements :class:`kallglot.session.ports.Tape`. Writes happen in ``executor``, one at a time."""

    def __init__(
        self,
        folder: Path,
        warn: Callable[[str], None],
        executor: Executor,
        on_closed: Callable[[], None] = lambda: None,
    ) -> None:
        self._folder = folder
        self._warn = warn
        self._executor = executor
        self._on_closed = on_closed
        self._tracks: dict[tuple[Kind, str], _Track] = {}
        self._waiting_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Future[None] | None = None
        self._closed = False

    def said(self, participant: Participant, at_ms: float, pcm: bytes, sample_rate_hz: int) -> None:
        self._take("said", participant, at_ms, pcm, sample_rate_hz)

    def heard(self, participant: Participant, at_ms: float, pcm: bytes, sample_rate_hz: int) -> None:
        self._take("heard", participant, at_ms, pcm, sample_rate_hz)

    async def close(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._writing is not None:
            await asyncio.wait([self._writing])
        self._write()
        if self._writing is not None:
            await asyncio.wait([self._writing])
        await asyncio.get_running_loop().run_in_executor(self._executor, self._close_files)
        self._on_closed()

    def _take(self, kind: Kind, participant: Participant, at_ms: float, pcm: bytes, sample_rate_hz: int) -> None:
        if self._closed:
            return
        if self._waiting_bytes > MOST_WAITING_BYTES:
            self._warn("The disk does not keep up; part of the recording is lost.")
            return
        track = self._tracks.get((kind, participant.id))
        if track is None:
            track = self._tracks[kind, participant.id] = _Track(self._folder, kind, participant, sample_rate_hz)
        self._waiting_bytes += track.take(at_ms, pcm, sample_rate_hz)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        if self._writing is None or self._writing.done():
            self._write()
        else:
            # The disk is slow: what came meanwhile goes with the next.
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._on_time)

    def _write(self) -> None:
        work = [(track, track.waiting) for track in self._tracks.values() if track.waiting]
        for track, _ in work:
            track.waiting = []
        if not work:
            return
        size = self._waiting_bytes
        self._writing = asyncio.ensure_future(self._written(work, size))

    async def _written(self, work: list[tuple[_Track, list[_Piece]]], size: int) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._executor, _write_all, work)
        except OSError as error:
            log.warning("%s: the recording cannot be written: %s", self._folder.name, error.strerror)
            self._warn(f"Part of the recording could not be written: {error.strerror}.")
        finally:
            self._waiting_bytes -= size

    def _close_files(self) -> None:
        for track in self._tracks.values():
            track.close()


@dataclass(slots=True)
class _Piece:
    offset: int
    audio: bytearray = field(default_factory=bytearray)


class _Track:
    def __init__(self, folder: Path, kind: Kind, participant: Participant, sample_rate_hz: int) -> None:
        side: Side = "left" if participant.role == "customer" else "right"
        found = sorted(folder.glob(f"{kind}.{side}.{participant.id}.*.pcm"))
        self._rate = _rate(found[0]) if found else (8000 if sample_rate_hz <= 8000 else 16000)
        self._path = folder / f"{kind}.{side}.{participant.id}.{self._rate}.pcm"
        self._file: int | None = None
        self._resamplers: dict[int, Resampler] = {}
        self._next: int | None = None
        self.waiting: list[_Piece] = []

    def take(self, at_ms: float, pcm: bytes, sample_rate_hz: int) -> int:
        """How many bytes more wait to be written."""
        if sample_rate_hz != self._rate:
            resampler = self._resamplers.get(sample_rate_hz)
            if resampler is None:
                resampler = self._resamplers[sample_rate_hz] = Resampler(sample_rate_hz, self._rate)
            pcm = resampler.process(pcm)
            at_ms -= resampler.delay_ms
        at = round(at_ms * self._rate / 1000)
        nudge = None if self._next is None else at - self._next
        if nudge is not None and abs(nudge) <= NUDGE_SAMPLES and self.waiting:
            piece = self.waiting[-1]
            pcm = bytes(piece.audio[-2:]) * nudge + pcm if nudge >= 0 else pcm[-2 * nudge :]
        else:
            if at < 0:
                pcm, at = pcm[-2 * at :], 0
            piece = _Piece(at * 2)
            self.waiting.append(piece)
        piece.audio += pcm
        self._next = (piece.offset + len(piece.audio)) // 2
        return len(pcm)

    def write(self, pieces: list[_Piece]) -> None:
        if self._file is None:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        for piece in pieces:
            view, offset = memoryview(piece.audio), piece.offset
            while view:
                written = os.pwrite(self._file, view, offset)
                view, offset = view[written:], offset + written

    def close(self) -> None:
        if self._file is not None:
            os.fsync(self._file)
            os.close(self._file)
            self._file = None


def _write_all(work: list[tuple[_Track, list[_Piece]]]) -> None:
    trouble: OSError | None = None
    for track, pieces in work:
        try:
            track.write(pieces)
        except OSError as error:
            trouble = error
    if trouble is not None:
        raise trouble


def tracks(folder: Path, kind: Kind) -> list[Track]:
    """What a session's folder holds of one kind."""
    found: list[Track] = []
    for path in sorted(folder.glob(f"{kind}.*.pcm")):
        side = path.name.split(".")[1]
        if side in ("left", "right"):
            found.append(Track(path, _rate(path), "left" if side == "left" else "right"))
    return found


def seconds(some: list[Track]) -> float:
    """The length of the longest."""
    return max((track.path.stat().st_size / 2 / track.sample_rate_hz for track in some), default=0.0)


def _rate(path: Path) -> int:
    return int(path.name.split(".")[3])
