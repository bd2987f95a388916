"""A Twilio account: calls, Media Streams and, in :mod:`tests.fakes.twilio_rest`, the part of the REST API for calls.

https://www.twilio.com/docs/voice/twiml#request-parameters, https://www.twilio.com/docs/voice/media-streams,
https://www.twilio.com/docs/voice/api/call-resource, https://www.twilio.com/docs/usage/security.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, cast
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import pybase64
from tests.fakes.calls import Answer, FakeCall, FakeCarrier
from tests.fakes.codecs import codec
from tests.fakes.pace import Pace
from tests.fakes.streams import CallStream, StreamOrder
from tests.fakes.twilio_rest import TwilioRest
from tests.fakes.verbs import Fetch, Literally, Source, new_hex
from twilio.request_validator import HMAC_SHA1, HMAC_SHA256, RequestValidator

ACCOUNT_SID = "AC" + "0" * 31 + "1"
AUTH_TOKEN = "twilio-auth-token-of-the-tests"
API_VERSION = "2010-04-01"
_TRACKS = {"inbound_track": ("inbound",), "outbound_track": ("outbound",), "both_tracks": ("inbound", "outbound")}
_FIELDS: dict[str, frozenset[str]] = {
    "media": frozenset({"event", "streamSid", "media"}),
    "mark": frozenset({"event", "streamSid", "mark"}),
    "clear": frozenset({"event", "streamSid"}),
}


class FakeTwilio(FakeCarrier):
    """An account, on real sockets: ``async with FakeTwilio() as twilio``; its REST API is at ``api_url``.

    ``insecure`` also dials ``ws`` and says nothing of it; the handshake is signed for ``wss`` in any case. ``hosts``
    maps a public origin, ``https://…``, to where it is served, as a TLS proxy does. ``shared_key`` is the id and secret
    of a webhook SharedKey that signs in place of the auth token.
    """

    user_agent = "TwilioProxy/1.1"

    def __init__(
        self,
        auth_token: str = AUTH_TOKEN,
        account_sid: str = ACCOUNT_SID,
        *,
        pace: Pace | None = None,
        insecure: bool = False,
        hosts: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        shared_key: tuple[str, str] | None = None,
    ) -> None:
        super().__init__(pace=pace, insecure=insecure, hosts=hosts, tls=tls)
        self.auth_token = auth_token
        self.account_sid = account_sid
        self.shared_key = shared_key
        self.placed: asyncio.Queue[TwilioCall] = asyncio.Queue()
        self.rest = TwilioRest(self)

    async def __aenter__(self) -> FakeTwilio:
        await self.rest.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await super().close()
        await self.rest.close()

    @property
    def api_url(self) -> str:
        """In place of https://api.twilio.com."""
        return self.rest.url

    def signed(self, url: str, fields: Mapping[str, str], body: bytes) -> dict[str, str]:
        """``body`` does not matter: JSON is covered by ``bodySHA256`` in the URL."""
        secret, algorithm = self.auth_token, HMAC_SHA1
        headers: dict[str, str] = {}
        if self.shared_key is not None:
            secret, algorithm = self.shared_key[1], HMAC_SHA256
            headers["X-Twilio-Webhooks-Signature-Settings"] = f"key={self.shared_key[0]},algorithm={HMAC_SHA256}"
        headers["X-Twilio-Signature"] = RequestValidator(secret).compute_signature(url, dict(fields), algorithm)
        return headers

    async def incoming(
        self,
        voice_url: str,
        from_: str = "+4930123456",
        to: str = "+14155550100",
        *,
        fallback_url: str | None = None,
        status_callback: str | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> TwilioCall:
        """Somebody calls ``to``, whose voice webhook is ``voice_url``; returns once that has answered, or failed to.
        ``fields`` are added to the voice request's."""
        call = TwilioCall(self, from_, to, direction="inbound", more=fields)
        call.fallback_url = fallback_url
        call.status_url = status_callback
        call.begin(Fetch(voice_url))
        await call.until(lambda: call.requests or call.over)
        return call

    async def outgoing(self, within_s: float = 30) -> TwilioCall:
        """The next call that was placed by REST."""
        async with asyncio.timeout(within_s):
            return await self.placed.get()

    async def post_json(self, url: str, payload: object) -> int | None:
        """A webhook with a JSON body, covered by ``bodySHA256`` (https://www.twilio.com/docs/usage/security)."""
        body = json.dumps(payload).encode()
        url = f"{url}{'&' if '?' in url else '?'}bodySHA256={hashlib.sha256(body).hexdigest()}"
        return (await self.webhooks.json(url, body)).status


class TwilioCall(FakeCall):
    stream_failed_event = "stream-error"

    def __init__(
        self, carrier: FakeTwilio, from_: str, to: str, *, direction: str, more: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(carrier, f"CA{new_hex()}", from_, to, direction=direction, rate_hz=8000)
        self.twilio = carrier
        self.answered_by: str | None = None
        self._more = dict(more or {})
        self.date_created = datetime.now(UTC)

    def new_leg_sid(self) -> str:
        return f"CA{new_hex()}"

    def fields(self, **extra: str) -> dict[str, str]:
        return {
            "AccountSid": self.twilio.account_sid,
            "ApiVersion": API_VERSION,
            "CallSid": self.sid,
            "CallStatus": self.status,
            "Called": self.to,
            "CalledCity": "",
            "CalledCountry": "US",
            "CalledState": "CA",
            "CalledZip": "",
            "Caller": self.from_,
            "CallerCity": "",
            "CallerCountry": "DE",
            "CallerState": "Berlin",
            "CallerZip": "",
            "Direction": self.direction,
            "From": self.from_,
            "FromCity": "",
            "FromCountry": "DE",
            "FromState": "Berlin",
            "FromZip": "",
            "To": self.to,
            "ToCity": "",
            "ToCountry": "US",
            "ToState": "CA",
            "ToZip": "",
            **({"AnsweredBy": self.answered_by} if self.answered_by else {}),
            **self._more,
            **extra,
        }

    def progress_fields(self, event: str, number: int) -> dict[str, str]:
        fields = self.fields(
            CallbackSource="call-progress-events",
            SequenceNumber=str(number),
            Timestamp=format_datetime(datetime.now(UTC)),
        )
        fields["CallStatus"] = {"initiated": "initiated", "ringing": "ringing"}.get(event, self.status)
        if event == "completed":
            sip = {"busy": "486", "no-answer": "487", "failed": "404", "canceled": "487"}.get(self.status, "200")
            fields |= {
                "CallDuration": str(self.duration_s),
                "Duration": str(-(-self.duration_s // 60)),
                "SipResponseCode": sip,
            }
        return fields

    def stream_fields(self, stream: CallStream, event: str) -> dict[str, str]:
        return {
            "AccountSid": self.twilio.account_sid,
            "CallSid": self.sid,
            "StreamSid": stream.id,
            "StreamName": stream.order.name or stream.id,
            "StreamEvent": event,
            "Timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }

    def stream_order(self, noun: ET.Element, *, bidirectional: bool) -> StreamOrder:
        """Attributes that are not known are ignored, and so is the query string of the URL."""
        url = urlsplit(noun.get("url", "").strip())._replace(query="", fragment="").geturl()
        parameters = {p.get("name", ""): p.get("value", "") for p in noun.findall("Parameter")}
        track = "inbound_track" if bidirectional else noun.get("track", "inbound_track")
        return StreamOrder(
            url=url,
            parameters={name: value for name, value in parameters.items() if len(name) + len(value) < 500},
            bidirectional=bidirectional,
            tracks=_TRACKS[track],
            name=noun.get("name"),
            status_url=noun.get("statusCallback"),
            status_method=noun.get("statusCallbackMethod", "POST"),
            attributes=dict(noun.attrib),
        )

    def make_stream(self, order: StreamOrder) -> CallStream:
        return TwilioStream(self, order)

    async def streaming(self, count: int = 1, within_s: float = 30) -> TwilioStream:
        return cast("TwilioStream", await super().streaming(count, within_s))

    def update(self, source: Source) -> None:
        """As by ``POST /Calls/{sid}``: the running stream ends, the new document begins."""
        self.begin(source)

    # --- placed by REST

    async def originate(self, source: Source, answer: Answer, amd: Mapping[str, str]) -> None:
        self.progress("initiated")
        self.status = "ringing"
        self.progress("ringing")
        await self.pace.sleep(min(answer.ring_s, float(amd.get("Timeout", "60"))))
        if self.over:
            return None
        if answer.ring_s > float(amd.get("Timeout", "60")):
            return await self.finish("no-answer")
        if answer.outcome != "answered":
            return await self.finish(answer.outcome)
        self.answer()
        self.progress("answered")
        if "MachineDetection" in amd and amd.get("AsyncAmd") == "true":
            self.carrier.later(self._detected(answer, amd.get("AsyncAmdStatusCallback")))
        elif "MachineDetection" in amd:
            await self.pace.sleep(answer.amd_s)
            self.answered_by = answer.answered_by
        self.begin(source)
        return None

    async def _detected(self, answer: Answer, url: str | None) -> None:
        await self.pace.sleep(answer.amd_s)
        self.answered_by = answer.answered_by
        if url is None or self.over:
            return
        fields = {
            "CallSid": self.sid,
            "AccountSid": self.twilio.account_sid,
            "AnsweredBy": answer.answered_by,
            "MachineDetectionDuration": str(round(answer.amd_s * 1000)),
        }
        self.requests.append(await self.carrier.webhooks.form(url, fields))
        self.changed()


class TwilioStream(CallStream):
    """Mu-law at 8 kHz. Of what the server sends wrong, ``call.errors`` knows: 31950 and 31951 once a stream."""

    def __init__(self, call: TwilioCall, order: StreamOrder) -> None:
        mulaw = codec("PCMU")
        super().__init__(call, order, mulaw, mulaw)
        self.id = f"MZ{new_hex()}"
        self._sid = self.id.encode()
        self._account_sid = call.twilio.account_sid
        self._warned: set[int] = set()
        scheme = urlsplit(order.url).scheme
        if scheme not in ("ws", "wss") or not urlsplit(order.url).hostname:
            self.failure = "malformed"
        elif scheme == "ws" and not call.carrier.insecure:
            self.failure = "scheme"

    @property
    def sid(self) -> str:
        return self.id

    def headers(self) -> dict[str, str]:
        url = urlsplit(self.order.url)._replace(scheme="wss").geturl()
        return {"User-Agent": "Twilio.TmeWs/1.0", **self.call.carrier.sign(url, {}, b"")}

    def hello(self) -> None:
        self.send(b'{"event":"connected","protocol":"Call","version":"1.0.0"}')
        start = {
            "event": "start",
            "sequenceNumber": str(self.next_number()),
            "start": {
                "accountSid": self._account_sid,
                "streamSid": self.id,
                "callSid": self.call.sid,
                "tracks": list(self.order.tracks),
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": dict(self.order.parameters),
            },
            "streamSid": self.id,
        }
        self.send(json.dumps(start).encode())

    def media_message(self, track: str, chunk: int, timestamp_ms: int, payload: bytes) -> bytes:
        return (
            b'{"event":"media","sequenceNumber":"%d","media":{"track":"%b","chunk":"%d","timestamp":"%d","payload":"%b"}'
            b',"streamSid":"%b"}'
        ) % (self.next_number(), track.encode(), chunk, timestamp_ms, payload, self._sid)

    def mark_message(self, name: str) -> bytes:
        return self._message("mark", mark={"name": name})

    def dtmf_message(self, digit: str) -> bytes:
        return self._message("dtmf", dtmf={"track": "inbound_track", "digit": digit})

    def goodbye(self) -> bytes:
        return self._message("stop", stop={"accountSid": self._account_sid, "callSid": self.call.sid})

    def _message(self, event: str, **more: object) -> bytes:
        message = {"event": event, "sequenceNumber": str(self.next_number()), "streamSid": self.id, **more}
        return json.dumps(message).encode()

    def take(self, message: dict[str, Any]) -> None:
        event = message.get("event")
        if not self.order.bidirectional or event not in _FIELDS:
            return self.protocol_error(f"{event!r} on a stream that takes none")
        if message.get("streamSid") != self.id:
            return self.malformed(f"streamSid {message.get('streamSid')!r} is not {self.id}")
        if set(message) - _FIELDS[event]:
            return self.malformed(f"fields that nobody expects: {sorted(set(message) - _FIELDS[event])}")
        if event == "media":
            return self._take_media(message.get("media"))
        self.received.append(message)
        if event == "clear":
            return self.clear()
        mark = message.get("mark")
        if not isinstance(mark, dict) or not isinstance(mark.get("name"), str):
            return self.malformed("a mark without a name")
        return self.put_mark(mark["name"])

    def _take_media(self, media: Any) -> None:
        if not isinstance(media, dict) or set(media) != {"payload"} or not isinstance(media["payload"], str):
            return self.malformed("media is not {payload}")
        try:
            payload = pybase64.b64decode(media["payload"], validate=True)
        except ValueError:
            return self.malformed("the payload is not base64")
        self.arrivals_s.append(self.now_s)
        return self.play(self.outbound.decode(payload))

    def overflowed(self, seconds: float) -> None:
        self._warn(31931, f"Media discarded: {seconds:.2f} s")

    def malformed(self, why: str) -> None:
        self._warn(31951, f"Invalid message: {why}")

    def binary(self) -> None:
        self._warn(31950, "Malformed message: a binary frame")

    def protocol_error(self, why: str) -> None:
        self.call.trouble(31924, f"Protocol error: {why}")
        self.refuse()

    def _warn(self, code: int, text: str) -> None:
        if code not in self._warned:
            self._warned.add(code)
            self.call.trouble(code, text)

    def disconnected(self) -> None:
        if self.over is None:
            self.call.trouble(31921, "The connection broke")
        super().disconnected()


def source_of(form: Mapping[str, str]) -> Source | None:
    """``Url`` wins over ``Twiml``."""
    if "Url" in form:
        return Fetch(form["Url"], form.get("Method", "POST"))
    return Literally(form["Twiml"]) if "Twiml" in form else None
