"""Twilio Media Streams: mu-law at 8 kHz both ways, in 20 ms messages, and nothing else."""

from __future__ import annotations

from kallglot.audio.codec import decoder
from kallglot.carriers.arrivals import CarrierStart
from kallglot.legs.carrier import CarrierCodec, json_string
from kallglot.session.leg import OutputFormat
from kallglot.session.model import Participant
from kallglot.session.switchboard import StreamRefused


class TwilioCodec(CarrierCodec):
    kind = "twilio"

    def __init__(self, start: CarrierStart, bound: Participant) -> None:
        """Raises :class:`StreamRefused`."""
        if start.encoding not in ("audio/x-mulaw", "audio/mulaw", "PCMU") or start.sample_rate_hz != 8000:
            message = f"Expected audio/x-mulaw at 8000 Hz, got {start.encoding[:40]} at {start.sample_rate_hz}."
            raise StreamRefused(1008, "invalid_audio_format", message)
        stream = b'"streamSid":%b,' % json_string(start.stream_id)
        super().__init__(
            bound,
            OutputFormat("mulaw", 8000),
            decoder("mulaw", 8000),
            head=b'{"event":"media",%b"media":{"payload":"' % stream,
            stream_field=stream,
        )
