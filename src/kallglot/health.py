"""What is wrong with a server, in words: what keeps it from taking calls, and what should be looked at. Pure."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

FULL_BYTES: Final = 16 * 1024**2
LOW_BYTES: Final = 1024**3
LOW_SHARE: Final = 0.05
OLD_DELIVERY_SECONDS: Final = 300.0
SKEW_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Folder:
    """The data folder. ``trouble`` is what the system says to a writer, None where it may write."""

    free_bytes: int
    size_bytes: int
    trouble: str | None = None

    @property
    def low(self) -> bool:
        return self.free_bytes < LOW_BYTES or self.free_bytes < LOW_SHARE * self.size_bytes


@dataclass(frozen=True, slots=True)
class Engine:
    """``wanted`` and ``running`` are its child processes, 0 where it has none."""

    kind: str
    name: str
    ready: bool
    note: str | None = None
    wanted: int = 0
    running: int = 0
    down: str | None = None
    """Why it does not answer."""


@dataclass(frozen=True, slots=True)
class Signs:
    """What was seen. ``database`` says why it cannot be used; ``kept_in_folder``: the database lies in the folder."""

    database: str | None = None
    folder: Folder | None = None
    kept_in_folder: bool = True
    engines: Sequence[Engine] = ()
    shelf: str | None = None
    lag_ms: float = 0.0
    most_lag_ms: float = 60.0
    oldest_due_seconds: float = 0.0
    skew_seconds: float = 0.0
    contradictions: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """``problems`` keep calls from being taken; ``warnings`` do not."""

    problems: Sequence[str] = ()
    warnings: Sequence[str] = field(default=())


def look_at(folder: Path) -> Folder:
    """Writes nothing."""
    try:
        usage = shutil.disk_usage(folder)
        read_only = bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    except OSError as error:
        return Folder(0, 0, error.strerror or "it cannot be read")
    if read_only:
        return Folder(usage.free, usage.total, "it is on a file system that is mounted read-only")
    if not os.access(folder, os.W_OK | os.X_OK):
        return Folder(usage.free, usage.total, "its permissions do not let the server write")
    return Folder(usage.free, usage.total)


def try_writing(folder: Path) -> str | None:
    """What stands in the way of a file of some size, None where nothing does."""
    probe = folder / f".probe-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with probe.open("wb") as file:
            file.write(bytes(65536))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or type(error).__name__
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
    return None


def judge(signs: Signs) -> Verdict:
    problems: list[str] = []
    warnings: list[str] = list(signs.contradictions)
    if signs.database is not None:
        problems.append(signs.database)
    folder = _folder(signs.folder)
    if folder is not None:
        serious = signs.kept_in_folder and signs.folder is not None and not _only_low(signs.folder)
        (problems if serious else warnings).append(folder)
    warnings += [words for engine in signs.engines if (words := _engine(engine)) is not None]
    if signs.shelf is not None:
        warnings.append(signs.shelf)
    if signs.lag_ms > signs.most_lag_ms:
        warnings.append(
            f"the event loop runs {signs.lag_ms:.0f} ms late, and new sessions are refused: the machine is too busy"
        )
    if signs.oldest_due_seconds > OLD_DELIVERY_SECONDS:
        warnings.append(
            f"a webhook delivery has been due for {signs.oldest_due_seconds / 60:.0f} minutes and was not attempted"
        )
    if abs(signs.skew_seconds) > SKEW_SECONDS:
        ahead = "ahead of" if signs.skew_seconds > 0 else "behind"
        warnings.append(f"this machine's clock is {abs(signs.skew_seconds):.0f} s {ahead} the database's")
    return Verdict(tuple(problems), tuple(warnings))


def contradictions(*, public_url: str | None, stream_url: str | None, host: str, carrier_connections: int) -> list[str]:
    """Settings that do not go together. ``carrier_connections`` are active ones, with real carriers."""
    found: list[str] = []
    if carrier_connections:
        if public_url is None:
            found.append("carriers are connected and KALLGLOT_PUBLIC_URL is unset: they cannot reach this server")
        elif urlsplit(public_url).scheme == "http":
            found.append("carriers are connected and KALLGLOT_PUBLIC_URL is http: they open streams over wss only")
    if public_url is not None and stream_url is not None:
        secure = urlsplit(public_url).scheme == "https", urlsplit(stream_url).scheme in ("wss", "https")
        if secure == (True, False):
            found.append(
                "KALLGLOT_PUBLIC_URL is https and KALLGLOT_PUBLIC_STREAM_URL is not wss: tokens go unencrypted"
            )
    if public_url is not None and urlsplit(public_url).hostname in ("localhost", "127.0.0.1") and host == "0.0.0.0":
        found.append(
            "KALLGLOT_HOST is 0.0.0.0 and KALLGLOT_PUBLIC_URL names this machine only: others get a wrong address"
        )
    return found


def _only_low(folder: Folder) -> bool:
    return folder.trouble is None and folder.free_bytes >= FULL_BYTES


def _folder(folder: Folder | None) -> str | None:
    if folder is None:
        return None
    if folder.trouble is not None:
        return f"the data folder cannot be written: {folder.trouble}"
    if folder.free_bytes < FULL_BYTES:
        return "the disk of the data folder is full"
    if folder.low:
        left = folder.free_bytes / 1024**3
        return (
            f"the disk of the data folder is nearly full: {left:.1f} of {folder.size_bytes / 1024**3:.0f} GiB are left"
        )
    return None


def _engine(engine: Engine) -> str | None:
    if not engine.ready:
        return f"{engine.kind}: {engine.name} is not used" + (f": {engine.note}" if engine.note else "")
    if engine.down is not None:
        return f"{engine.kind}: {engine.name} is down, and tried again: {engine.down}"
    if engine.wanted and not engine.running:
        return f"{engine.kind}: {engine.name} has crashed; its {engine.wanted} processes are being started again"
    return None
