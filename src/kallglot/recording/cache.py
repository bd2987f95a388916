"""Recordings in the form in which they were asked for, kept for the next who asks: a download is often many ranges."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
from pathlib import Path
from typing import Final, cast
from weakref import WeakValueDictionary

from kallglot.recording.model import DEFAULT_FORMAT, MASTER, Recording
from kallglot.recording.render import Format, Order, Output, Renderer
from kallglot.recording.shelf import Shelf

MOST_BYTES: Final = 1024**3


class Cache:
    """``most_bytes`` is what it may grow to; the file that was used longest ago goes first."""

    def __init__(self, folder: Path, shelf: Shelf, renderer: Renderer, most_bytes: int = MOST_BYTES) -> None:
        self._folder = folder
        self._shelf = shelf
        self._renderer = renderer
        self._most_bytes = most_bytes
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def get(self, recording: Recording, format: str) -> Path:
        """The file; made only once however many ask at the same time."""
        if format == DEFAULT_FORMAT:
            local = await asyncio.to_thread(self._shelf.local, recording.key(DEFAULT_FORMAT))
            if local is not None:
                return local
        path = self._folder / recording.id / f"audio.{format}"
        lock = self._locks.get(str(path))
        if lock is None:
            lock = self._locks[str(path)] = asyncio.Lock()
        async with lock:
            if await asyncio.to_thread(_touched, path):
                return path
            await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
            if format == DEFAULT_FORMAT:
                await self._shelf.fetch(recording.key(DEFAULT_FORMAT), path)
            else:
                await self._make(recording, cast(Format, format), path)
            await asyncio.to_thread(self._shrink, path)
        return path

    async def forget(self, recording_id: str) -> None:
        await asyncio.to_thread(shutil.rmtree, self._folder / recording_id, ignore_errors=True)

    async def kept(self) -> set[str]:
        """The recordings of which there is something."""
        return await asyncio.to_thread(lambda: {path.name for path in self._folder.glob("*")})

    async def tidy(self) -> None:
        """Takes away what a process that was killed had not finished."""
        await asyncio.to_thread(self._tidy)

    def _tidy(self) -> None:
        for path in self._folder.glob("*/*"):
            if not path.name.startswith("audio."):
                path.unlink(missing_ok=True)
        for folder in self._folder.glob("*"):
            with contextlib.suppress(OSError):
                folder.rmdir()

    async def _make(self, recording: Recording, format: Format, path: Path) -> None:
        local = await asyncio.to_thread(self._shelf.local, recording.key(MASTER))
        master = local or path.with_name(f"master-of-{path.name}.{MASTER}")
        try:
            if local is None:
                await self._shelf.fetch(recording.key(MASTER), master)
            await self._renderer.render(Order((Output(path, format),), source=master))
        finally:
            if local is None:
                await asyncio.to_thread(master.unlink, missing_ok=True)

    def _shrink(self, newest: Path) -> None:
        files: list[tuple[float, int, Path]] = []
        for path in self._folder.glob("*/audio.*"):
            with contextlib.suppress(FileNotFoundError):
                stat = path.stat()
                files.append((stat.st_atime, stat.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self._most_bytes:
                break
            if path != newest:
                path.unlink(missing_ok=True)
                total -= size


def _touched(path: Path) -> bool:
    """Whether it is there; then it has just been used. Its date of change goes into the ETag and stays."""
    try:
        os.utime(path, (time.time(), path.stat().st_mtime))
    except FileNotFoundError:
        return False
    return True
