"""Telnyx media streaming: a codec for each direction, frames that overtake each other, and two ways to be answered.

In ``rtp`` mode the payload of each message is played as it is; in ``mp3`` mode, which is Telnyx's default, each message
is an MP3 file, at most one a second. Nothing in ``start`` says which it is. Where no parameter says it either, audio
goes out as in ``rtp`` mode until the carrier complains, as it does of more than one message a second in the other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from kallglot.audio.codec import AudioFormatError, Decoder, Encoder, decoder, encoder
from kallglot.audio.g711 import mulaw_to_pcm
from kallglot.carriers.arrivals import CarrierStart
from kallglot.legs.carrier import CarrierCodec
from kallglot.legs.carrier_messages import Media, Message
from kallglot.legs.commands import Audio, BadMessage, Command
from kallglot.legs.reorder import Reorder
from kallglot.session.leg import OutputFormat
from kallglot.session.model import Participant
from kallglot.session.switchboard import StreamRefused

log = logging.getLogger(__name__)

MP3_LEAD_MS: Final = 2500
"""Audio is handed out so far ahead in mp3 mode, where a message a second is all there is."""
SURE_MS: Final = 5000
"""So much was sent without a complaint: it is heard."""
MOST_COMPLAINTS: Final = 3
"""That are worth a line in the log."""
MP3_EVERY_MS: Final = 1050.0
MP3_GATHER_MS: Final = 60.0
MP3_RATE: Final = 8000
_COMPLAINTS: Final = frozenset((100002, 100003, 100004, 100005))
_ENCODINGS: Final = {"PCMU": "mulaw", "PCMA": "alaw", "G722": "g722", "OPUS": "opus", "L16": "l16"}
_RATES: Final = {"mulaw": 8000, "alaw": 8000, "g722": 16000}

C = TypeVar("C", Decoder, Encoder)


class TelnyxCodec(CarrierCodec):
    """``parameters`` that matter here: ``bidirectional_mode`` (rtp, mp3), ``bidirectional_codec`` (PCMU),
    ``bidirectional_sampling_rate``, ``l16_byte_order`` (big, little)."""

    kind = "telnyx"

    def __init__(self, start: CarrierStart, bound: Participant) -> None:
        """Raises :class:`StreamRefused`."""
        asked = start.parameters
        mode = asked.get("bidirectional_mode")
        if mode not in (None, "rtp", "mp3"):
            raise StreamRefused(1008, "invalid_message", "bidirectional_mode must be rtp or mp3.")
        little = asked.get("l16_byte_order") == "little"
        source = _coded(start.encoding, str(start.sample_rate_hz), little, decoder)
        coded = "PCMU" if mode == "mp3" else asked.get("bidirectional_codec", "PCMU")
        sink = _coded(coded, asked.get("bidirectional_sampling_rate"), little, encoder)
        output = OutputFormat(_name(coded, little), sink.sample_rate_hz)
        super().__init__(bound, output, source, head=b'{"event":"media","media":{"payload":"', stream_field=b"")
        self._order: Reorder[Media] = Reorder()
        self._packing: Packing | None = None
        self._unsure = bytearray() if mode is None and output.encoding == "mulaw" else None
        """What was sent as long as it is not known that it is heard."""
        self._complaints = 0
        if mode == "mp3":
            self._pack()

    @property
    def packing(self) -> Packing | None:
        """Set in mp3 mode: what waits to be made an MP3 file."""
        return self._packing

    def _pack(self, sent_ms: float = float("-inf")) -> None:
        """``sent_ms``: when something was sent last."""
        unheard, self._unsure = self._unsure, None
        self._packing = Packing(sent_ms)
        if unheard:
            self._packing.add(mulaw_to_pcm(bytes(unheard)), sent_ms)
        self.output = replace(self.output, lead_ms=MP3_LEAD_MS)

    def _media(self, media: Media, message: Message) -> Sequence[Command]:
        number = media.chunk if media.chunk is not None else message.sequence_number
        if number is None:
            return (self._audio(media),)
        return self._decoded(self._order.put(number, media))

    def _rest(self) -> Sequence[Command]:
        return self._decoded(self._order.rest())

    def _decoded(self, frames: list[Media]) -> list[Audio]:
        done: list[Audio] = []
        for media in frames:
            try:
                done.append(self._audio(media))
            except BadMessage:
                if len(frames) == 1:
                    raise
        return done

    def _trouble(self, code: int, title: str, now_ms: float) -> Sequence[Command]:
        self._complaints += 1
        if self._complaints <= MOST_COMPLAINTS:
            log.warning("a Telnyx stream says: %d %s", code, title[:80])
        if self._unsure is not None and code in _COMPLAINTS:
            log.warning("the stream was not opened with bidirectionalMode=rtp; going on in mp3 mode")
            self._pack(now_ms)
        return ()

    def _messages(self, payload: bytes, duration_ms: float, now_ms: float) -> Sequence[bytes]:
        if self._packing is None:
            if self._unsure is not None:
                self._unsure += payload
                if len(self._unsure) > SURE_MS * 8:
                    self._unsure = None
            return super()._messages(payload, duration_ms, now_ms)
        self._packing.add(mulaw_to_pcm(payload), now_ms)
        return ()

    def packed(self, mp3: bytes, duration_ms: float, now_ms: float) -> Sequence[bytes]:
        """The messages that carry an MP3 file."""
        return super()._messages(mp3, duration_ms, now_ms)

    def _clear(self, now_ms: float) -> bytes:
        if self._packing is not None:
            self._packing.clear()
        return super()._clear(now_ms)


class Packing:
    """PCM at :data:`MP3_RATE` that is gathered for one message a second."""

    def __init__(self, last_ms: float) -> None:
        self._pcm = bytearray()
        self._first_ms = 0.0
        self._last_ms = last_ms
        self.generation = 0
        """Goes up when what was gathered is dropped."""

    def add(self, pcm: bytes, now_ms: float) -> None:
        if not self._pcm:
            self._first_ms = now_ms
        self._pcm += pcm

    @property
    def due_ms(self) -> float | None:
        """When the next message may go; None while there is nothing for it."""
        return max(self._first_ms + MP3_GATHER_MS, self._last_ms + MP3_EVERY_MS) if self._pcm else None

    def take(self, now_ms: float) -> bytes:
        pcm, self._pcm = bytes(self._pcm), bytearray()
        self._last_ms = now_ms
        return pcm

    def clear(self) -> None:
        self._pcm.clear()
        self.generation += 1


def _name(coded: str, little: bool) -> str:
    return "pcm_s16le" if coded == "L16" and little else _ENCODINGS[coded]


def _coded(coded: str, rate: str | None, little: bool, make: Callable[[str, int], C]) -> C:
    if coded not in _ENCODINGS:
        known = ", ".join(_ENCODINGS)
        raise StreamRefused(1008, "invalid_audio_format", f"Expected a codec of {known}, got {coded[:20]!r}.")
    encoding = _name(coded, little)
    asked = int(rate) if rate is not None and rate.isascii() and rate.isdigit() else 16000 if coded == "L16" else 8000
    try:
        return make(encoding, _RATES.get(encoding, asked))
    except AudioFormatError as error:
        raise StreamRefused(1008, "invalid_audio_format", str(error)) from None
