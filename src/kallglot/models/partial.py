"""A file that is being fetched, on disk: its bytes, and a journal beside them that never claims more than there is."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from kallglot.models.transfer import Journal

_BLOCK: Final = 1024 * 1024


class Partial:
    """Used by one task group; :meth:`close` when done, whatever came of it."""

    def __init__(self, folder: Path, url: str) -> None:
        """Goes on from what an earlier process left there. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self._journal_path = places(folder, url)
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self.journal = read_journal(folder, url) or Journal(url)
        self._saving = threading.Lock()

    def write(self, at: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._fd, view, at)
            at, view = at + written, view[written:]

    def save(self) -> None:
        """Both bytes and journal are on the disk after this. Slow; may run in threads while others write."""
        with self._saving:
            if self._fd < 0:
                return
            journal = self.journal.to_json()
            os.fdatasync(self._fd)
            replace_file(self._journal_path, journal)

    def keep(self, checksum_known: bool) -> None:
        """Saves what another process can go on with."""
        if self.journal.resumable(checksum_known):
            self.save()

    def wipe(self, *, ranges: bool = True) -> None:
        with self._saving:
            self._journal_path.unlink(missing_ok=True)
            os.ftruncate(self._fd, 0)
            self.journal.reset(ranges=ranges)

    def cut(self, size: int) -> None:
        os.ftruncate(self._fd, size)

    def sha256(self) -> str:
        return sha256_of(self.path)

    def close(self) -> None:
        with self._saving:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def hand_over(self) -> Path:
        """The file, whole; its journal stays, so that another process finds it again until the file is moved away."""
        self.save()
        self.close()
        return self.path


def places(folder: Path, url: str) -> tuple[Path, Path]:
    """Of the bytes and of the journal."""
    key = hashlib.sha256(url.encode()).hexdigest()[:16]
    name = f"{key}-{Path(urlsplit(url).path).name[-80:]}"
    return folder / f"{name}.part", folder / f"{name}.json"


def read_journal(folder: Path, url: str) -> Journal | None:
    """None where there is nothing to go on with."""
    data, journal = places(folder, url)
    try:
        return Journal.from_json(journal.read_bytes(), url, data.stat().st_size)
    except OSError:
        return None


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def replace_file(path: Path, data: bytes) -> None:
    """All of it or nothing, also when the power fails."""
    beside = path.with_name(path.name + ".new")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """So that names in it survive a power failure. Where a file system cannot, nothing."""
    with contextlib.suppress(OSError):
        fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
