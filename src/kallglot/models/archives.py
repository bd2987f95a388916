"""Taking an archive apart without trusting it: tar (plain, gz, bz2, xz) and zip.

Only plain files come out, only below one folder, only as many bytes as were expected. What an archive may do to its
reader (traversal, links, devices, bombs, names that fall together) is refused, whole.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import hashlib
import lzma
import os
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, cast

from kallglot.models.errors import ArchiveError
from kallglot.models.manifest import FileRecord, inside
from kallglot.models.plan import in_bytes

_BLOCK: Final = 1024 * 1024
_LARGEST_READ: Final = 4 * 1024 * 1024
"""No header of an honest archive is larger; what is read of files comes in smaller blocks."""
_DAMAGED: Final = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    LookupError,
    NotImplementedError,
    OverflowError,
    ValueError,
)
"""What the readers raise over headers that somebody has made up; tarfile does not catch all that its parsing raises."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``total``: bytes of all files together, wanted or not."""

    total: int
    files: int = 50_000


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    size: int
    plain: bool
    folder: bool
    open: Callable[[], IO[bytes]]


def unpack(
    archive: Path, folder: Path, *, root: str, wants: Callable[[str], bool], limits: Limits
) -> dict[str, FileRecord]:
    """Writes the wanted files below ``root`` of the archive into ``folder``: what was written, by path.

    ``root``: "" for all of it, "*" for the inside of the folder at its top, whatever its name. Raises
    :class:`ArchiveError` and OSError; what was written until then lies there.
    """
    written: dict[str, FileRecord] = {}
    names = _Names(limits)
    try:
        with _members(archive, limits) as members:
            for member in members:
                path = names.take(member)
                below = _below(path, root)
                if member.folder or below is None or not wants(below):
                    continue
                if not member.plain:
                    raise ArchiveError(f"{archive.name} has {path}, which is no plain file")
                with member.open() as source:
                    written[below] = _write(source, folder / below, member.size, f"{archive.name}: {path}")
    except _DAMAGED as error:
        raise ArchiveError(f"{archive.name} is damaged: {error}") from error
    except RuntimeError as error:
        raise ArchiveError(f"{archive.name} cannot be read: {error}") from error
    except OSError as error:
        # Without a number it is the decompressor's; EINVAL is a place in the file that headers invent.
        if error.errno in (None, errno.EINVAL):
            raise ArchiveError(f"{archive.name} is damaged: {error}") from error
        raise
    return written


def is_archive(path: Path) -> bool:
    """By its first bytes."""
    try:
        with path.open("rb") as file:
            return _kind(file.read(265)) is not None
    except OSError:
        return False


class _Names:
    """Every path of an archive, checked as it comes."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._seen: dict[str, tuple[str, bool]] = {}
        """Path without case → path, whether it is a folder."""
        self._bytes = 0

    def take(self, member: _Member) -> str:
        """The member's path, with ``/``. Raises :class:`ArchiveError`."""
        name = _plain_name(member.name)
        if name == "." and member.folder:
            return name
        try:
            path = inside(name)
        except ValueError:
            raise ArchiveError(f"the archive has {member.name!r}, which would lie outside the model's folder") from None
        if any(len(part.encode()) > 255 for part in path.split("/")) or any(ord(char) < 32 for char in path):
            raise ArchiveError(f"the archive has {path!r}, which is no name for a file")
        self._bytes += max(0, member.size)
        if self._bytes > self._limits.total or len(self._seen) >= self._limits.files:
            raise ArchiveError(
                f"the archive holds more than {in_bytes(self._limits.total)} or {self._limits.files} files: "
                "it is another one than was expected"
            )
        self._add(path, member.folder)
        return path

    def _add(self, path: str, folder: bool) -> None:
        parts = path.split("/")
        for count in range(1, len(parts) + 1):
            part, is_folder = "/".join(parts[:count]), folder or count < len(parts)
            key = unicodedata.normalize("NFC", part).casefold()
            other = self._seen.get(key)
            if other is not None and (other != (part, is_folder) or not is_folder):
                raise ArchiveError(f"the archive has {other[0]!r} and {part!r}, which would be one file")
            self._seen[key] = (part, is_folder)


