"""Who holds leases: a process, by a name that it has again after a crash."""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
from pathlib import Path
from types import TracebackType
from typing import Final

_NAME: Final = "process.id"
_LENGTH: Final = 32
_MACHINE: Final = Path("/etc/machine-id")


class Runner:
    """The name in the data folder, for the one process that has the folder locked; any other gets a name of its own.
    A process that was killed left its leases under this name, so that the next one need not wait until they end.

    Beside the name stands where it was made: whoever starts with a copy of the folder is somebody else."""

    def __init__(self, data_dir: Path) -> None:
        self._file: int | None = os.open(data_dir / _NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.name = secrets.token_hex(_LENGTH // 2)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            return
        here = _place(self._file)
        name, _, place = os.read(self._file, 512).decode("ascii", "replace").strip().partition(" ")
        if len(name) == _LENGTH and name.isalnum() and place == here:
            self.name = name
        else:
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"{self.name} {here}".encode(), 0)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()


def _place(file: int) -> str:
    machine = _MACHINE.read_text(encoding="ascii", errors="replace").strip() if _MACHINE.is_file() else ""
    return f"{os.fstat(file).st_ino}@{machine or socket.gethostname()}"
