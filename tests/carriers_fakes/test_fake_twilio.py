"""The fake Twilio against small servers that this test writes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientError, WSMsgType, web
from tests.fakes.calls import Answer
from tests.fakes.codecs import codec
from tests.fakes.pace import SteppedPace
from tests.fakes.twilio import ACCOUNT_SID, AUTH_TOKEN, FakeTwilio
from tests.fakes.verbs import Dial
from twilio.base.exceptions import TwilioRestException
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client

TONE = b"".join((round(8000 * (i % 40 - 20) / 20)).to_bytes(2, "little", signed=True) for i in range(160))
"""20 ms."""
Conversation = Callable[["Peer", web.WebSocketResponse], Awaitable[None]]


class Peer:
    """A customer's server: TwiML by path, one conversation for each stream."""

    def __init__(self) -> None:
        self.url = ""
        self.documents: dict[str, str | Callable[[dict[str, str]], web.Response]] = {}
        self.forms: list[tuple[str, dict[str, str]]] = []
        self.refused = 0
        self.handshakes: list[web.Request] = []
        self.talk: Conversation = echo

    def stream(self, **attributes: str) -> str:
        given = "".join(f' {name}="{value}"' for name, value in attributes.items())
        url = self.url.replace("http:", "ws:")
        return f'<Stream url="{url}/stream?token=lost"{given}><Parameter name="token" value="abc"/></Stream>'

    def connect(self, after: str = "", **attributes: str) -> str:
        return f"<Response><Connect>{self.stream(**attributes)}</Connect>{after}</Response>"

    def paths(self) -> list[str]:
        return [path for path, _ in self.forms]

    async def on_form(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.forms.append((request.path, form))
        signature = request.headers["X-Twilio-Signature"]
        if not RequestValidator(AUTH_TOKEN).validate(f"{self.url}{request.path_qs}", form, signature):
            self.refused += 1
            return web.Response(status=403)
        document = self.documents.get(request.path, "<Response/>")
        return document(form) if callable(document) else web.Response(text=document, content_type="text/xml")

    async def on_stream(self, request: web.Request) -> web.WebSocketResponse:
        self.handshakes.append(request)
        url = f"{self.url.replace('http:', 'wss:')}{request.path_qs}"
        if not RequestValidator(AUTH_TOKEN).validate(url, {}, request.headers["X-Twilio-Signature"]):
            raise web.HTTPForbidden
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await self.talk(self, socket)
        return socket


async def echo(_: Peer, socket: web.WebSocketResponse) -> None:
    sid = ""
    async for message in socket:
        event = json.loads(message.data)
        sid = event.get("streamSid", sid)
        if event["event"] == "media":
            await socket.send_json(
                {"event": "media", "streamSid": sid, "media": {"payload": event["media"]["payload"]}}
            )


async def listen(_: Peer, socket: web.WebSocketResponse) -> None:
    async for _message in socket:
        pass


def sending(*messages: Any, close: bool = False) -> Conversation:
    """Sends that after ``start``: dicts with the stream's id, text and bytes as they are."""

    async def talk(peer: Peer, socket: web.WebSocketResponse) -> None:
        await socket.receive()
        sid = json.loads((await socket.receive()).data)["streamSid"]
        for message in messages:
            if isinstance(message, dict):
                await socket.send_json({"streamSid": sid, **message})
            elif isinstance(message, bytes):
                await socket.send_bytes(message)
            else:
                await socket.send_str(message)
        if close:
            await socket.close()
        await listen(peer, socket)

    return talk


@asynccontextmanager
async def served(peer: Peer) -> AsyncIterator[Peer]:
    app = web.Application()
    app.router.add_get("/stream", peer.on_stream)
    app.router.add_post("/{path:.*}", peer.on_form)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    peer.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield peer
    finally:
        await runner.cleanup()


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with served(Peer()) as peer:
        peer.documents["/voice"] = peer.connect()
        yield peer


@pytest.fixture
async def pace() -> SteppedPace:
    return SteppedPace()


@pytest.fixture
async def twilio(pace: SteppedPace) -> AsyncIterator[FakeTwilio]:
    async with FakeTwilio(insecure=True, pace=pace) as twilio:
        yield twilio


def media(pcm: bytes) -> dict[str, Any]:
    import base64

    return {"event": "media", "media": {"payload": base64.b64encode(codec("PCMU").encode(pcm)).decode()}}


def mark(name: str) -> dict[str, Any]:
    return {"event": "mark", "mark": {"name": name}}


async def test_the_caller_hears_an_echo(peer: Peer, twilio: FakeTwilio, pace: SteppedPace) -> None:
    call = await twilio.incoming(f"{peer.url}/voice", "+4930111", "+1415222")
    stream = await call.streaming()
    call.say(TONE * 5)
    await pace.advance(0.2)
    await call.until(lambda: len(stream.arrivals_s) == 10)
    await pace.advance(1)
    mulaw = codec("PCMU")
    assert b"".join(part.pcm for part in stream.played.heard(1))[: 320 * 5] == mulaw.decode(mulaw.encode(TONE * 5))
    assert call.errors == []
    form = peer.forms[0][1]
    assert (form["From"], form["To"], form["CallStatus"], form["CallSid"]) == (
        "+4930111",
        "+1415222",
        "ringing",
        call.sid,
    )
    await call.hang_up()
    assert await call.ended() == "completed"
    assert peer.refused == 0


async def test_messages_are_as_documented(peer: Peer, twilio: FakeTwilio, pace: SteppedPace) -> None:
    heard: list[dict[str, Any]] = []

    async def talk(_: Peer, socket: web.WebSocketResponse) -> None:
        async for message in socket:
            assert message.type is WSMsgType.TEXT
            heard.append(json.loads(message.data))

    peer.talk = talk
    call = await twilio.incoming(f"{peer.url}/voice")
    stream = await call.streaming()
    call.press("1")
    await pace.advance(0.04)
    await call.hang_up()
    await stream.closed.wait()
    call_ids = {"accountSid": ACCOUNT_SID, "callSid": call.sid}
    assert heard[0] == {"event": "connected", "protocol": "Call", "version": "1.0.0"}
    assert heard[1] == {
        "event": "start",
        "sequenceNumber": "1",
        "streamSid": stream.id,
        "start": {
            **call_ids,
            "streamSid": stream.id,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"token": "abc"},
        },
    }
    assert heard[2]["dtmf"] == {"track": "inbound_track", "digit": "1"}
    assert heard[4]["media"] == {
        "track": "inbound",
        "chunk": "2",
        "timestamp": "25",
        "payload": heard[4]["media"]["payload"],
    }
    assert heard[5] == {"event": "stop", "sequenceNumber": "5", "streamSid": stream.id, "stop": call_ids}
    assert peer.handshakes[0].query_string == ""
    assert "Sec-WebSocket-Extensions" not in peer.handshakes[0].headers
    assert "Origin" not in peer.handshakes[0].headers


