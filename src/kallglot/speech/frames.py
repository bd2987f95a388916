"""What parent and engine child say to each other: length-prefixed frames over a pipe. Sans-IO.

A frame is a 4-byte big-endian length of what follows, a 1-byte kind, a 4-byte stream number, and a payload.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Any, Final, NamedTuple

import msgspec

_HEAD: Final = struct.Struct(">IBI")
MAX_PAYLOAD: Final = 1 << 22


class Kind(IntEnum):
    OPEN = 1
    AUDIO = 2
    SKIP = 3
    FINISH = 4
    DRAIN = 5
    CLOSE = 6
    PING = 7
    REQUEST = 8
    CANCEL = 9
    READY = 16
    EVENT = 17
    COMMITTED = 18
    DRAINED = 19
    PONG = 20
    BEGUN = 21
    ANSWER = 22
    FAILED = 23


class Frame(NamedTuple):
    kind: Kind
    stream: int
    payload: bytes


def encode(kind: Kind, stream: int = 0, payload: bytes = b"") -> bytes:
    return _HEAD.pack(5 + len(payload), kind, stream) + payload


def pack(kind: Kind, stream: int, value: Any) -> bytes:
    return encode(kind, stream, msgspec.msgpack.encode(value))


def unpack(frame: Frame) -> Any:
    return msgspec.msgpack.decode(frame.payload)


class FrameReader:
    """Bytes in any pieces, frames out. Raises ``ValueError`` for what cannot be a frame."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        self._buffer += data
        while len(self._buffer) >= _HEAD.size:
            length, kind, stream = _HEAD.unpack_from(self._buffer)
            if not 5 <= length <= MAX_PAYLOAD:
                raise ValueError(f"a frame of {length} bytes is not one of ours")
            if len(self._buffer) < 4 + length:
                return
            payload = bytes(self._buffer[_HEAD.size : 4 + length])
            del self._buffer[: 4 + length]
            yield Frame(Kind(kind), stream, payload)