def _plain_name(name: str) -> str:
    while name.startswith("./"):
        name = name[2:]
    return name.rstrip("/") or "."


def _below(path: str, root: str) -> str | None:
    if not root:
        return path
    top, _, rest = path.partition("/")
    return rest or None if root in ("*", top) else None


def _write(source: IO[bytes], target: Path, size: int, what: str) -> FileRecord:
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, count = hashlib.sha256(), 0
    with target.open("xb") as file:
        while block := source.read(_BLOCK):
            count += len(block)
            if count > size:
                raise ArchiveError(f"{what} is longer than it says")
            digest.update(block)
            file.write(block)
        if count != size:
            raise ArchiveError(f"{what} ends after {count} of {size} bytes")
        file.flush()
        os.fsync(file.fileno())
    return FileRecord(count, digest.hexdigest())


@contextmanager
def _members(archive: Path, limits: Limits) -> Generator[Iterator[_Member]]:
    with archive.open("rb") as file:
        kind = _kind(file.read(265))
        file.seek(0)
        if kind is None:
            raise ArchiveError(f"{archive.name} is no archive that can be read here")
        if kind == "zip":
            with zipfile.ZipFile(file) as opened:
                yield _of_zip(opened)
            return
        # Headers and gaps come on top of the files.
        stream = _Bounded(_decompressed(file, kind), limits.total + limits.files * 2048 + _LARGEST_READ)
        with tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r:", errorlevel=2) as opened:
            yield _of_tar(opened)
        # The checksum of a compressed stream comes at its end, behind that of the archive.
        while stream.read(_BLOCK):
            pass


def _of_tar(opened: tarfile.TarFile) -> Iterator[_Member]:
    for info in opened:

        def read(info: tarfile.TarInfo = info) -> IO[bytes]:
            found = opened.extractfile(info)
            if found is None:
                raise ArchiveError(f"{info.name} is no plain file")
            return found

        plain = info.isreg() and not info.issparse()
        yield _Member(info.name, info.size, plain, info.isdir(), read)


def _of_zip(opened: zipfile.ZipFile) -> Iterator[_Member]:
    for info in opened.infolist():
        mode = stat.S_IFMT(info.external_attr >> 16)
        plain = not info.is_dir() and mode in (0, stat.S_IFREG)

        def read(info: zipfile.ZipInfo = info) -> IO[bytes]:
            return opened.open(info)

        # Of a name with a backslash or a null byte zipfile shows something else than what is in the archive.
        yield _Member(info.orig_filename, info.file_size, plain, info.is_dir(), read)


def _kind(head: bytes) -> str | None:
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if head.startswith(b"BZh"):
        return "bz2"
    if head.startswith(b"\x1f\x8b"):
        return "gz"
    if head.startswith(b"\xfd7zXZ\x00"):
        return "xz"
    return "tar" if head[257:262] == b"ustar" else None


def _decompressed(file: IO[bytes], kind: str) -> IO[bytes]:
    match kind:
        case "bz2":
            return cast("IO[bytes]", bz2.BZ2File(file))
        case "gz":
            return cast("IO[bytes]", gzip.GzipFile(fileobj=file))
        case "xz":
            return cast("IO[bytes]", lzma.LZMAFile(file))
        case _:
            return file


class _Bounded:
    """A stream that gives no more than so much, and never much at once: tarfile believes the sizes in headers."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream = stream
        self._limit = limit

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LARGEST_READ:
            raise ArchiveError("the archive has a header larger than any model's")
        self._check(self._stream.tell() + size)
        return self._stream.read(size)

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        if whence != os.SEEK_SET:
            raise ArchiveError("the archive cannot be read from its end")
        self._check(position)
        return self._stream.seek(position)

    def tell(self) -> int:
        return self._stream.tell()

    def _check(self, position: int) -> None:
        if position > self._limit + _LARGEST_READ:
            raise ArchiveError(
                f"the archive has more than {in_bytes(self._limit)}: it is another one than was expected"
            )