async def test_marks_return_when_they_have_been_heard(peer: Peer, twilio: FakeTwilio, pace: SteppedPace) -> None:
    peer.talk = sending(mark("at once"), media(TONE * 10), mark("after"), media(TONE * 50), mark("cleared"))
    call = await twilio.incoming(f"{peer.url}/voice")
    stream = await call.streaming()
    await call.until(lambda: len(stream.received) == 3)
    assert stream.marks_returned == ["at once"]
    await pace.advance(0.19)
    assert stream.marks_returned == ["at once"]
    await pace.advance(0.02)
    assert stream.marks_returned == ["at once", "after"]
    stream.clear()
    assert stream.marks_returned == ["at once", "after", "cleared"]
    await pace.advance(5)
    assert call.heard_s == pytest.approx(0.21, abs=1e-6)


async def test_what_nobody_takes_is_told(peer: Peer, twilio: FakeTwilio) -> None:
    peer.talk = sending(b"raw", b"raw", "no json", {"event": "clear", "more": 1}, {**mark("x"), "streamSid": "MZ0"})
    call = await twilio.incoming(f"{peer.url}/voice")
    await call.until(lambda: len(call.errors) == 2)
    assert [trouble.code for trouble in call.errors] == [31950, 31951]
    assert call.open_streams
    peer.talk = sending({"event": "hello"})
    other = await twilio.incoming(f"{peer.url}/voice")
    assert await other.ended() == "completed"
    assert [trouble.code for trouble in other.errors] == [31924]


