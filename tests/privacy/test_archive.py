from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import AsyncGenerator

from kallglot.clock import FakeClock
from kallglot.privacy.archive import PIECE_BYTES, Archive, whole


async def test_an_archive_is_read_by_others_and_its_manifest_is_true() -> None:
    noise = os.urandom(3 * PIECE_BYTES + 17)
    archive = Archive({"object": "export"}, FakeClock().now())
    sent: list[bytes] = []

    async def pieces() -> AsyncGenerator[bytes]:
        for at in range(0, len(noise), 100_000):
            yield noise[at : at + 100_000]

    async for ready in archive.add("a.json", whole("{}ü".encode())):
        sent.append(ready)
    async for ready in archive.add("empty.txt", whole(b"")):
        sent.append(ready)
    async for ready in archive.add("recordings/mixed.mp3", pieces(), compressed=False):
        sent.append(ready)
    async for ready in archive.end():
        sent.append(ready)
    assert max(map(len, sent)) < 2 * PIECE_BYTES, "never more than a piece at a time"
    with zipfile.ZipFile(io.BytesIO(b"".join(sent))) as read:
        assert read.testzip() is None
        assert read.namelist() == ["a.json", "empty.txt", "recordings/mixed.mp3", "manifest.json"]
        manifest = json.loads(read.read("manifest.json"))
        assert manifest["object"] == "export"
        for one in manifest["files"]:
            content = read.read(one["name"])
            assert (len(content), hashlib.sha256(content).hexdigest()) == (one["size"], one["sha256"])
        assert read.read("recordings/mixed.mp3") == noise


async def test_memory_stays_small_however_long_the_sound_is() -> None:
    archive = Archive({}, FakeClock().now())
    piece = os.urandom(PIECE_BYTES)
    most = total = 0

    async def pieces() -> AsyncGenerator[bytes]:
        for _ in range(200):
            yield piece

    async for ready in archive.add("long.mp3", pieces(), compressed=False):
        most, total = max(most, len(ready)), total + len(ready)
    assert total > 200 * PIECE_BYTES
    assert most < PIECE_BYTES + 1024
