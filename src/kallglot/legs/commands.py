"""What a peer wants, whatever its dialect."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec


class Audio(msgspec.Struct, frozen=True, gc=False):
    """PCM of one participant; ``timestamp_ms`` on the peer's own clock. Made fifty times a second and leg."""

    participant_id: str
    pcm: bytes
    sample_rate_hz: int
    timestamp_ms: float | None


@dataclass(frozen=True, slots=True)
class Text:
    participant_id: str
    text: str


@dataclass(frozen=True, slots=True)
class SetMute:
    participant_id: str
    muted: bool


@dataclass(frozen=True, slots=True)
class SpeakIn:
    participant_id: str
    language: str


@dataclass(frozen=True, slots=True)
class Mark:
    name: str


@dataclass(frozen=True, slots=True)
class Clear:
    pass


@dataclass(frozen=True, slots=True)
class Digits:
    digits: str


@dataclass(frozen=True, slots=True)
class Reply:
    """The dialect answers by itself."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class HungUp:
    """The call is over, and its stream with it."""


@dataclass(frozen=True, slots=True)
class End:
    pass


Command = Audio | Text | SetMute | SpeakIn | Mark | Clear | Digits | Reply | HungUp | End


class BadMessage(Exception):
    """A message that cannot be used; the connection goes on.

    ``code`` is ``invalid_message``, ``invalid_audio_format``, ``unknown_speaker`` or ``rate_limit_exceeded``.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