async def test_ten_minutes_are_all_that_is_kept(peer: Peer, twilio: FakeTwilio) -> None:
    peer.talk = sending(*[media(TONE * 50 * 60)] * 11)
    call = await twilio.incoming(f"{peer.url}/voice")
    stream = await call.streaming()
    await call.until(lambda: len(stream.arrivals_s) == 11)
    assert [trouble.code for trouble in call.errors] == [31931]
    assert stream.played.queued_s(0) == pytest.approx(600)


async def test_the_next_verb_runs_when_the_server_closes(peer: Peer, twilio: FakeTwilio) -> None:
    peer.documents["/voice"] = peer.connect("<Say>bye</Say><Redirect>/next?a=1&amp;b=2</Redirect>")
    peer.documents["/next"] = "<Response><Hangup/></Response>"
    peer.talk = sending(close=True)
    call = await twilio.incoming(f"{peer.url}/voice")
    assert await call.ended() == "completed"
    assert call.said_to_caller == ["bye"]
    assert peer.paths() == ["/voice", "/next"]
    assert peer.refused == 0
    assert peer.forms[1][1]["CallStatus"] == "in-progress"


@pytest.mark.parametrize("code", [1000, 1008, 4001])
async def test_the_close_code_is_kept(peer: Peer, twilio: FakeTwilio, code: int) -> None:
    async def talk(_: Peer, socket: web.WebSocketResponse) -> None:
        await socket.receive()
        await socket.close(code=code)

    peer.talk = talk
    call = await twilio.incoming(f"{peer.url}/voice")
    await call.ended()
    assert (call.streams[0].close_code, call.streams[0].over) == (code, "peer")


async def test_an_action_is_asked_what_comes_next(peer: Peer, twilio: FakeTwilio) -> None:
    peer.documents["/voice"] = f'<Response><Connect action="/then">{peer.stream()}</Connect><Say>no</Say></Response>'
    peer.documents["/then"] = "<Response><Say>yes</Say></Response>"
    peer.talk = sending(close=True)
    call = await twilio.incoming(f"{peer.url}/voice")
    await call.ended()
    assert call.said_to_caller == ["yes"]


async def test_a_lost_connection_sends_no_stop(peer: Peer, twilio: FakeTwilio) -> None:
    peer.documents["/voice"] = peer.connect("<Redirect>/voice</Redirect>")
    call = await twilio.incoming(f"{peer.url}/voice")
    first = await call.streaming()
    first.abort()
    second = await call.streaming(2)
    assert first.id != second.id
    assert not call.over


async def test_streams_tell_their_status(peer: Peer, twilio: FakeTwilio) -> None:
    peer.documents["/voice"] = peer.connect(statusCallback="/stream-status", name="ours")
    call = await twilio.incoming(f"{peer.url}/voice")
    await call.streaming()
    await call.hang_up()
    await call.until(lambda: len(peer.forms) == 3)
    assert [form["StreamEvent"] for _, form in peer.forms[1:]] == ["stream-started", "stream-stopped"]
    assert peer.forms[1][1]["StreamName"] == "ours"


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("\n<?xml version='1.0'?><Response/>", 12100),
        ("<Responses/>", 12100),
        ('<Response><Connect><Stream url="http://x/y"/></Connect></Response>', 31923),
        ('<Response><Connect><Stream url="ws://127.0.0.1:1/y"/></Connect></Response>', 31902),
    ],
)
async def test_documents_that_are_wrong(peer: Peer, twilio: FakeTwilio, document: str, code: int) -> None:
    peer.documents["/voice"] = document
    call = await twilio.incoming(f"{peer.url}/voice")
    await call.ended()
    assert [trouble.code for trouble in call.errors] == [code]


async def test_only_wss_is_dialled(peer: Peer) -> None:
    async with FakeTwilio() as strict:
        call = await strict.incoming(f"{peer.url}/voice")
        await call.ended()
    assert [trouble.code for trouble in call.errors] == [31922]


