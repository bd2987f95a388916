"""What comes in on Twilio's and Telnyx's media streams, read leniently."""

from __future__ import annotations

from typing import Final

import msgspec


class Media(msgspec.Struct):
    payload: bytes
    track: str = ""
    timestamp: float | None = None
    chunk: int | None = None


class Mark(msgspec.Struct):
    name: str = ""


class Dtmf(msgspec.Struct):
    digit: str = ""


class Trouble(msgspec.Struct):
    code: int = 0
    title: str = ""


class Message(msgspec.Struct):
    event: str
    media: Media | None = None
    mark: Mark | None = None
    dtmf: Dtmf | None = None
    payload: Trouble | None = None
    sequence_number: int | None = None


class _Named(msgspec.Struct):
    event: str


decode: Final = msgspec.json.Decoder(Message, strict=False).decode
"""Raises :class:`msgspec.DecodeError`, and ``RecursionError`` for a depth that nobody means."""
_named: Final = msgspec.json.Decoder(_Named)
_KNOWN: Final = frozenset(("media", "mark", "dtmf", "stop", "error"))


def is_unknown(data: bytes) -> bool:
    """Whether the message is none of those that are read here; it may look as it likes."""
    try:
        return _named.decode(data).event not in _KNOWN
    except (msgspec.DecodeError, RecursionError):
        return False
