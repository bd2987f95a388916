"""TwiML and TeXML, carried out: https://www.twilio.com/docs/voice/twiml,
https://developers.telnyx.com/docs/voice/programmable-voice/texml-setup."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import urljoin
from xml.etree import ElementTree as ET

from tests.fakes.streams import CallStream, Failure, StreamOrder

if TYPE_CHECKING:
    from tests.fakes.calls import FakeCall

Outcome = Literal["answered", "busy", "no-answer", "failed"]
XML_TYPES = ("text/xml", "application/xml", "text/html")
DIGIT_S = 0.2
STREAM_ERRORS: dict[Failure, int] = {
    "timeout": 31901,
    "refused": 31902,
    "tls": 31910,
    "handshake": 31920,
    "scheme": 31922,
    "malformed": 31923,
}


@dataclass(frozen=True, slots=True)
class Fetch:
    url: str
    method: str = "POST"
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Literally:
    """A document that was sent by REST."""

    xml: str


Source = Fetch | Literally


@dataclass(frozen=True, slots=True)
class Dial:
    """What becomes of a leg that is dialled: it rings for ``ring_s``, then that; answered, it talks for ``talk_s``, or
    until somebody hangs up."""

    outcome: Outcome = "answered"
    ring_s: float = 0.0
    talk_s: float | None = None


class DialledLeg:
    """The far end of a ``<Dial>`` or of a transfer."""

    def __init__(self, sid: str, to: str, caller_id: str, timeout_s: float) -> None:
        self.sid = sid
        self.to = to
        self.caller_id = caller_id
        self.timeout_s = timeout_s
        self.status = "initiated"
        self.duration_s = 0
        self._over = asyncio.Event()

    def hang_up(self) -> None:
        self.end("completed")

    def end(self, status: str) -> None:
        if not self._over.is_set():
            self.status = status
            self._over.set()

    async def wait(self) -> None:
        await self._over.wait()


class _HungUp(Exception):
    def __init__(self, status: str = "completed") -> None:
        self.status = status


class Script:
    """Runs one call's documents, one after the other."""

    def __init__(self, call: FakeCall) -> None:
        self._call = call
        self._base = ""

    async def run(self, source: Source | None) -> None:
        call = self._call
        try:
            while source is not None:
                document = await self._loaded(source)
                source = await self._carried_out(document) if document is not None else None
        except _HungUp as over:
            await call.finish(over.status)
        else:
            call.answer()
            await call.finish("completed")

    async def _loaded(self, source: Source) -> ET.Element | None:
        call = self._call
        if isinstance(source, Literally):
            return self._parsed(source.xml.encode())
        self._base = source.url.partition("#")[0]
        request = await call.ask(source)
        code = 0
        if not request.ok:
            code = 11200 if request.status is not None or request.failure == "ct" else 11205
            call.trouble(code, f"HTTP retrieval failure: {request.method} {request.url} {request.status}")
        elif request.content_type.partition(";")[0].strip().lower() not in XML_TYPES:
            code = 12300
            call.trouble(code, f"Invalid Content-Type: {request.content_type!r}")
        else:
            document = self._parsed(request.answer)
            if document is not None:
                return document
            code = 12100
        fallback, call.fallback_url = call.fallback_url, None
        if fallback is None:
            return None
        return await self._loaded(Fetch(fallback, extra={"ErrorCode": str(code), "ErrorUrl": source.url}))

    def _parsed(self, body: bytes) -> ET.Element | None:
        try:
            root = ET.fromstring(self._call.document(body))
        except ET.ParseError as error:
            self._call.trouble(12100, f"Document parse failure: {error}")
            return None
        if root.tag != "Response":
            self._call.trouble(12100, f"Document parse failure: {root.tag} is no Response")
            return None
        return root

    async def _carried_out(self, document: ET.Element) -> Source | None:
        call = self._call
        for verb in document:
            if verb.tag not in ("Reject", "Redirect", "Hangup"):
                call.answer()
            match verb.tag:
                case "Connect" | "Dial":
                    ask = await (self._connect(verb) if verb.tag == "Connect" else self._dial(verb))
                    if ask is not None:
                        return ask
                case "Start":
                    await self._start(verb)
                case "Pause":
                    await call.pace.sleep(float(verb.get("length", "1")))
                case "Redirect":
                    return Fetch(self._url((verb.text or "").strip()), verb.get("method", "POST"))
                case "Play":
                    digits = verb.get("digits", "")
                    call.digits_played += digits
                    call.changed()
                    await call.pace.sleep(sum({"w": 0.5, "W": 1.0}.get(digit, DIGIT_S) for digit in digits))
                case "Say":
                    call.said_to_caller.append("".join(verb.itertext()).strip())
                    call.changed()
                case "Hangup":
                    raise _HungUp("completed" if call.answered_s is not None else "failed")
                case "Reject":
                    raise _HungUp("busy" if verb.get("reason") == "busy" else "failed")
                case _:
                    call.trouble(12200, f"Schema validation warning, or not modelled here: {verb.tag}")
        return None

    async def _connect(self, verb: ET.Element) -> Source | None:
        noun = verb.find("Stream")
        if noun is None:
            self._call.trouble(12200, "Connect without a Stream")
            return None
        stream = self._call.make_stream(self._call.stream_order(noun, bidirectional=True))
        try:
            if await self._opened(stream):
                await stream.closed.wait()
        finally:
            stream.stop()
            if stream.opened.is_set():
                self._tell(stream, "stream-stopped")
        return self._action(verb)

    async def _start(self, verb: ET.Element) -> None:
        noun = verb.find("Stream")
        if noun is not None:
            stream = self._call.make_stream(self._call.stream_order(noun, bidirectional=False))
            if await self._opened(stream):
                self._call.carrier.later(self._watch(stream))

    async def _watch(self, stream: CallStream) -> None:
        await stream.closed.wait()
        self._tell(stream, "stream-stopped")

    async def _opened(self, stream: CallStream) -> bool:
        if stream.failure is None and await self._call.open_stream(stream):
            self._tell(stream, "stream-started")
            return True
        assert stream.failure is not None
        code = STREAM_ERRORS[stream.failure]
        self._call.trouble(code, f"Stream: {stream.failure}: {stream.order.url}")
        self._tell(stream, self._call.stream_failed_event, StreamError=str(code))
        return False

    def _tell(self, stream: CallStream, event: str, **extra: str) -> None:
        order: StreamOrder = stream.order
        if order.status_url is not None:
            url = self._url(order.status_url)
            fields = self._call.stream_fields(stream, event) | extra
            self._call.carrier.later(self._told(url, fields, order.status_method))

    async def _told(self, url: str, fields: Mapping[str, str], method: str) -> None:
        self._call.requests.append(await self._call.carrier.webhooks.form(url, fields, method=method))
        self._call.changed()

    async def _dial(self, verb: ET.Element) -> Source | None:
        call = self._call
        conference = verb.find("Conference")
        if conference is not None:
            return await self._confer(verb, (conference.text or "").strip())
        nouns = [noun for noun in verb if noun.tag in ("Number", "Sip", "Client")]
        to = ((nouns[0].text if nouns else verb.text) or "").strip()
        sid = call.new_leg_sid()
        leg = DialledLeg(sid, to, verb.get("callerId", call.from_), float(verb.get("timeout", "30")))
        call.dialled.append(leg)
        call.changed()
        script = call.carrier.dials.get(to, Dial())
        try:
            await self._rung(leg, script, nouns[0] if nouns else None)
        finally:
            leg.end("canceled")
        return self._action(
            verb,
            DialCallStatus=leg.status,
            DialCallSid=leg.sid,
            **({"DialCallDuration": str(leg.duration_s)} if leg.status == "completed" else {}),
        )

    async def _rung(self, leg: DialledLeg, script: Dial, noun: ET.Element | None) -> None:
        call = self._call
        self._tell_leg(noun, leg, "initiated", 0)
        leg.status = "ringing"
        self._tell_leg(noun, leg, "ringing", 1)
        await call.pace.sleep(min(script.ring_s, leg.timeout_s))
        if script.ring_s > leg.timeout_s:
            leg.end("no-answer")
        elif script.outcome != "answered":
            leg.end(script.outcome)
        else:
            leg.status = "in-progress"
            call.changed()
            self._tell_leg(noun, leg, "answered", 2)
            answered_s = call.pace.now_s()
            if script.talk_s is not None:
                call.pace.call_at(answered_s + script.talk_s, leg.hang_up)
            await leg.wait()
            leg.duration_s = int(call.pace.now_s() - answered_s)
        self._tell_leg(noun, leg, "completed", 3)

    def _tell_leg(self, noun: ET.Element | None, leg: DialledLeg, event: str, number: int) -> None:
        url = noun.get("statusCallback") if noun is not None else None
        if noun is None or url is None or event not in noun.get("statusCallbackEvent", "completed").split():
            return
        fields = self._call.fields(
            CallSid=leg.sid,
            ParentCallSid=self._call.sid,
            CallStatus=leg.status,
            Direction="outbound-dial",
            From=leg.caller_id,
            To=leg.to,
            CallbackSource="call-progress-events",
            SequenceNumber=str(number),
        )
        self._call.carrier.later(self._told(self._url(url), fields, noun.get("statusCallbackMethod", "POST")))

    async def _confer(self, verb: ET.Element, name: str) -> Source | None:
        call = self._call
        members = call.carrier.conferences.setdefault(name, [])
        members.append(call)
        call.changed()
        try:
            await call.until(lambda: call not in members, within_s=86_400)
        finally:
            if call in members:
                members.remove(call)
        return self._action(verb, DialCallStatus="completed")

    def _action(self, verb: ET.Element, **extra: str) -> Source | None:
        action = verb.get("action")
        return None if action is None else Fetch(self._url(action), verb.get("method", "POST"), extra)

    def _url(self, url: str) -> str:
        return urljoin(self._base, url) if self._base else url


def new_hex() -> str:
    return uuid.uuid4().hex