async def test_a_forged_handshake_is_turned_away(peer: Peer, twilio: FakeTwilio) -> None:
    twilio.forge(
        lambda url, fields, body: (
            {"X-Twilio-Signature": "AAAA"} if url.startswith("wss") else twilio.signed(url, fields, body)
        )
    )
    call = await twilio.incoming(f"{peer.url}/voice")
    await call.ended()
    assert [trouble.code for trouble in call.errors] == [31920]


async def test_a_public_address_is_served_behind_a_proxy(peer: Peer, pace: SteppedPace) -> None:
    real, peer.url = peer.url, "https://kallglot.test"
    peer.documents["/voice"] = peer.connect().replace("https:", "wss:")
    async with FakeTwilio(hosts={"https://kallglot.test": real}, pace=pace) as twilio:
        peer.handshakes.clear()
        call = await twilio.incoming("https://kallglot.test/voice")
        await call.ended()
        assert peer.refused == 0
        assert peer.handshakes[0].headers["X-Forwarded-Proto"] == "https"
        assert peer.handshakes[0].host == "kallglot.test"


async def test_requests_are_tried_again_as_asked(twilio: FakeTwilio, free_port: int) -> None:
    address = f"http://127.0.0.1:{free_port}/voice"
    once = await twilio.incoming(address, fallback_url=f"{address}/fallback#rc=0")
    assert await once.ended() == "completed"
    assert [request.attempts for request in once.requests] == [2, 1]
    assert once.requests[1].fields["ErrorCode"] == "11200"
    often = await twilio.incoming(f"{address}#rc=4&rp=all&ct=200")
    await often.ended()
    assert [request.attempts for request in often.requests] == [5]


async def test_server_errors_are_tried_again_if_the_policy_says_so(peer: Peer, twilio: FakeTwilio) -> None:
    peer.documents["/voice"] = lambda _: web.Response(status=500)
    for fragment, attempts in (("", 1), ("#rc=2&rp=5xx", 3), ("#rc=2&rp=4xx", 1)):
        call = await twilio.incoming(f"{peer.url}/voice{fragment}")
        await call.ended()
        assert call.requests[0].attempts == attempts


async def test_a_redirect_is_followed_and_signed_anew(peer: Peer, twilio: FakeTwilio) -> None:
    peer.documents["/voice"] = lambda _: web.Response(status=307, headers={"Location": "/moved"})
    peer.documents["/moved"] = "<Response><Hangup/></Response>"
    call = await twilio.incoming(f"{peer.url}/voice")
    await call.ended()
    assert peer.paths() == ["/voice", "/moved"]
    assert peer.refused == 0


@pytest.mark.parametrize("outcome", ["busy", "no-answer", "failed"])
async def test_a_dial_that_fails_asks_its_action(peer: Peer, twilio: FakeTwilio, outcome: Any) -> None:
    peer.documents["/voice"] = (
        '<Response><Dial action="/result" callerId="+1"><Number>+49301</Number></Dial></Response>'
    )
    twilio.dials["+49301"] = Dial(outcome)
    call = await twilio.incoming(f"{peer.url}/voice")
    await call.ended()
    assert peer.forms[1][0] == "/result"
    assert peer.forms[1][1]["DialCallStatus"] == outcome


async def test_a_dial_is_answered_and_hung_up(peer: Peer, twilio: FakeTwilio) -> None:
    peer.documents["/voice"] = "<Response><Dial>+49301</Dial><Play digits='w12#'/></Response>"
    call = await twilio.incoming(f"{peer.url}/voice")
    await call.until(lambda: call.dialled and call.dialled[0].status == "in-progress")
    call.dialled[0].hang_up()
    await call.until(lambda: call.digits_played == "w12#")


async def test_what_is_not_known_of_a_stream_is_ignored(peer: Peer, twilio: FakeTwilio) -> None:
    """As ``connect.stream({url, parameters})`` of the Node library makes it."""
    url = peer.url.replace("http:", "ws:")
    peer.documents["/voice"] = (
        f'<Response><Connect><Stream url="{url}/stream" parameters="[object Object]"/></Connect></Response>'
    )
    call = await twilio.incoming(f"{peer.url}/voice")
    stream = await call.streaming()
    assert stream.order.parameters == {}


