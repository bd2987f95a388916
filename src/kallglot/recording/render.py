"""Rendering recordings to files of sound, in child processes that may die and that the event loop never waits for.

``python -m kallglot.recording.render`` reads orders (:class:`Order`, JSON, a line each), writes their files and answers
each with a :class:`Rendered`. What it has not finished is named ``.audio.mp3.<its process id>.part`` beside the file.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, cast

import msgspec
import numpy as np
import numpy.typing as npt
import soundfile  # pyright: ignore[reportMissingTypeStubs]

from kallglot import child
from kallglot.recording.mixdown import Channels, Track, blocks

log = logging.getLogger(__name__)

Format = Literal["wav", "flac", "ogg", "mp3"]

WRITE_FRAMES: Final = 32_768
"""At most, in one go: the Vorbis encoder keeps what it is given on the stack."""
BUFFER_BYTES: Final = 256 * 1024

_ENCODINGS: Final[dict[Format, tuple[str, str]]] = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}

_Samples = npt.NDArray[np.int16]


class Output(msgspec.Struct, frozen=True):
    path: Path
    format: Format


class Order(msgspec.Struct, frozen=True):
    """Either the sound file ``source``, which keeps its rate and channels, or ``tracks``, mixed down as in
    :func:`~kallglot.recording.mixdown.blocks`; to every one of ``outputs``."""

    outputs: tuple[Output, ...]
    source: Path | None = None
    tracks: tuple[Track, ...] = ()
    channels: Channels = "dual"
    sample_rate_hz: int = 16000
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.source is not None and self.tracks:
            raise ValueError("expected a source or tracks, got both")
        if len({output.path for output in self.outputs}) < len(self.outputs):
            raise ValueError("expected outputs to be different files")


class Rendered(msgspec.Struct, frozen=True):
    seconds: float
    sample_rate_hz: int
    channels: int
    sizes: dict[str, int]
    """Bytes, by path."""


class RenderFailed(Exception):
    """There is no new file; why not is in the log."""


class Renderer:
    """At most ``at_once`` renderings. Others wait for their turn and are given the child of whoever was before them:
    it takes twice as long to start one as to render a short call."""

    def __init__(self, at_once: int = 1) -> None:
        self._turns = asyncio.Semaphore(at_once)
        self._waiting = 0
        self._resting: list[child.Child] = []

    async def render(self, order: Order, timeout_s: float = 600) -> Rendered:
        """``timeout_s`` counts from its turn. Raises :class:`RenderFailed`; cancelled, it leaves nothing running."""
        self._waiting += 1
        try:
            await self._turns.acquire()
        except asyncio.CancelledError:
            self._waiting -= 1
            await self._dismiss()
            raise
        self._waiting -= 1
        try:
            return await self._run(order, timeout_s)
        finally:
            try:
                await self._dismiss()
            finally:
                self._turns.release()

    async def _run(self, order: Order, timeout_s: float) -> Rendered:
        try:
            asked = (
                self._resting.pop()
                if self._resting
                else await child.Child.start(
                    __spec__.name,
                    name="the renderer",
                    environment={"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                )
            )
            try:
                answer = await asked.ask(msgspec.json.encode(order, enc_hook=str), timeout_s)
            except BaseException:
                for output in order.outputs:
                    with contextlib.suppress(OSError):
                        _part(output.path, asked.pid).unlink(missing_ok=True)
                raise
            self._resting.append(asked)
            return msgspec.json.decode(answer, type=Rendered)
        except child.ChildFailed as error:
            raise RenderFailed(str(error)) from None
        except msgspec.MsgspecError as error:
            log.error("the renderer answered nothing usable: %s", error)
            raise RenderFailed("the renderer's answer cannot be used") from None

    async def _dismiss(self) -> None:
        """Those that nobody waits for."""
        while len(self._resting) > self._waiting:
            await self._resting.pop().end()


def _part(path: Path, pid: int) -> Path:
    return path.with_name(f".{path.name}.{pid}.part")


class _Sink:
    """A file as libsndfile writes it, which by itself would pass over a disk that fills up with the last bytes."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", BUFFER_BYTES)
        self._error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self._error = self._error or error
            return 0

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._file.seek(offset, whence)
        except OSError as error:
            self._error = self._error or error
            return -1

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        """Raises what went wrong with any write."""
        with self._file:
            self.check()
            self._file.flush()
            os.fsync(self._file.fileno())

    def check(self) -> None:
        if self._error is not None:
            raise self._error


def render(order: Order) -> Rendered:
    """Writes the files of an order, all or none. Raises :class:`OSError`, :class:`soundfile.SoundFileError`,
    :class:`~kallglot.audio.codec.AudioFormatError`."""
    pid = os.getpid()
    parts = {output.path: _part(output.path, pid) for output in order.outputs}
    try:
        with ExitStack() as opened:
            if order.source is None:
                rate, channels = order.sample_rate_hz, 2 if order.channels == "dual" else 1
                audio = blocks(
                    order.tracks, channels=order.channels, sample_rate_hz=order.sample_rate_hz, seconds=order.seconds
                )
            else:
                source = opened.enter_context(soundfile.SoundFile(str(order.source)))
                rate, channels = source.samplerate, source.channels
                audio = _read(source)
            frames = _write(order.outputs, parts, audio, rate, channels)
        sizes = {str(path): part.stat().st_size for path, part in parts.items()}
        for path, part in parts.items():
            part.replace(path)
        return Rendered(frames / rate, rate, channels, sizes)
    finally:
        for part in parts.values():
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)


def _read(source: soundfile.SoundFile) -> Iterator[_Samples]:
    whole = source.subtype == "PCM_16"
    while True:
        read: Any = source.read(WRITE_FRAMES, dtype="int16" if whole else "float32")
        if not len(read):
            return
        yield read if whole else np.clip(np.rint(read * 32768.0), -32768, 32767).astype(np.int16)


def _write(
    outputs: tuple[Output, ...], parts: dict[Path, Path], audio: Iterator[_Samples], rate: int, channels: int
) -> int:
    frames = 0
    files: list[tuple[soundfile.SoundFile, _Sink]] = []
    for output in outputs:
        container, encoding = _ENCODINGS[output.format]
        sink = _Sink(parts[output.path])
        file = soundfile.SoundFile(cast(Any, sink), "w", rate, channels, encoding, format=container)
        files.append((file, sink))
    for block in audio:
        frames += len(block)
        for at in range(0, len(block), WRITE_FRAMES):
            for file, sink in files:
                piece = block[at : at + WRITE_FRAMES]
                # 16-bit stereo comes out of libsndfile's MP3 encoder half replaced by noise (libsndfile pull 1106).
                file.write(piece / np.float32(32768) if file.format == "MP3" else piece)
                sink.check()
    for file, sink in files:
        file.close()
        sink.close()
    return frames


def _abandoned(order: Order, _number: int, _frame: object) -> None:
    # An exception would be lost in a callback of libsndfile.
    for output in order.outputs:
        _part(output.path, os.getpid()).unlink(missing_ok=True)
    os._exit(128 + signal.SIGTERM)


def _decode(kind: type, value: Any) -> Any:
    if kind is Path:
        return Path(value)
    raise NotImplementedError(kind)


def main() -> None:
    with child.begin() as answers:
        for line in sys.stdin.buffer:
            order = msgspec.json.decode(line, type=Order, dec_hook=_decode)
            signal.signal(signal.SIGTERM, partial(_abandoned, order))
            answers.write(msgspec.json.encode(render(order)) + b"\n")
            answers.flush()


if __name__ == "__main__":
    main()
