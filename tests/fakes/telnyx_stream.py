"""Telnyx media streaming: https://developers.telnyx.com/docs/voice/programmable-voice/media-streaming."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pybase64
from tests.fakes.codecs import codec, mp3_decoded
from tests.fakes.streams import CallStream, StreamOrder

if TYPE_CHECKING:
    from tests.fakes.telnyx import TelnyxCall

SHORTEST_S = 0.02
LONGEST_S = 30.0
MP3_RATE = 22_050
TITLES = {
    100002: "unknown_error",
    100003: "malformed_frame",
    100004: "invalid_media",
    100005: "rate_limit_reached",
}
USER_ID = "3e6f995f-85f7-4705-9741-53b116d28237"


class TelnyxStream(CallStream):
    """``mode`` is ``rtp`` or ``mp3`` (Telnyx's default). ``connections`` counts the sockets of the stream;
    ``unplayable`` the messages in mp3 mode that were no MP3 file, which nobody hears.

    A socket that breaks, or is closed with anything but 1000, is dialled again unless ``enableReconnect`` is false.
    Numbers begin anew then; that is not documented.
    """

    call: TelnyxCall

    def __init__(self, call: TelnyxCall, order: StreamOrder) -> None:
        asked = order.attributes
        self.mode = asked.get("bidirectionalMode", "mp3")
        forced = asked.get("codec", "default")
        heard = codec(call.codec if forced == "default" else forced, call.rate_hz, little_endian=call.little_endian)
        rate_hz = int(asked.get("bidirectionalSamplingRate", "8000"))
        if self.mode == "rtp":
            spoken = codec(asked.get("bidirectionalCodec", "PCMU"), rate_hz, little_endian=call.little_endian)
        else:
            spoken = codec("L16", MP3_RATE)
        super().__init__(call, order, heard, spoken)
        self.id = str(uuid.uuid4()).upper()
        self.connections = 0
        self.unplayable = 0
        self._tries = 0
        self._taken_s = float("-inf")
        self._late: bytes | None = None
        self._reconnects = asked.get("enableReconnect", "true") != "false"
        scheme = urlsplit(order.url).scheme
        if scheme not in ("ws", "wss") or not urlsplit(order.url).hostname:
            self.failure = "malformed"
        elif scheme == "ws" and not call.carrier.insecure:
            self.failure = "scheme"

    def headers(self) -> dict[str, str]:
        return {"User-Agent": "telnyx-media-streaming"}

    def hello(self) -> None:
        self.connections += 1
        self._tries = 0
        self._sequence = 0
        self._chunks.clear()
        call = self.call
        rate_hz = 8000 if self.inbound.name == "G722" else self.inbound.rate_hz
        start: dict[str, Any] = {
            "user_id": USER_ID,
            "call_control_id": call.sid,
            "call_session_id": call.session_id,
            "from": call.from_,
            "to": call.to,
            "tags": [],
            "custom_parameters": dict(self.order.parameters),
            "media_format": {"encoding": self.inbound.name, "sample_rate": rate_hz, "channels": 1},
        }
        if call.client_state is not None:
            start["client_state"] = call.client_state
        self.send(b'{"event":"connected","version":"1.0.0"}')
        self.send(self._message("start", start=start))

    def goodbye(self) -> bytes:
        return self._message("stop", stop={"user_id": USER_ID, "call_control_id": self.call.sid})

    def media_message(self, track: str, chunk: int, timestamp_ms: int, payload: bytes) -> bytes:
        return (
            b'{"event":"media","sequence_number":"%d","media":{"track":"%b","chunk":"%d","timestamp":"%d",'
            b'"payload":"%b"},"stream_id":"%b"}'
        ) % (self.next_number(), track.encode(), chunk, timestamp_ms, payload, self.id.encode())

    def send_media(self, track: str, chunk: int, timestamp_ms: int, payload: bytes) -> None:
        """Out of order, every fifth message comes after the one that follows it."""
        message = self.media_message(track, chunk, timestamp_ms, payload)
        if self.call.out_of_order and chunk % 5 == 0 and self._late is None:
            self._late = message
            return
        self.send(message)
        if self._late is not None:
            late, self._late = self._late, None
            self.send(late)

    def mark_message(self, name: str) -> bytes:
        return self._message("mark", mark={"name": name})

    def dtmf_message(self, digit: str) -> bytes:
        occurred_at = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        return self._message("dtmf", occurred_at=occurred_at, dtmf={"digit": digit})

    def _message(self, event: str, **more: object) -> bytes:
        message = {"event": event, "sequence_number": str(self.next_number()), "stream_id": self.id, **more}
        return json.dumps(message).encode()

    def take(self, message: dict[str, Any]) -> None:
        event = message.get("event")
        if event == "media" and isinstance(message.get("media"), dict):
            return self._take_media(message["media"].get("payload"))
        self.received.append(message)
        if event == "clear":
            return self.clear()
        mark = message.get("mark")
        if event == "mark" and isinstance(mark, dict) and isinstance(mark.get("name"), str):
            return self.put_mark(mark["name"])
        return self.error(100003, f"{event!r} is not understood")

    def _take_media(self, given: object) -> None:
        try:
            payload = pybase64.b64decode(given, validate=True) if isinstance(given, str) else b""
        except ValueError:
            return self.error(100004, "the payload is not base64")
        self.arrivals_s.append(self.now_s)
        if self.mode == "mp3":
            return self._take_mp3(payload)
        try:
            pcm = self.outbound.decode(payload)
        except Exception:
            return self.error(100003, "the payload is no whole number of samples")
        seconds = len(pcm) / 2 / self.outbound.rate_hz
        if not SHORTEST_S <= seconds <= LONGEST_S:
            return self.error(100003, f"{seconds * 1000:.1f} ms of audio in a message: 20 ms to 30 s are allowed")
        return self.play(pcm)

    def _take_mp3(self, payload: bytes) -> None:
        if self.now_s - self._taken_s < 1:
            return self.error(100005, "more than one message a second")
        self._taken_s = self.now_s
        pcm = mp3_decoded(payload, MP3_RATE)
        if pcm is None:
            self.unplayable += 1
            return None
        return self.play(pcm)

    def error(self, code: int, detail: str) -> None:
        payload = {"code": code, "title": TITLES[code], "detail": detail}
        self.send(json.dumps({"event": "error", "stream_id": self.id, "payload": payload}).encode())
        self.call.trouble(code, detail)

    def malformed(self, why: str) -> None:
        self.error(100003, why)

    def binary(self) -> None:
        self.error(100003, "a binary frame")

    def protocol_error(self, why: str) -> None:
        self.error(100003, why)
        self.refuse()

    def overflowed(self, seconds: float) -> None:
        self.call.trouble(100002, f"{seconds:.2f} s of audio beyond the buffer")

    def ended(self) -> bool:
        orderly = self.over in ("stopped", "failed") or (self.over == "peer" and self.close_code in (1000, None))
        if orderly or not self._reconnects or self.call.over or self._tries >= self.call.telnyx.reconnects:
            return True
        self._tries += 1
        self.over = None
        self.close_code = None
        at_s = self.now_s + self.call.telnyx.reconnect_s
        self.call.pace.call_at(at_s, lambda: self.call.carrier.later(self._again()))
        return False

    async def _again(self) -> None:
        if self.call.over:
            self.closed.set()
        elif await self.open():
            self.call.listen()
        else:
            self.over = "lost"
            if self.ended():
                self.closed.set()
                self.call.changed()

    def stop(self) -> None:
        self._reconnects = False
        super().stop()