async def test_other_signatures(peer: Peer, twilio: FakeTwilio) -> None:
    twilio.shared_key = ("webhooks_sharedkey_1", "secret")
    headers = twilio.signed("https://a.test/b", {"x": "y"}, b"")
    assert headers["X-Twilio-Webhooks-Signature-Settings"] == "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"
    signature = headers["X-Twilio-Signature"]
    assert RequestValidator("secret").validate("https://a.test/b", {"x": "y"}, signature, "HMAC_SHA256")
    twilio.shared_key = None
    assert await twilio.post_json(f"{peer.url}/json", {"a": 1}) == 200
    request = twilio.webhooks.log[-1]
    signature = twilio.signed(request.url, {}, b"")["X-Twilio-Signature"]
    assert RequestValidator(AUTH_TOKEN).validate(request.url, request.body.decode(), signature)
    assert not RequestValidator(AUTH_TOKEN).validate(request.url, request.body.decode() + " ", signature)


async def test_a_fork_hears_both_sides(peer: Peer, twilio: FakeTwilio, pace: SteppedPace) -> None:
    tracks: list[str] = []

    async def talk(peer: Peer, socket: web.WebSocketResponse) -> None:
        async for message in socket:
            event = json.loads(message.data)
            if event["event"] == "start" and len(event["start"]["tracks"]) == 1:
                await echo(peer, socket)
            elif event["event"] == "media":
                tracks.append(event["media"]["track"])

    peer.talk = talk
    url = peer.url.replace("http:", "ws:")
    fork = f'<Start><Stream url="{url}/stream" track="both_tracks"/></Start>'
    peer.documents["/voice"] = f"<Response>{fork}<Connect>{peer.stream()}</Connect></Response>"
    call = await twilio.incoming(f"{peer.url}/voice")
    await call.streaming(2)
    await pace.advance(0.04)
    await call.hang_up()
    await call.streams[0].closed.wait()
    assert tracks == ["inbound", "outbound"] * 2
    assert [stream.order.bidirectional for stream in call.streams] == [False, True]


# --- REST


class Redirected(AsyncTwilioHttpClient):
    """The official client, which has no setting for another address."""

    base_url = ""

    async def request(self, method: str, url: str, *args: Any, **options: Any) -> Any:
        return await super().request(method, url.replace("https://api.twilio.com", self.base_url), *args, **options)


@pytest.fixture
async def client(twilio: FakeTwilio) -> AsyncIterator[Client]:
    http = Redirected()
    http.base_url = twilio.api_url
    yield Client(ACCOUNT_SID, AUTH_TOKEN, http_client=http)
    await http.close()


async def placed(client: Client, peer: Peer, to: str = "+4930123456", **more: Any) -> Any:
    return await client.calls.create_async(
        to=to,
        from_="+14155550100",
        url=f"{peer.url}/voice",
        status_callback=f"{peer.url}/status",
        status_callback_event=["initiated", "ringing", "answered", "completed"],
        **more,
    )


def statuses(peer: Peer) -> list[tuple[str, str]]:
    return [(form["SequenceNumber"], form["CallStatus"]) for path, form in peer.forms if path == "/status"]


async def test_a_placed_call_streams_and_is_hung_up(peer: Peer, twilio: FakeTwilio, client: Client) -> None:
    made = await placed(client, peer)
    call = await twilio.outgoing()
    assert (made.sid, made.status, made.direction) == (call.sid, "queued", "outbound-api")
    await call.streaming()
    assert (await client.calls(call.sid).fetch_async()).status == "in-progress"
    await client.calls(call.sid).update_async(status="completed")
    assert await call.ended() == "completed"
    assert statuses(peer) == [("0", "initiated"), ("1", "ringing"), ("2", "in-progress"), ("3", "completed")]
    assert peer.refused == 0
    with pytest.raises(TwilioRestException) as refused:
        await client.calls(call.sid).update_async(status="completed")
    assert refused.value.code == 21220


async def test_an_update_ends_the_stream_and_opens_another(peer: Peer, twilio: FakeTwilio, client: Client) -> None:
    call = await twilio.incoming(f"{peer.url}/voice")
    first = await call.streaming()
    document = f'<Response><Play digits="1"/><Connect>{peer.stream()}</Connect></Response>'
    await client.calls(call.sid).update_async(twiml=document)
    await first.closed.wait()
    assert first.over == "stopped"
    assert isinstance(twilio.pace, SteppedPace)
    await twilio.pace.advance(1)
    second = await call.streaming(2)
    assert (second.id != first.id, call.digits_played) == (True, "1")


