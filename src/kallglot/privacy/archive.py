"""A ZIP file that is made while it is sent: no more of it is in memory than one piece."""

from __future__ import annotations

import asyncio
import hashlib
import json
import zipfile
from collections.abc import AsyncGenerator, AsyncIterable
from datetime import datetime
from io import RawIOBase
from typing import Any, Final

PIECE_BYTES: Final = 256 * 1024
MANIFEST: Final = "manifest.json"


class Archive:
    """Entries one after the other, and behind them ``manifest.json`` with each one's size and SHA-256.

    Names are the caller's own words, never a customer's."""

    def __init__(self, about: dict[str, Any], at: datetime) -> None:
        self._about = about
        self._date = at.timetuple()[:6] if at.year >= 1980 else (1980, 1, 1, 0, 0, 0)
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(self._sink, "w", zipfile.ZIP_DEFLATED)  # type: ignore[arg-type]
        self._entries: list[dict[str, Any]] = []

    async def add(self, name: str, content: AsyncIterable[bytes], *, compressed: bool = True) -> AsyncGenerator[bytes]:
        """What there is to be sent by now."""
        entry = zipfile.ZipInfo(name, self._date)
        entry.compress_type = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
        entry.external_attr = 0o600 << 16
        size, digest = 0, hashlib.sha256()
        file = self._zip.open(entry, "w", force_zip64=True)
        try:
            async for piece in content:
                for at in range(0, len(piece), PIECE_BYTES):
                    some = piece[at : at + PIECE_BYTES]
                    size += len(some)
                    await asyncio.to_thread(_write, file, digest, some)
                    if ready := self._sink.take():
                        yield ready
        finally:
            await asyncio.to_thread(file.close)
        self._entries.append({"name": name, "size": size, "sha256": digest.hexdigest()})

    async def end(self) -> AsyncGenerator[bytes]:
        manifest = json.dumps({**self._about, "files": self._entries}, indent=2).encode()
        async for ready in self.add(MANIFEST, whole(manifest)):
            yield ready
        self._zip.close()
        yield self._sink.take()


async def whole(content: bytes) -> AsyncGenerator[bytes]:
    yield content


def _write(file: Any, digest: Any, some: bytes) -> None:
    digest.update(some)
    file.write(some)


class _Sink(RawIOBase):
    """What is written, until it is taken. It cannot be gone back in: sizes come behind each entry."""

    def __init__(self) -> None:
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, some: Any, /) -> int:
        self._written += some
        return len(some)

    def take(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken
