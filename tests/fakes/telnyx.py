"""A Telnyx account: TeXML and Call Control calls and media streaming; the REST API is :mod:`tests.fakes.telnyx_rest`.

https://developers.telnyx.com/docs/voice/programmable-voice/media-streaming, …/texml-verbs/stream, …/voice-api-webhooks,
https://developers.telnyx.com/docs/development/api-fundamentals/webhooks.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, cast
from xml.etree import ElementTree as ET

from nacl.signing import SigningKey
from tests.fakes.calls import Answer, FakeCall, FakeCarrier
from tests.fakes.codecs import codec as codec_of
from tests.fakes.pace import Pace
from tests.fakes.streams import CallStream, StreamOrder
from tests.fakes.telnyx_rest import TelnyxRest
from tests.fakes.telnyx_stream import TelnyxStream
from tests.fakes.verbs import DialledLeg, Fetch, Literally, Source
from tests.fakes.webhooks import Request

API_KEY = "KEY-of-the-tests"
CONNECTION_ID = "1494404757140276705"
ACCOUNT_ID = "3e6f995f-85f7-4705-9741-53b116d28237"
ATTEMPTS = 3
_TRACKS = {"inbound_track": ("inbound",), "outbound_track": ("outbound",), "both_tracks": ("inbound", "outbound")}
_CAUSES = {"busy": "user_busy", "no-answer": "timeout", "failed": "not_found", "canceled": "originator_cancel"}
_SIP = {"busy": "486", "no-answer": "408", "failed": "404", "canceled": "487"}

Product = Literal["texml", "call_control"]


class FakeTelnyx(FakeCarrier):
    """An account, on real sockets: ``async with FakeTelnyx() as telnyx``; its REST API is at ``api_url``.

    ``public_key`` verifies what it signs; :meth:`signed` takes the time from ``signs_at_s`` (Unix seconds) if that is
    set. ``event_url`` is the Call Control application's webhook, for the calls that are placed. ``reconnects`` is how
    often a broken stream is dialled again, ``reconnect_s`` apart: neither is documented.
    """

    user_agent = "telnyx-webhooks"

    def __init__(
        self,
        api_key: str = API_KEY,
        *,
        connection_id: str = CONNECTION_ID,
        event_url: str | None = None,
        pace: Pace | None = None,
        insecure: bool = False,
        hosts: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        reconnects: int = 5,
        reconnect_s: float = 1.0,
    ) -> None:
        super().__init__(pace=pace, insecure=insecure, hosts=hosts, tls=tls)
        self.api_key = api_key
        self.connection_id = connection_id
        self.event_url = event_url
        self.reconnects = reconnects
        self.reconnect_s = reconnect_s
        self.signing_key = SigningKey.generate()
        self.signs_at_s: float | None = None
        self.placed: asyncio.Queue[TelnyxCall] = asyncio.Queue()
        self.rest = TelnyxRest(self)

    async def __aenter__(self) -> FakeTelnyx:
        await self.rest.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await super().close()
        await self.rest.close()

    @property
    def api_url(self) -> str:
        """In place of https://api.telnyx.com/v2."""
        return f"{self.rest.url}/v2"

    @property
    def public_key(self) -> str:
        return base64.b64encode(bytes(self.signing_key.verify_key)).decode()

    def signed(self, url: str, fields: Mapping[str, str], body: bytes) -> dict[str, str]:
        stamp = str(int(time.time() if self.signs_at_s is None else self.signs_at_s))
        signature = self.signing_key.sign(f"{stamp}|".encode() + body).signature
        return {"telnyx-signature-ed25519": base64.b64encode(signature).decode(), "telnyx-timestamp": stamp}

    async def incoming(
        self,
        url: str,
        from_: str = "+4930123456",
        to: str = "+13125550100",
        *,
        webhook: Product = "texml",
        reads_texml: bool = False,
        codec: str = "PCMU",
        rate_hz: int = 8000,
        little_endian: bool = False,
        out_of_order: bool = False,
        fallback_url: str | None = None,
        status_callback: str | None = None,
    ) -> TelnyxCall:
        """Somebody calls ``to``; returns once the webhook has answered, or failed to.

        ``codec`` is the leg's: PCMU, PCMA, G722 or L16 (``rate_hz`` and ``little_endian`` are for L16). ``reads_texml``
        carries out a document that answers ``call.initiated``, whitespace before it forgiven, as one documented sample
        relies on. ``out_of_order`` has media and digits overtake each other.
        """
        call = TelnyxCall(self, from_, to, product=webhook, codec=codec, rate_hz=rate_hz, little_endian=little_endian)
        call.out_of_order = out_of_order
        call.reads_texml = reads_texml
        call.fallback_url = fallback_url
        if webhook == "texml":
            call.status_url = status_callback
            call.begin(Fetch(url))
        else:
            call.event_url = url
            call.event("call.initiated", direction="incoming", state="parked", start_time=_now())
        await call.until(lambda: call.requests or call.over)
        return call

    async def outgoing(self, within_s: float = 30) -> TelnyxCall:
        """The next call that was placed by REST."""
        async with asyncio.timeout(within_s):
            return await self.placed.get()


class TelnyxCall(FakeCall):
    """``events`` has the Call Control webhooks in the order in which they happened."""

    stream_failed_event = "stream-failed"

    def __init__(
        self,
        carrier: FakeTelnyx,
        from_: str,
        to: str,
        *,
        product: Product,
        codec: str = "PCMU",
        rate_hz: int = 8000,
        little_endian: bool = False,
        direction: str = "incoming",
    ) -> None:
        rate_hz = codec_of(codec, rate_hz).rate_hz
        super().__init__(carrier, _leg_id(), from_, to, direction=direction, rate_hz=rate_hz)
        self.telnyx = carrier
        self.product: Product = product
        self.codec = codec
        self.little_endian = little_endian
        self.out_of_order = False
        self.reads_texml = False
        self.event_url: str | None = None
        self.client_state: str | None = None
        self.leg_id = str(uuid.uuid4())
        self.session_id = str(uuid.uuid4())
        self.hangup_source = "caller"
        self.hangup_cause: str | None = None
        self.answered_by: str | None = None
        self.events: list[dict[str, Any]] = []
        self.commands: list[str] = []
        self.bridged_with: str | None = None

    def new_leg_sid(self) -> str:
        return _leg_id()

    async def streaming(self, count: int = 1, within_s: float = 30) -> TelnyxStream:
        return cast("TelnyxStream", await super().streaming(count, within_s))

    def press(self, digits: str) -> None:
        for stream in self.open_streams:
            messages = [stream.dtmf_message(digit) for digit in digits]
            for message in reversed(messages) if self.out_of_order else messages:
                stream.send(message)

    # --- TeXML

    def document(self, body: bytes) -> bytes:
        return body.lstrip() if self.reads_texml else body

    def fields(self, **extra: str) -> dict[str, str]:
        return {
            "AccountSid": ACCOUNT_ID,
            "ApiVersion": "2010-04-01",
            "CallSid": self.sid,
            "CallSidLegacy": self.sid,
            "CallStatus": self.status,
            "CallerId": self.from_,
            "ConnectionId": self.telnyx.connection_id,
            "Direction": "inbound" if self.direction == "incoming" else "outbound",
            "From": self.from_,
            "To": self.to,
            **({"AnsweredBy": self.answered_by} if self.answered_by else {}),
            **extra,
        }

    def progress_fields(self, event: str, number: int) -> dict[str, str]:
        fields = self.fields(CallbackSource="call-progress-events", SequenceNumber=str(number), Timestamp=_now())
        fields["CallStatus"] = {"initiated": "initiated", "ringing": "ringing"}.get(event, self.status)
        if event == "completed":
            cause = self.hangup_cause or _CAUSES.get(self.status, "normal_clearing")
            fields |= {
                "CallDuration": str(self.duration_s),
                "HangupSource": self.hangup_source,
                "HangupCause": cause,
                "SipResponseCode": _SIP.get(self.status, "200"),
            }
        return fields

    def stream_fields(self, stream: CallStream, event: str) -> dict[str, str]:
        name = stream.order.name or stream.id
        ids = {"AccountSid": ACCOUNT_ID, "CallSid": self.sid, "StreamSid": stream.id, "StreamName": name}
        return {**ids, "StreamEvent": event, "Timestamp": _now()}

    def stream_order(self, noun: ET.Element, *, bidirectional: bool) -> StreamOrder:
        return StreamOrder(
            url=noun.get("url", "").strip(),
            parameters={p.get("name", ""): p.get("value", "") for p in noun.findall("Parameter")},
            bidirectional=bidirectional,
            tracks=_TRACKS[noun.get("track", "inbound_track")],
            name=noun.get("name"),
            status_url=noun.get("statusCallback"),
            status_method=noun.get("statusCallbackMethod", "POST"),
            attributes=dict(noun.attrib),
        )

    def make_stream(self, order: StreamOrder) -> TelnyxStream:
        return TelnyxStream(self, order)

    # --- Call Control

    def event(self, kind: str, *, leg: DialledLeg | None = None, client_state: str | None = None, **more: Any) -> None:
        """Tells the webhook of it, in the background."""
        if self.product != "call_control":
            return
        payload = {
            "call_control_id": leg.sid if leg else self.sid,
            "call_leg_id": str(uuid.uuid4()) if leg else self.leg_id,
            "call_session_id": self.session_id,
            "connection_id": self.telnyx.connection_id,
            "client_state": client_state if leg else self.client_state,
            "from": leg.caller_id if leg else self.from_,
            "to": leg.to if leg else self.to,
            **more,
        }
        data = {
            "record_type": "event",
            "event_type": kind,
            "id": str(uuid.uuid4()),
            "occurred_at": _now(),
            "payload": payload,
        }
        self.events.append(data)
        if self.event_url is not None:
            self.tell(kind, {"json": json.dumps(data)})
        self.changed()

    async def post_progress(self, fields: dict[str, str]) -> Request:
        if "json" not in fields:
            return await super().post_progress(fields)
        assert self.event_url is not None
        data = json.loads(fields["json"])
        request = Request("POST", self.event_url)
        for attempt in range(1, ATTEMPTS + 1):
            body = json.dumps({"data": data, "meta": {"attempt": attempt, "delivered_to": self.event_url}}).encode()
            request = await self.carrier.webhooks.json(self.event_url, body)
            if request.ok:
                break
        if self.reads_texml and data["event_type"] == "call.initiated" and b"<Response" in request.answer:
            self.begin(Literally(request.answer.decode()))
        return request

    def gone(self) -> None:
        for stream in self.streams:
            if stream.opened.is_set() and not stream.closed.is_set():
                self.event("streaming.stopped", stream_url=stream.order.url)
        cause = self.hangup_cause or _CAUSES.get(self.status, "normal_clearing")
        source, sip = self.hangup_source, _SIP.get(self.status, "200")
        self.event("call.hangup", hangup_cause=cause, hangup_source=source, sip_hangup_cause=sip, end_time=_now())

    def pick_up(self, command: Mapping[str, Any]) -> None:
        """The call is answered, by us or by the far end."""
        self.answer()
        self.event("call.answered", state="answered", start_time=_now())
        if "stream_url" in command:
            self.open_by(command)

    def open_by(self, command: Mapping[str, Any]) -> None:
        """A stream as a command asks for it."""
        names = {
            "bidirectionalMode": "stream_bidirectional_mode",
            "bidirectionalCodec": "stream_bidirectional_codec",
            "bidirectionalSamplingRate": "stream_bidirectional_sampling_rate",
            "codec": "stream_codec",
        }
        order = StreamOrder(
            url=command["stream_url"],
            parameters={one["name"]: one["value"] for one in command.get("custom_parameters", [])},
            tracks=_TRACKS[command.get("stream_track", "inbound_track")],
            attributes={name: str(command[field]) for name, field in names.items() if field in command},
        )
        self.carrier.later(self._streamed(self.make_stream(order)))

    async def _streamed(self, stream: TelnyxStream) -> None:
        if stream.failure is not None or not await self.open_stream(stream):
            reason = {"stream_url": stream.order.url, "stream_type": "websocket"}
            self.event(
                "streaming.failed", failure_reason="connection_failed", stream_id=stream.id, stream_params=reason
            )
            return
        self.event("streaming.started", stream_url=stream.order.url)
        await stream.closed.wait()
        if not self.over:
            self.event("streaming.stopped", stream_url=stream.order.url)

    async def dialled_by(self, command: Mapping[str, Any], answer: Answer) -> None:
        """An outgoing Call Control call."""
        self.event("call.initiated", direction="outgoing", state="bridging", start_time=_now())
        if not await self._rung(answer, float(command.get("timeout_secs", 30))):
            return
        self.pick_up(command)
        if command.get("answering_machine_detection", "disabled") != "disabled":
            await self.pace.sleep(answer.amd_s)
            self.answered_by = answer.answered_by
            machine = "machine" if answer.answered_by.startswith("machine") else answer.answered_by
            self.event("call.machine.detection.ended", result={"unknown": "not_sure"}.get(machine, machine))

    async def ordered_by(self, form: Mapping[str, str], source: Source, answer: Answer) -> None:
        """An outgoing TeXML call."""
        self.progress("initiated")
        self.progress("ringing")
        if not await self._rung(answer, float(form.get("Timeout", "30"))):
            return
        self.answer()
        self.progress("answered")
        if "MachineDetection" in form:
            self.answered_by = answer.answered_by
            if form.get("AsyncAmd") == "true" and "AsyncAmdStatusCallback" in form:
                self.carrier.later(self._detected(form["AsyncAmdStatusCallback"], answer))
        self.begin(source)

    async def _detected(self, url: str, answer: Answer) -> None:
        await self.pace.sleep(answer.amd_s)
        self.requests.append(await self.carrier.webhooks.form(url, self.fields(AnsweredBy=answer.answered_by)))
        self.changed()

    async def _rung(self, answer: Answer, timeout_s: float) -> bool:
        self.status = "ringing"
        await self.pace.sleep(min(answer.ring_s, timeout_s))
        outcome = "no-answer" if answer.ring_s > timeout_s else answer.outcome
        if outcome != "answered":
            self.hangup_source = "callee"
            await self.finish(outcome)
        return not self.over

    async def transfer(self, command: Mapping[str, Any]) -> None:
        """To another leg; where that fails the call goes on as it was. The stream stays, bridged or not: what happens
        to it is not documented."""
        timeout_s = float(command.get("timeout_secs", 30))
        leg = DialledLeg(_leg_id(), command["to"], command.get("from", self.to), timeout_s)
        state = command.get("target_leg_client_state")
        self.dialled.append(leg)
        self.event("call.initiated", leg=leg, client_state=state, direction="outgoing", state="bridging")
        script = self.carrier.dials.get(leg.to)
        ring_s = script.ring_s if script else 0.0
        await self.pace.sleep(min(ring_s, timeout_s))
        if ring_s > timeout_s or (script and script.outcome != "answered"):
            outcome = "no-answer" if ring_s > timeout_s or script is None else script.outcome
            leg.end(outcome)
            causes = {"hangup_cause": _CAUSES[outcome], "hangup_source": "callee", "sip_hangup_cause": _SIP[outcome]}
            self.event("call.hangup", leg=leg, client_state=state, **causes)
            return
        leg.status = "in-progress"
        self.event("call.answered", leg=leg, client_state=state, state="answered")
        self.event("call.bridged", leg=leg, client_state=state)
        self.event("call.bridged")
        if script is not None and script.talk_s is not None:
            self.pace.call_at(self.pace.now_s() + script.talk_s, leg.hang_up)
        await leg.wait()
        self.event("call.hangup", leg=leg, client_state=state, hangup_cause="normal_clearing", hangup_source="callee")
        if command.get("park_after_unbridge") != "self":
            await self.finish("completed")


def _leg_id() -> str:
    return f"v3:{uuid.uuid4().hex}{uuid.uuid4().hex[:20]}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
