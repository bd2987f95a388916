"""A server of files that can be slow, cut off, lie, send other bytes, ignore ranges and send elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass
class Fault:
    """What is done otherwise for one request."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    """Bytes of the body, then the connection is closed."""
    hold_after: int | None = None
    """Bytes of the body, then nothing until :attr:`FileServer.gate` opens."""
    told_length: int | None = None
    """Added to the true Content-Length."""
    garbled: bool = False
    chunked: bool = False
    without_length: bool = False
    longer: int = 0
    """Bytes more than there are, or than were asked for."""
    first: int | None = None
    """In Content-Range instead of the true one."""


@dataclass
class Asked:
    path: str
    headers: dict[str, str]

    @property
    def first(self) -> int:
        found = _RANGE.match(self.headers.get("range", ""))
        return int(found[1]) if found else 0


class FileServer:
    """``files``: path → content. ``faults``: path → one for each of the next requests. ``always``: for each request."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files = files or {}
        self.faults: dict[str, deque[Fault]] = defaultdict(deque)
        self.always: dict[str, Fault] = {}
        self.ranges = True
        self.validators = True
        self.weak = False
        self.versions: dict[str, str] = {}
        self.asked: list[Asked] = []
        self.sent = 0
        self.most_at_once = 0
        self.gate = asyncio.Event()
        self.held = asyncio.Event()
        self._now = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> FileServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self.gate.set()
        self._server.close()
        for writer in list(self._writers):
            writer.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def count(self, path: str) -> int:
        return sum(one.path == path for one in self.asked)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._one(reader, writer):
                    pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        path = head[0].split(" ")[1]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        self.asked.append(Asked(path, headers))
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            waiting = self.faults[path]
            return await self._answer(
                writer, path, headers, waiting.popleft() if waiting else self.always.get(path, Fault())
            )
        finally:
            self._now -= 1

    async def _answer(self, writer: asyncio.StreamWriter, path: str, headers: dict[str, str], fault: Fault) -> bool:
        content = self.files.get(path)
        if content is None and fault.status is None:
            fault = Fault(status=404)
        if fault.status is not None and fault.status not in (200, 206):
            self._head(writer, fault.status, {"Content-Length": "0", **fault.headers})
            await writer.drain()
            return True
        assert content is not None
        etag = f'"{self.versions.get(path) or hashlib.md5(content).hexdigest()}"'
        etag = f"W/{etag}" if self.weak else etag
        asked = _RANGE.match(headers.get("range", ""))
        fresh = headers.get("if-range") in (None, etag)
        said: dict[str, Any] = {"ETag": etag} if self.validators else {}
        body, status = content, 200
        if asked and self.ranges and fresh and fault.status != 200:
            first = int(asked[1])
            last = min(int(asked[2]) if asked[2] else len(content) - 1, len(content) - 1)
            if first > last:
                self._head(writer, 416, {"Content-Length": "0", "Content-Range": f"bytes */{len(content)}"})
                return True
            body, status = content[first : last + 1], 206
            first = fault.first if fault.first is not None else first
            said["Content-Range"] = f"bytes {first}-{first + len(body) - 1}/{len(content)}"
        if fault.garbled:
            body = bytes(byte ^ 0x55 for byte in body)
        body += bytes(fault.longer)
        if fault.chunked:
            said["Transfer-Encoding"] = "chunked"
        elif not fault.without_length:
            said["Content-Length"] = len(body) + (fault.told_length or 0)
        self._head(writer, status, {**said, **fault.headers})
        return await self._body(writer, body, fault)

    async def _body(self, writer: asyncio.StreamWriter, body: bytes, fault: Fault) -> bool:
        if fault.chunked:
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        whole, step = len(body), 64 * 1024
        stop = min((n for n in (fault.cut_after, fault.hold_after) if n is not None), default=whole)
        for at in range(0, stop, step):
            piece = body[at : min(at + step, stop)]
            writer.write(piece)
            self.sent += len(piece)
            await writer.drain()
        if fault.hold_after is not None:
            self.held.set()
            await self.gate.wait()
            writer.write(body[stop:])
            self.sent += whole - stop
            await writer.drain()
        return fault.cut_after is None and not fault.without_length and not fault.told_length

    def _head(self, writer: asyncio.StreamWriter, status: int, headers: dict[str, Any]) -> None:
        lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers.items())]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
