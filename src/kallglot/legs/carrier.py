"""What Twilio's and Telnyx's media streams have in common, sans-IO: audio in base64, marks, digits, stop.

Sources: https://www.twilio.com/docs/voice/media-streams/websocket-messages and
https://developers.telnyx.com/docs/voice/programmable-voice/media-streaming. Both are read leniently: unknown events and
fields are passed over, and numbers may be strings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import pybase64

from kallglot.audio.codec import AudioFormatError, Decoder
from kallglot.legs.carrier_messages import Media, Message, decode, is_unknown
from kallglot.legs.commands import Audio, BadMessage, Command, Digits, HungUp
from kallglot.legs.echo import PlayoutEcho
from kallglot.session import events
from kallglot.session.leg import OutputFormat
from kallglot.session.model import Participant

FRAME_MS: Final = 20
MAX_CHUNK_MS: Final = 1000
_INBOUND: Final = frozenset(("inbound", "inbound_track", ""))
_DIGITS: Final = frozenset("0123456789*#ABCDabcd")


class CarrierCodec:
    """One stream of one participant. ``head`` stands before the payload of a media message, ``stream_field``, with its
    comma, names the stream where the carrier wants that."""

    binary_out = False
    kind = "carrier"

    def __init__(
        self, bound: Participant, output: OutputFormat, source: Decoder, *, head: bytes, stream_field: bytes
    ) -> None:
        self._bound = bound
        self.output = output
        self._source = source
        self._head = head
        self._stream_field = stream_field
        self._echo = PlayoutEcho()
        self._last_turn: str | None = None
        self._stopped = False

    @property
    def late_ms(self) -> float:
        return self._echo.late_ms

    # From the carrier

    def receive(self, data: bytes, *, binary: bool, now_ms: float) -> Sequence[Command]:
        if binary:
            raise BadMessage("invalid_message", "A carrier's stream has no binary frames.")
        try:
            message = decode(data)
        except (msgspec.DecodeError, RecursionError) as error:
            if is_unknown(data):
                return ()
            raise BadMessage("invalid_message", f"The message cannot be read: {error}") from None
        event = message.event
        if event == "media":
            media = message.media
            return () if media is None or media.track not in _INBOUND else self._media(media, message)
        if event == "mark":
            if message.mark is not None:
                self._echo.returned(message.mark.name, now_ms)
            return ()
        if event == "dtmf":
            digit = "" if message.dtmf is None else message.dtmf.digit[:1]
            return (Digits(digit.upper()),) if digit in _DIGITS and digit else ()
        if event == "stop":
            self._stopped = True
            return (*self._rest(), HungUp())
        if event == "error" and message.payload is not None:
            return self._trouble(message.payload.code, message.payload.title, now_ms)
        return ()

    def _media(self, media: Media, message: Message) -> Sequence[Command]:
        return (self._audio(media),)

    def _rest(self) -> Sequence[Command]:
        return ()

    def _trouble(self, code: int, title: str, now_ms: float) -> Sequence[Command]:
        return ()

    def _audio(self, media: Media) -> Audio:
        try:
            pcm = self._source.decode(media.payload)
        except AudioFormatError as error:
            raise BadMessage("invalid_audio_format", str(error)) from None
        rate = self._source.sample_rate_hz
        if not pcm or len(pcm) > MAX_CHUNK_MS * rate // 500:
            raise BadMessage("invalid_audio_format", f"A frame holds up to {MAX_CHUNK_MS} ms of audio.")
        return Audio(self._bound.id, pcm, rate, media.timestamp)

    # To the carrier

    def audio(
        self, listener: Participant, speaker: str, turn_id: str | None, payload: bytes, now_ms: float
    ) -> Sequence[bytes]:
        self._last_turn = turn_id
        return self._messages(payload, FRAME_MS, now_ms)

    def _messages(self, payload: bytes, duration_ms: float, now_ms: float) -> Sequence[bytes]:
        media = b'%b%b"}}' % (self._head, pybase64.b64encode(payload))
        name = self._echo.sent(now_ms, duration_ms)
        return (media,) if name is None else (media, self._mark(name))

    def _mark(self, name: str) -> bytes:
        return b'{"event":"mark",%b"mark":{"name":"%b"}}' % (self._stream_field, name.encode())

    def event(self, event: events.SessionEvent, now_ms: float) -> bytes | None:
        """Only a turn that is cut off while it plays concerns a carrier."""
        if not isinstance(event, events.PlaybackCleared) or event.turn_id != self._last_turn:
            return None
        self._last_turn = None
        return self._clear(now_ms)

    def _clear(self, now_ms: float) -> bytes:
        self._echo.cleared(now_ms)
        stream = self._stream_field.removesuffix(b",")
        return b'{"event":"clear",%b}' % stream if stream else b'{"event":"clear"}'

    def error(self, code: str, message: str) -> bytes | None:
        """A carrier does not expect any, and takes it for a protocol error."""
        return None


def json_string(value: Any) -> bytes:
    return msgspec.json.encode(value)
