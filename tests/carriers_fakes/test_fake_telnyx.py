"""The fake Telnyx against a small server that this test writes, by the official client."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from aiohttp import web
from nacl.signing import VerifyKey
from telnyx import AsyncTelnyx, UnprocessableEntityError
from tests.fakes.calls import Answer
from tests.fakes.codecs import codec
from tests.fakes.pace import SteppedPace
from tests.fakes.telnyx import API_KEY, CONNECTION_ID, FakeTelnyx
from tests.fakes.verbs import Dial

Conversation = Callable[["Peer", web.WebSocketResponse], Awaitable[None]]
STATE = base64.b64encode(b"{}").decode()


def tone(rate_hz: int, seconds: float) -> bytes:
    t = np.arange(round(rate_hz * seconds)) / rate_hz
    return (8000 * np.sin(2 * np.pi * 440 * t)).astype(np.int16).tobytes()


def mp3(seconds: float) -> str:
    file = io.BytesIO()
    soundfile.write(file, np.frombuffer(tone(22050, seconds), np.int16), 22050, format="MP3")
    return base64.b64encode(file.getvalue()).decode()


class Peer:
    def __init__(self) -> None:
        self.url = ""
        self.answer: str | Callable[[dict[str, Any]], str] = ""
        self.client: AsyncTelnyx | None = None
        self.forms: list[dict[str, str]] = []
        self.events: list[dict[str, Any]] = []
        self.heard: list[dict[str, Any]] = []
        self.replies: list[dict[str, Any] | str | bytes] = []
        self.break_after: int | None = None
        self.connections = 0

    @property
    def stream_url(self) -> str:
        return self.url.replace("http", "ws") + "/stream"

    def texml(self, after: str = "", **attributes: str) -> str:
        given = "".join(f' {name}="{value}"' for name, value in attributes.items())
        noun = f'<Stream url="{self.stream_url}"{given}><Parameter name="token" value="abc"/></Stream>'
        return f"<Response><Connect>{noun}</Connect>{after}</Response>"

    async def on_post(self, request: web.Request) -> web.Response:
        raw = await request.text()
        assert self.client is not None
        if request.content_type == "application/json":
            self.client.webhooks.unwrap(raw, headers=request.headers)
            self.events.append(json.loads(raw)["data"])
        else:
            assert self.client.public_key is not None
            signature = base64.b64decode(request.headers["telnyx-signature-ed25519"])
            signed = f"{request.headers['telnyx-timestamp']}|{raw}".encode()
            VerifyKey(base64.b64decode(self.client.public_key)).verify(signed, signature)
            self.forms.append({name: str(value) for name, value in (await request.post()).items()})
        answer = self.answer(self.forms[-1]) if callable(self.answer) else self.answer
        return web.Response(text=answer, content_type="text/xml")

    async def on_stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.connections += 1
        async for message in socket:
            event = json.loads(message.data)
            self.heard.append(event)
            if event["event"] == "start":
                for reply in self.replies:
                    if isinstance(reply, dict):
                        await socket.send_json(reply)
                    else:
                        await (socket.send_bytes(reply) if isinstance(reply, bytes) else socket.send_str(reply))
            if self.break_after == self.connections and event["event"] == "media" and request.transport is not None:
                request.transport.abort()
        return socket


@pytest.fixture
async def pace() -> SteppedPace:
    return SteppedPace()


@pytest.fixture
async def telnyx(pace: SteppedPace) -> AsyncIterator[FakeTelnyx]:
    async with FakeTelnyx(insecure=True, pace=pace) as telnyx:
        yield telnyx


@pytest.fixture
async def client(telnyx: FakeTelnyx) -> AsyncIterator[AsyncTelnyx]:
    async with AsyncTelnyx(
        api_key=API_KEY, base_url=telnyx.api_url, public_key=telnyx.public_key, max_retries=0
    ) as client:
        yield client


@pytest.fixture
async def peer(client: AsyncTelnyx) -> AsyncIterator[Peer]:
    peer = Peer()
    peer.client = client
    app = web.Application()
    app.router.add_get("/stream", peer.on_stream)
    app.router.add_post("/{path:.*}", peer.on_post)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    peer.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    peer.answer = peer.texml(bidirectionalMode="rtp")
    yield peer
    await runner.cleanup()


def media(payload: bytes) -> dict[str, Any]:
    return {"event": "media", "media": {"payload": base64.b64encode(payload).decode()}}


def kinds(peer: Peer) -> list[str]:
    return [event["event_type"] for event in peer.events]


async def until(call: Any, happened: Callable[[], object]) -> None:
    """For what the server has got, which the call is not told of."""
    async with asyncio.timeout(10):
        while not happened():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_messages_are_as_documented(peer: Peer, telnyx: FakeTelnyx, pace: SteppedPace) -> None:
    call = await telnyx.incoming(f"{peer.url}/voice", "+4930111", "+1312222")
    stream = await call.streaming()
    call.press("1")
    await pace.advance(0.02)
    await call.hang_up()
    await stream.closed.wait()
    assert peer.forms[0]["CallSid"] == call.sid
    assert peer.heard[0] == {"event": "connected", "version": "1.0.0"}
    start = peer.heard[1]
    assert (start["stream_id"], start["sequence_number"]) == (stream.id, "1")
    assert start["start"]["media_format"] == {"encoding": "PCMU", "sample_rate": 8000, "channels": 1}
    assert start["start"]["custom_parameters"] == {"token": "abc"}
    assert (start["start"]["call_control_id"], start["start"]["from"]) == (call.sid, "+4930111")
    assert peer.heard[2]["dtmf"] == {"digit": "1"}
    assert peer.heard[3]["media"]["chunk"] == "1"
    assert peer.heard[-1]["stop"]["call_control_id"] == call.sid


@pytest.mark.parametrize(
    ("name", "rate_hz", "little"), [("PCMU", 8000, False), ("PCMA", 8000, False), ("G722", 16000, False),
                                    ("L16", 16000, False), ("L16", 16000, True)]
)  # fmt: skip
async def test_the_leg_has_its_codec(
    peer: Peer, telnyx: FakeTelnyx, pace: SteppedPace, name: str, rate_hz: int, little: bool
) -> None:
    call = await telnyx.incoming(f"{peer.url}/voice", codec=name, rate_hz=rate_hz, little_endian=little)
    stream = await call.streaming()
    call.say(tone(16000, 0.2), 16000)
    await pace.advance(0.2)
    await until(call, lambda: len(peer.heard) == 12)
    payload = b"".join(base64.b64decode(one["media"]["payload"]) for one in peer.heard[2:])
    pcm = np.frombuffer(codec(name, rate_hz, little_endian=little).decode(payload), np.int16)
    assert stream.inbound.name == name
    assert len(pcm) == rate_hz // 5
    assert np.abs(np.fft.rfft(pcm)).argmax() == 440 * 0.2
    assert peer.heard[1]["start"]["media_format"]["encoding"] == name


async def test_frames_overtake_each_other(peer: Peer, telnyx: FakeTelnyx, pace: SteppedPace) -> None:
    call = await telnyx.incoming(f"{peer.url}/voice", out_of_order=True)
    await call.streaming()
    await pace.advance(0.2)
    call.press("12")
    await until(call, lambda: len(peer.heard) == 13)
    assert [one["media"]["chunk"] for one in peer.heard[2:11]] == ["1", "2", "3", "4", "6", "5", "7", "8", "9"]
    digits = peer.heard[-2:]
    assert [one["dtmf"]["digit"] for one in digits] == ["2", "1"]
    assert digits[0]["occurred_at"] > digits[1]["occurred_at"]


async def test_rtp_messages_have_bounds(peer: Peer, telnyx: FakeTelnyx, pace: SteppedPace) -> None:
    peer.replies = [
        media(bytes(80)),
        media(bytes(160)),
        media(bytes(8000 * 31)),
        {"event": "media", "media": {"payload": "?"}},
        "no json",
        {"event": "mark", "mark": {"name": "a"}},
        {"event": "mark", "mark": {"name": "b"}},
    ]
    call = await telnyx.incoming(f"{peer.url}/voice")
    stream = await call.streaming()
    await call.until(lambda: len(stream.received) == 2)
    assert [trouble.code for trouble in call.errors] == [100003, 100003, 100004, 100003]
    assert stream.marks_returned == []
    await pace.advance(0.03)
    assert stream.marks_returned == ["a", "b"]
    await until(call, lambda: [one["event"] for one in peer.heard].count("mark") == 2)
    errors = [one["payload"]["title"] for one in peer.heard if one["event"] == "error"]
    assert errors == ["malformed_frame", "malformed_frame", "invalid_media", "malformed_frame"]


async def test_mp3_is_the_default_and_one_a_second(peer: Peer, telnyx: FakeTelnyx, pace: SteppedPace) -> None:
    peer.answer = peer.texml()
    peer.replies = [media(base64.b64decode(mp3(0.5))), media(base64.b64decode(mp3(0.5)))]
    call = await telnyx.incoming(f"{peer.url}/voice")
    stream = await call.streaming()
    await call.until(lambda: call.errors)
    assert (stream.mode, [trouble.code for trouble in call.errors]) == ("mp3", [100005])
    await pace.advance(2)
    assert call.heard_s == pytest.approx(0.5, abs=0.1)
    pcm = np.frombuffer(call.heard(), np.int16)[800:3200]
    assert np.abs(np.fft.rfft(pcm)).argmax() == pytest.approx(440 * 0.3, abs=1)


async def test_raw_audio_is_not_heard_in_mp3_mode(peer: Peer, telnyx: FakeTelnyx, pace: SteppedPace) -> None:
    peer.answer = peer.texml()
    peer.replies = [media(bytes(1600))]
    call = await telnyx.incoming(f"{peer.url}/voice")
    stream = await call.streaming()
    await call.until(lambda: stream.unplayable)
    await pace.advance(1)
    assert call.heard_s == 0


async def test_a_broken_stream_is_dialled_again(peer: Peer, telnyx: FakeTelnyx, pace: SteppedPace) -> None:
    peer.break_after = 1
    call = await telnyx.incoming(f"{peer.url}/voice")
    stream = await call.streaming()
    await pace.advance(0.02)
    await call.until(lambda: not stream.is_open)
    await pace.advance(1)
    await call.until(lambda: stream.is_open)
    await until(call, lambda: peer.heard[-1]["event"] == "start")
    starts = [one["stream_id"] for one in peer.heard if one["event"] == "start"]
    assert starts == [stream.id, stream.id]
    assert stream.connections == 2


async def test_no_reconnect_if_told_so(peer: Peer, telnyx: FakeTelnyx, pace: SteppedPace) -> None:
    peer.answer = peer.texml("<Say>next</Say>", bidirectionalMode="rtp", enableReconnect="false")
    call = await telnyx.incoming(f"{peer.url}/voice")
    (await call.streaming()).abort()
    assert await call.ended() == "completed"
    assert call.said_to_caller == ["next"]


async def test_the_documented_sample_answers_a_call_control_webhook(peer: Peer, telnyx: FakeTelnyx) -> None:
    peer.answer = '\n    <?xml version="1.0" encoding="UTF-8"?>' + peer.texml()
    strict = await telnyx.incoming(f"{peer.url}/voice")
    assert await strict.ended() == "completed"
    assert [trouble.code for trouble in strict.errors] == [12100]
    call = await telnyx.incoming(f"{peer.url}/voice", webhook="call_control", reads_texml=True)
    await call.streaming()
    assert peer.events[0]["payload"]["call_control_id"] == call.sid


async def test_forged_and_late_signatures_are_refused(peer: Peer, telnyx: FakeTelnyx, client: AsyncTelnyx) -> None:
    body = b'{"data": {"event_type": "x"}}'
    headers = telnyx.signed("", {}, body)
    client.webhooks.unwrap(body.decode(), headers=headers)
    with pytest.raises(ValueError, match="does not match"):
        client.webhooks.unwrap(body.decode().replace("x", "y"), headers=headers)
    telnyx.signs_at_s = 1_700_000_000
    with pytest.raises(ValueError, match="too old"):
        client.webhooks.unwrap(body.decode(), headers=telnyx.signed("", {}, body))


# --- Call Control


async def test_an_incoming_call_is_answered_and_hung_up(peer: Peer, telnyx: FakeTelnyx, client: AsyncTelnyx) -> None:
    call = await telnyx.incoming(f"{peer.url}/events", webhook="call_control")
    with pytest.raises(UnprocessableEntityError, match="90034"):
        await client.calls.actions.send_dtmf(call.sid, digits="1")
    await client.calls.actions.answer(
        call.sid, stream_url=peer.stream_url, stream_bidirectional_mode="rtp", client_state=STATE
    )
    stream = await call.streaming()
    assert stream.mode == "rtp"
    await call.until(lambda: len(call.events) == 3)
    with pytest.raises(UnprocessableEntityError, match="90045"):
        await client.calls.actions.speak(call.sid, payload="hi", voice="x")
    await client.calls.actions.send_dtmf(call.sid, digits="1w2")
    await client.calls.actions.hangup(call.sid)
    assert await call.ended() == "completed"
    assert kinds(peer) == ["call.initiated", "call.answered", "streaming.started", "streaming.stopped", "call.hangup"]
    assert call.digits_played == "1w2"
    assert peer.heard[1]["start"]["client_state"] == STATE
    with pytest.raises(UnprocessableEntityError, match="90018"):
        await client.calls.actions.hangup(call.sid)


async def dial(client: AsyncTelnyx, peer: Peer, **more: Any) -> Any:
    return await client.calls.dial(
        connection_id=CONNECTION_ID, to="+4930123456", from_="+13125550100", webhook_url=f"{peer.url}/events", **more
    )


async def test_the_same_command_makes_one_call(
    peer: Peer, telnyx: FakeTelnyx, client: AsyncTelnyx, pace: SteppedPace
) -> None:
    first, second = [await dial(client, peer, command_id="once") for _ in range(2)]
    assert first.data.call_control_id == second.data.call_control_id
    assert len(telnyx.calls) == 1
    await pace.advance(61)
    await dial(client, peer, command_id="once")
    assert len(telnyx.calls) == 2


@pytest.mark.parametrize(
    ("outcome", "cause"), [("busy", "user_busy"), ("no-answer", "timeout"), ("failed", "not_found")]
)
async def test_nobody_answers(peer: Peer, telnyx: FakeTelnyx, client: AsyncTelnyx, outcome: Any, cause: str) -> None:
    telnyx.answers["+4930123456"] = Answer(outcome)
    await dial(client, peer)
    call = await telnyx.outgoing()
    assert await call.ended() == outcome
    assert kinds(peer) == ["call.initiated", "call.hangup"]
    assert peer.events[1]["payload"]["hangup_cause"] == cause


async def test_a_machine_answers(peer: Peer, telnyx: FakeTelnyx, client: AsyncTelnyx) -> None:
    telnyx.answers["+4930123456"] = Answer(answered_by="machine_start")
    await dial(client, peer, answering_machine_detection="detect")
    call = await telnyx.outgoing()
    await call.until(lambda: len(call.requests) == 3)
    assert kinds(peer)[-1] == "call.machine.detection.ended"
    assert peer.events[-1]["payload"]["result"] == "machine"


@pytest.mark.parametrize(("outcome", "after"), [("answered", ["call.answered", "call.bridged", "call.bridged"]),
                                                ("busy", ["call.hangup"])])  # fmt: skip
async def test_a_transfer(peer: Peer, telnyx: FakeTelnyx, client: AsyncTelnyx, outcome: Any, after: list[str]) -> None:
    telnyx.dials["+4930999999"] = Dial(outcome)
    call = await telnyx.incoming(f"{peer.url}/events", webhook="call_control")
    await client.calls.actions.answer(call.sid, stream_url=peer.stream_url)
    await call.streaming()
    await client.calls.actions.transfer(call.sid, to="+4930999999", target_leg_client_state=STATE)
    await call.until(lambda: [one["event_type"] for one in call.events][-len(after) :] == after)
    assert call.events[4]["payload"]["call_control_id"] == call.dialled[0].sid
    assert call.events[4]["payload"]["client_state"] == STATE
    assert not call.over


async def test_a_webhook_that_fails_is_sent_again(peer: Peer, telnyx: FakeTelnyx, free_port: int) -> None:
    call = await telnyx.incoming(f"http://127.0.0.1:{free_port}/", webhook="call_control")
    assert call.requests[0].failure == "ct"
    assert len([one for one in telnyx.webhooks.log if b"call.initiated" in one.body]) == 3


async def test_texml_by_rest_takes_forms_only(peer: Peer, telnyx: FakeTelnyx) -> None:
    peer.answer = peer.texml(bidirectionalMode="rtp", bidirectionalCodec="PCMA")
    url = f"{telnyx.api_url}/texml/Accounts/x/Calls"
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {API_KEY}"}) as http:
        order = {"To": "+4930123456", "From": "+13125550100", "ApplicationSid": "1", "Url": f"{peer.url}/voice"}
        more = {"StatusCallback": f"{peer.url}/status", "StatusCallbackEvent": "initiated ringing answered completed"}
        made = await http.post(url, json=order | more)
        call = await telnyx.outgoing()
        assert made.json()["call_sid"] == call.sid
        assert (await call.streaming()).outbound.name == "PCMA"
        refused = await http.post(f"{url}/{call.sid}", json={"Status": "completed"})
        done = await http.post(f"{url}/{call.sid}", data={"Status": "completed"})
        assert (refused.status_code, done.status_code) == (415, 200)
    assert await call.ended() == "completed"
    statuses = [form["CallStatus"] for form in peer.forms if "SequenceNumber" in form]
    assert statuses == ["initiated", "ringing", "in-progress", "completed"]
