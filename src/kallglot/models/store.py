"""The models folder: who may change it, how a model gets into it whole and out of it whole.

``<name>@<version>/`` a model; ``.downloads/`` what is being fetched; ``.staging/`` a model that is being put together;
``.replaced/`` one that is being replaced, put back where that was cut short; ``.trash/`` what is being deleted;
``.lock`` held by the process that changes any of it. Reading takes no lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from kallglot.models.errors import ModelsError
from kallglot.models.installed import folders, newest
from kallglot.models.manifest import MANIFEST, Manifest, ManifestError
from kallglot.models.partial import places, replace_file, sync_folder

_LOOK_EVERY_S: Final = 0.2


class Store:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.downloads = folder / ".downloads"
        self._staging = folder / ".staging"
        self._replaced = folder / ".replaced"
        self._trash = folder / ".trash"
        self._lock = folder / ".lock"

    @asynccontextmanager
    async def changing(
        self, waiting: Callable[[str], None], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> AsyncGenerator[None]:
        """Nobody else changes the folder meanwhile. ``waiting`` is told once if somebody does.

        Raises :class:`ModelsError`.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            fd = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ModelsError(f"The models folder {self.folder} cannot be written: {error.strerror}") from error
        try:
            told = False
            while not _locked(fd):
                if not told:
                    told = True
                    who = os.pread(fd, 20, 0).decode(errors="replace").strip()
                    waiting(f"another process is changing {self.folder}{f' (process {who})' if who else ''}: waiting")
                await sleep(_LOOK_EVERY_S)
            os.ftruncate(fd, 0)
            os.pwrite(fd, str(os.getpid()).encode(), 0)
            self._tidy()
            yield
        finally:
            os.close(fd)

    def versions(self) -> dict[str, str]:
        """Name → version of what is there, whole."""
        return {manifest.name: manifest.version for _, manifest in newest(self.folder)}

    def found(self, name: str) -> list[Path]:
        """The folders of a model, whole or not, in every version."""
        return [folder for folder in folders(self.folder) if folder.name.partition("@")[0] == name]

    def foreign(self, folder: Path) -> list[str]:
        """Files in a model's folder that are not the model's, as far as its manifest can be read."""
        try:
            known = {MANIFEST, *Manifest.read(folder).files}
        except ManifestError:
            return []
        inside = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
        return sorted(path for path in inside if path not in known)

    def first_use(self) -> dict[str, str]:
        """Address → SHA-256 of what was once trusted without knowing better."""
        known: dict[str, str] = {}
        for folder in folders(self.folder):
            with contextlib.suppress(ManifestError):
                for one in Manifest.read(folder).downloads:
                    if one.known == "first-use":
                        known[one.url] = one.sha256
        return known

    def stage(self, name: str) -> Path:
        """An empty folder to put a model together in."""
        staging = self._staging / name
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        return staging

    def commit(self, staging: Path, manifest: Manifest) -> Path:
        """Makes a staged model an installed one, and takes other versions of it away. Raises OSError."""
        replace_file(staging / MANIFEST, manifest.to_json())
        for folder in sorted({path.parent for path in staging.rglob("*")}):
            sync_folder(folder)
        final = self.folder / staging.name
        if final.exists():
            self._replaced.mkdir(exist_ok=True)
            final.rename(self._replaced / final.name)
        staging.rename(final)
        sync_folder(self.folder)
        self._empty(self._replaced)
        for other in self.found(manifest.name):
            if other != final:
                self.remove(other)
        return final

    def remove(self, folder: Path) -> None:
        """Takes a model away: at once for everybody who looks, its bytes after that. Raises OSError."""
        if folder.is_symlink():
            folder.unlink()
            return
        self._trash.mkdir(exist_ok=True)
        gone = self._trash / folder.name
        shutil.rmtree(gone, ignore_errors=True)
        folder.rename(gone)
        sync_folder(self.folder)
        self._empty(self._trash)

    def forget(self, url: str) -> bool:
        """What was fetched from an address, whole or not, and not installed; whether there was a file of it."""
        there = False
        for path in places(self.downloads, url):
            with contextlib.suppress(OSError):
                path.unlink()
                there = True
        return there

    def _tidy(self) -> None:
        """Clears away what a process that was killed left behind; a model that it was replacing comes back."""
        with contextlib.suppress(OSError):
            for old in self._replaced.iterdir():
                if not (self.folder / old.name).exists():
                    old.rename(self.folder / old.name)
        for folder in (self._replaced, self._staging, self._trash):
            self._empty(folder)

    def _empty(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise ModelsError(f"The models folder cannot be locked: {error.strerror}") from error
    return True
