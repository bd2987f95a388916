"""What a vendor's wire is to the base of streaming recognition: one sans-IO codec for each connection.

A codec turns audio and marks into messages, and messages into what was heard. It keeps no clock and opens nothing; a
new connection gets a new one. All times that it tells are whole milliseconds of the audio that it was given on this
connection: 0 is its first sample. The base puts them on the stream's timeline, whatever was left out or sent again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from kallglot.speech.types import EngineError, Final, Partial, SpeechStarted, SpeechStopped

Message = str | bytes
"""A text or a binary message of the WebSocket."""


@dataclass(frozen=True, slots=True)
class Opening:
    """How a connection is opened. ``url`` is ws:// or wss:// (http:// and https:// are taken for these), query
    included; a key belongs into ``headers`` where the vendor allows it. ``greeting`` is sent before anything else."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    subprotocols: tuple[str, ...] = ()
    greeting: tuple[Message, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Ready:
    """The server listens. Only told by codecs with ``waits_for_ready``."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """All that was said up to there was told, or there was nothing: this audio need not be sent again. A ``Final``
    acknowledges up to its ``end_ms`` by itself; empty finals and progress reports become this."""

    until_ms: int


@dataclass(frozen=True, slots=True)
class Flushed:
    """The answer to one :meth:`RecognitionCodec.finish`, after the final that it brought forth."""


Heard = SpeechStarted | SpeechStopped | Partial | Final | Ready | Acknowledged | Flushed


class RecognitionCodec(Protocol):
    """``SpeechStarted`` and ``SpeechStopped`` need not be told: the base tells them before the first partial and the
    final where the codec did not. Late, doubled and outdated events may be told: the base leaves out what was told
    before."""

    @property
    def sample_rate_hz(self) -> int:
        """Of the audio that it is given: the stream's own, or another that the base converts to (24000)."""
        ...

    @property
    def waits_for_ready(self) -> bool:
        """Audio is held back until :class:`Ready`."""
        ...

    @property
    def answers_flush(self) -> bool:
        """Every ``finish`` is answered by ``Flushed``; False: only where something was said, so that a missing answer
        after silence is no stall."""
        ...

    @property
    def talkative(self) -> bool:
        """The server says something every few seconds while it gets audio, speech or not: its silence is a stall,
        without a look at what it was sent."""
        ...

    @property
    def piece_ms(self) -> int:
        """Audio is gathered to messages of about this length; 20 to 250."""
        ...

    @property
    def keepalive_s(self) -> float | None:
        """After so long without audio sent, :meth:`keepalive` is; None: never."""
        ...

    @property
    def gap_silence_ms(self) -> int:
        """At a gap in the media so much of it, at most, is sent as silence; the rest is left out. 0 where ``finish``
        alone ends an utterance."""
        ...

    def open(self) -> Opening: ...

    def audio(self, pcm: bytes) -> Sequence[Message]:
        """16-bit mono PCM at ``sample_rate_hz``."""
        ...

    def finish(self) -> Sequence[Message]:
        """Asks for the final of what was said so far, without waiting for silence."""
        ...

    def keepalive(self) -> Sequence[Message]: ...

    def close(self) -> Sequence[Message]:
        """The vendor's goodbye, before the WebSocket's own."""
        ...

    def closed(self, code: int | None) -> EngineError | None:
        """What the server means by closing with that code (RFC 6455, section 7.4), where the codec knows."""
        ...

    def read(self, message: Message) -> Iterable[Heard]:
        """Raises :class:`ValueError` (also ``KeyError``, ``TypeError``, ``msgspec.MsgspecError``) for what is no
        message of the vendor's, which is counted and passed over; :class:`~kallglot.speech.types.EngineError` for an
        error that the vendor tells: the connection is given up, and the stream with it where it is not ``passing``."""
        ...


class CodecDefaults:
    """The usual answers; a vendor's codec inherits them and says what differs."""

    sample_rate_hz: int = 16000
    waits_for_ready: bool = False
    answers_flush: bool = True
    talkative: bool = False
    piece_ms: int = 60
    keepalive_s: float | None = None
    gap_silence_ms: int = 0

    def keepalive(self) -> Sequence[Message]:
        return ()

    def close(self) -> Sequence[Message]:
        return ()

    def closed(self, code: int | None) -> EngineError | None:
        return None
