"""Sound as it comes from and goes to servers, in pieces: whole samples, WAV heads. Pure.

Source of the WAV layout: Multimedia Programming Interface and Data Specifications 1.0 (1991), and RFC 2361.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final, Protocol

LONGEST_HEAD: Final = 64 * 1024
_CHUNK: Final = struct.Struct("<4sI")
_FORMAT: Final = struct.Struct("<HHIIHH")
_PCM: Final = (1, 0xFFFE)


class Decoder(Protocol):
    """An answer's bytes in any pieces, PCM out: signed 16-bit little-endian mono, whole samples. ``ValueError`` for
    what cannot be understood."""

    def feed(self, data: bytes) -> Iterable[bytes]: ...

    def end(self) -> Iterable[bytes]: ...


class RawAudio:
    """Raw PCM; where the server puts a WAV head before it all the same, that is taken off."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._rate = sample_rate_hz
        self._head: bytearray | None = bytearray()
        self._odd = b""

    def feed(self, data: bytes) -> Iterable[bytes]:
        if self._head is not None:
            self._head += data
            if len(self._head) < 12 and b"RIFF".startswith(bytes(self._head[:4])):
                return ()
            start = self._start_of_data(self._head)
            if start is None:
                return ()
            data, self._head = bytes(self._head[start:]), None
        return self._whole(data)

    def end(self) -> Iterable[bytes]:
        """A half sample at the end is none."""
        head, self._head = self._head, None
        if head and bytes(head[:4]) == b"RIFF":
            raise ValueError("the WAV head does not end")
        return self._whole(bytes(head)) if head else ()

    def _whole(self, data: bytes) -> Iterable[bytes]:
        if self._odd:
            data = self._odd + data
        even = len(data) & ~1
        self._odd = data[even:]
        return (data[:even],) if even else ()

    def _start_of_data(self, head: bytearray) -> int | None:
        """Where the samples begin; None where that is not known yet."""
        if bytes(head[:4]) != b"RIFF":
            return 0
        if len(head) > LONGEST_HEAD:
            raise ValueError("the WAV head does not end")
        at = 12
        while len(head) >= at + _CHUNK.size:
            kind, size = _CHUNK.unpack_from(head, at)
            at += _CHUNK.size
            if kind == b"data":
                return at
            if kind == b"fmt ":
                if len(head) < at + _FORMAT.size:
                    return None
                self._check(_FORMAT.unpack_from(head, at))
            at += size + size % 2
        return None

    def _check(self, form: tuple[int, ...]) -> None:
        encoding, channels, rate, _, _, bits = form
        if encoding not in _PCM or channels != 1 or bits != 16 or rate != self._rate:
            raise ValueError(f"not {self._rate} Hz mono 16-bit PCM: {rate} Hz, {channels} channels, {bits} bits")


def wav(pcm: bytes, sample_rate_hz: int) -> bytes:
    """A whole WAV file of 16-bit mono PCM."""
    form = _FORMAT.pack(1, 1, sample_rate_hz, sample_rate_hz * 2, 2, 16)
    chunks = _CHUNK.pack(b"fmt ", len(form)) + form + _CHUNK.pack(b"data", len(pcm))
    return _CHUNK.pack(b"RIFF", 4 + len(chunks) + len(pcm)) + b"WAVE" + chunks + pcm
