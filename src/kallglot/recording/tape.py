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
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from kallglot.audio.resample import Resampler
from kallglot.recording.mixdown import Side, Track
from kallglot.session.model import Participant

log = logging.getLogger(__name__)

Kind = Literal["said", "heard"]

FLUSH_SECONDS: Final = 0.5
MOST_WAITING_BYTES: Final = 4 * 1024 * 1024
"""Per session, for a disk that does not answer: more than a minute of a two-party call."""
NUDGE_SAMPLES: Final = 2
NUDGE_SHARE: Final = 200
"""A clock being followed moves audio by single samples, and by up to one in so many: the chunk is stretched by them."""
JUMP_MS: Final = 2.0
"""Audio of another rate that is so far off what came before it is not of one piece with it."""


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
        self._closed: asyncio.Task[None] | None = None

    def said(self, participant: Participant, at_ms: float, pcm: bytes, sample_rate_hz: int) -> None:
        self._take("said", participant, at_ms, pcm, sample_rate_hz)

    def heard(self, participant: Participant, at_ms: float, pcm: bytes, sample_rate_hz: int) -> None:
        self._take("heard", participant, at_ms, pcm, sample_rate_hz)

    def said_until_ms(self, participant: Participant) -> float:
        lengths = [seconds([track]) for track in tracks(self._folder, "said") if participant.id in track.path.name]
        return 1000 * max(lengths, default=0.0)

    async def close(self) -> None:
        if self._closed is None:
            self._closed = asyncio.create_task(self._close(), name=f"{self._folder.name}-tape")
        await asyncio.shield(self._closed)

    async def _close(self) -> None:
        try:
            if self._timer is not None:
                self._timer.cancel()
            for track in self._tracks.values():
                self._waiting_bytes += track.end()
            if self._writing is not None:
                await asyncio.wait([self._writing])
            self._write()
            if self._writing is not None:
                await asyncio.wait([self._writing])
            await self._in_executor(self._close_files)
        finally:
            self._on_closed()

    def _take(self, kind: Kind, participant: Participant, at_ms: float, pcm: bytes, sample_rate_hz: int) -> None:
        if self._closed is not None:
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
            await self._in_executor(_each(_Track.write, work))
        finally:
            self._waiting_bytes -= size

    async def _in_executor(self, work: Callable[[], None]) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._executor, work)
        except OSError as error:
            log.warning("%s: the recording cannot be written: %s", self._folder.name, error.strerror)
            self._warn(f"Part of the recording could not be written: {error.strerror}.")

    def _close_files(self) -> None:
        _each(_Track.close, [(track,) for track in self._tracks.values()])()


@dataclass(slots=True)
class _Piece:
    offset: int
    audio: bytearray = field(default_factory=bytearray)

    @property
    def end(self) -> int:
        return self.offset + len(self.audio)


class _Track:
    def __init__(self, folder: Path, kind: Kind, participant: Participant, sample_rate_hz: int) -> None:
        side: Side = "left" if participant.role == "customer" else "right"
        found = sorted(folder.glob(f"{kind}.{side}.{participant.id}.*.pcm"))
        self._rate = _rate(found[0]) if found else (8000 if sample_rate_hz <= 8000 else 16000)
        self._path = folder / f"{kind}.{side}.{participant.id}.{self._rate}.pcm"
        self._file: int | None = None
        self._conversions: dict[int, _Conversion] = {}
        self._next = 0
        self.waiting: list[_Piece] = []

    def take(self, at_ms: float, pcm: bytes, sample_rate_hz: int) -> int:
        """How many bytes more wait to be written."""
        if sample_rate_hz == self._rate:
            return self._put(at_ms, pcm)
        conversion = self._conversions.get(sample_rate_hz)
        if conversion is None:
            conversion = self._conversions[sample_rate_hz] = _Conversion(sample_rate_hz, self._rate)
        return sum(self._put(*piece) for piece in conversion.convert(at_ms, pcm))

    def end(self) -> int:
        """Nothing more comes."""
        return sum(self._put(*conversion.rest()) for conversion in self._conversions.values())

    def _put(self, at_ms: float, pcm: bytes) -> int:
        exact, count = at_ms * self._rate / 1000, len(pcm) // 2
        # Half a sample more than rounding needs, so that it does not go to and fro.
        at = self._next if abs(exact - self._next) < 1 else round(exact)
        nudge = at - self._next
        if nudge and 8 * abs(nudge) <= count and abs(nudge) <= NUDGE_SAMPLES + count // NUDGE_SHARE:
            pcm, at = _stretched(pcm, count + nudge), self._next
        elif at < 0:
            pcm, at = pcm[-2 * at :], 0
        if not pcm:
            return 0
        if self.waiting and self.waiting[-1].end == at * 2:
            piece = self.waiting[-1]
        else:
            piece = _Piece(at * 2)
            self.waiting.append(piece)
        piece.audio += pcm
        self._next = piece.end // 2
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
        if self._file is None:
            return
        number, self._file = self._file, None
        try:
            os.fsync(number)
        finally:
            os.close(number)


class _Conversion:
    """Audio of another rate on its way to a track: the filter holds some of it back until more comes."""

    def __init__(self, source_hz: int, target_hz: int) -> None:
        self._resampler = Resampler(source_hz, target_hz)
        self._begin()

    def _begin(self) -> None:
        self._end_ms: float | None = None
        self._held_ms = 0.0
        self._early = round(self._resampler.delay_ms * self._resampler.target_hz / 1000) * 2
        """Bytes that come out before the first sample."""

    def convert(self, at_ms: float, pcm: bytes) -> list[tuple[float, bytes]]:
        """Audio that is ready, with the millisecond at which it begins."""
        out: list[tuple[float, bytes]] = []
        if self._end_ms is not None and abs(at_ms - self._end_ms) > JUMP_MS:
            out.append(self.rest())
        ready = self._without_early(self._resampler.process(pcm))
        out.append((at_ms - self._held_ms, ready))
        duration = len(pcm) / 2 * 1000 / self._resampler.source_hz
        self._held_ms += duration - len(ready) / 2 * 1000 / self._resampler.target_hz
        self._end_ms = at_ms + duration
        return out

    def rest(self) -> tuple[float, bytes]:
        """What is held back. What comes next is not of one piece with it."""
        at_ms = (self._end_ms or 0.0) - self._held_ms
        pcm = self._without_early(self._resampler.flush())
        self._begin()
        return at_ms, pcm

    def _without_early(self, pcm: bytes) -> bytes:
        early = min(self._early, len(pcm))
        self._early -= early
        return pcm[early:]


def _each(work: Callable[..., None], some: Sequence[tuple[Any, ...]]) -> Callable[[], None]:
    """Does all of it, whatever goes wrong with some."""

    def do() -> None:
        trouble: OSError | None = None
        for one in some:
            try:
                work(*one)
            except OSError as error:
                trouble = error
        if trouble is not None:
            raise trouble

    return do


def _stretched(pcm: bytes, count: int) -> bytes:
    """As many samples, the first and the last where they were."""
    samples = np.frombuffer(pcm, "<i2")
    at = np.linspace(0, len(samples) - 1, count)
    return np.rint(np.interp(at, np.arange(len(samples)), samples)).astype("<i2").tobytes()


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