@pytest.mark.parametrize("outcome", ["busy", "no-answer", "failed"])
async def test_nobody_answers(peer: Peer, twilio: FakeTwilio, client: Client, outcome: Any) -> None:
    twilio.answers["+4930123456"] = Answer(outcome)
    await placed(client, peer)
    assert await (await twilio.outgoing()).ended() == outcome
    assert statuses(peer)[-1] == ("2", outcome)


async def test_a_machine_answers(peer: Peer, twilio: FakeTwilio, client: Client) -> None:
    twilio.answers["+4930123456"] = Answer(answered_by="machine_start")
    amd = {"async_amd": "true", "async_amd_status_callback": f"{peer.url}/amd"}
    await placed(client, peer, machine_detection="Enable", **amd)
    call = await twilio.outgoing()
    await call.until(lambda: "/amd" in peer.paths())
    assert dict(peer.forms)["/amd"]["AnsweredBy"] == "machine_start"


async def test_a_ringing_call_is_cancelled(peer: Peer, twilio: FakeTwilio, client: Client) -> None:
    twilio.answers["+4930123456"] = Answer(ring_s=10)
    await placed(client, peer)
    call = await twilio.outgoing()
    await client.calls(call.sid).update_async(status="canceled")
    assert await call.ended() == "canceled"


@pytest.mark.parametrize("fault", ["silence", "drop"])
async def test_a_call_is_made_although_nothing_comes_back(
    peer: Peer, twilio: FakeTwilio, client: Client, fault: Any
) -> None:
    twilio.rest.fail_next("POST", "/Calls.json", fault)
    with pytest.raises((TimeoutError, ClientError)):
        async with asyncio.timeout(0.3):
            await placed(client, peer)
    call = await twilio.outgoing()
    listed = await client.calls.list_async(
        to=call.to, from_=call.from_, start_time_after=call.date_created.replace(hour=0)
    )
    assert [one.sid for one in listed] == [call.sid]


@pytest.mark.parametrize(("status", "code"), [(429, 20429), (500, 20500)])
async def test_a_refusal(peer: Peer, twilio: FakeTwilio, client: Client, status: int, code: int) -> None:
    twilio.rest.fail_next("POST", "/Calls.json", "refuse", status=status)
    with pytest.raises(TwilioRestException) as refused:
        await placed(client, peer)
    assert (refused.value.status, refused.value.code, twilio.calls) == (status, code, {})


async def test_refusals_are_twilios(peer: Peer, twilio: FakeTwilio, client: Client) -> None:
    with pytest.raises(TwilioRestException) as refused:
        await placed(client, peer, to="030")
    assert refused.value.code == 21211
    client.auth = (ACCOUNT_SID, "wrong")
    with pytest.raises(TwilioRestException) as refused:
        await client.calls("CA0").fetch_async()
    assert (refused.value.status, refused.value.code) == (401, 20003)


@pytest.mark.parametrize(("delivery", "order"), [("swapped", "1 0 3 2"), ("twice", "0 0 1 1 2 2 3 3")])
async def test_callbacks_come_as_they_like(
    peer: Peer, twilio: FakeTwilio, client: Client, delivery: Any, order: str
) -> None:
    twilio.delivery = delivery
    await placed(client, peer)
    call = await twilio.outgoing()
    await call.streaming()
    await call.hang_up()
    await call.ended()
    assert " ".join(number for number, _ in statuses(peer)) == order


async def test_two_hundred_calls_at_once(peer: Peer, twilio: FakeTwilio, pace: SteppedPace) -> None:
    calls = [await twilio.incoming(f"{peer.url}/voice") for _ in range(200)]
    streams = [await call.streaming() for call in calls]
    for call in calls:
        call.say(TONE * 5)
    await pace.advance(0.1)
    await asyncio.gather(
        *(call.until(lambda s=s: len(s.arrivals_s) == 5) for call, s in zip(calls, streams, strict=True))
    )
    assert not [call.errors for call in calls if call.errors]
