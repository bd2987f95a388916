"""Calls of a Twilio account over real sockets: in, out, held, transferred, and through a restart."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from tests.acceptance.telephony import (
    NUMBER,
    SILENCE,
    SPEECH,
    agent,
    connected,
    events,
    get,
    in_progress,
    loud,
    newest_session,
    post,
    scripted,
)
from tests.acceptance.test_recording import recordings
from tests.fakes.twilio import ACCOUNT_SID, AUTH_TOKEN, Answer, FakeTwilio
from tests.fakes.verbs import Dial
from tests.serverprocess import ServerProcess
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("twilio")]

CONNECTION = {"carrier": "twilio", "account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN}


@pytest.fixture
async def twilio() -> AsyncIterator[FakeTwilio]:
    async with FakeTwilio(insecure=True) as made:
        yield made


@pytest.fixture
def server(tmp_path: Path, twilio: FakeTwilio) -> Iterator[ServerProcess]:
    settings = {"KALLGLOT_TWILIO_API_URL": twilio.api_url, "KALLGLOT_RECONNECT_SECONDS": "20"}
    with ServerProcess(tmp_path / "data", scripted=scripted(tmp_path), settings=settings) as made:
        yield made


def voice(server: ServerProcess, connection_id: str) -> str:
    return f"{server.url}/v1/carriers/twilio/{connection_id}/voice"


async def test_a_call_comes_in_is_translated_both_ways_and_ends(server: ServerProcess, twilio: FakeTwilio) -> None:
    connection_id = await connected(server, CONNECTION)
    status = f"{server.url}/v1/carriers/twilio/{connection_id}/status"
    call = await twilio.incoming(voice(server, connection_id), to=NUMBER, status_callback=status)
    await call.streaming()
    session = await newest_session(server)
    assert session["phone_number"] == NUMBER
    assert session["provider"] == "twilio"
    assert session["call"]["provider_call_id"] == call.sid
    colleague = await agent(server, session["id"])
    call.say(SPEECH + SILENCE)
    final = await colleague.until("transcript.final")
    assert (final["text"], final["translation"]["text"]) == ("Guten Tag", "[en] Guten Tag")
    assert final["speaker"] == "customer"
    await colleague.until("playback.finished")
    await colleague.say(speaker=None)
    await call.hears(0.3)
    assert loud(call.heard())
    call.press("5")
    assert (await colleague.until("dtmf"))["digits"] == "5"
    await call.hang_up()
    assert await call.ended() == "completed"
    ended = await colleague.until("session.ended")
    assert ended["reason"] == "customer_hangup"
    assert await events(server, session["id"]) == ["connecting", "connected", "disconnected"]
    (kept,) = (await get(server, f"/v1/sessions/{session['id']}/calls"))["data"]
    assert (kept["status"], kept["direction"], kept["from"], kept["to"]) == ("completed", "inbound", call.from_, NUMBER)
    assert not call.errors
    transcript = await get(server, f"/v1/sessions/{session['id']}/transcript")
    assert [turn["speaker"] for turn in transcript["turns"]] == ["customer", "agent"]
    sound = await recordings(server, session["id"])
    assert sound["mixed"].span(0, 500)[2] == pytest.approx(0.6, abs=0.05)
    assert sound["heard"].slots(0, 440)


async def test_a_request_that_is_not_signed_learns_nothing(server: ServerProcess, twilio: FakeTwilio) -> None:
    connection_id = await connected(server, CONNECTION)
    async with FakeTwilio("another-token", insecure=True) as stranger:
        call = await stranger.incoming(voice(server, connection_id), to=NUMBER)
        await call.ended()
        assert not call.streams
        assert {request.status for request in call.requests} == {404}
    async with server.rest() as rest:
        assert (await rest.get("/v1/sessions")).json()["data"] == []


async def test_a_stream_whose_handshake_is_not_signed_is_not_let_in(server: ServerProcess, twilio: FakeTwilio) -> None:
    connection_id = await connected(server, CONNECTION)
    call = await twilio.incoming(voice(server, connection_id), to=NUMBER)
    await call.streaming()
    session = await newest_session(server)
    start = {"callSid": "CA" + "9" * 32, "customParameters": {"token": session["stream"]["token"]}}
    for headers in ({}, {"X-Twilio-Signature": "bm8="}):
        async with connect(session["stream"]["url"], additional_headers=headers) as socket:
            await socket.send(json.dumps({"event": "start", "streamSid": "MZ1", "start": start}))
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4401
    assert len((await get(server, f"/v1/sessions/{session['id']}/calls"))["data"]) == 1
    await call.hang_up()


async def test_twilio_asks_twice_and_gets_one_session(server: ServerProcess, twilio: FakeTwilio) -> None:
    url = voice(server, await connected(server, CONNECTION))
    fields = {"CallSid": "CA" + "7" * 32, "From": "+4930123456", "To": NUMBER, "CallStatus": "ringing"}
    async with httpx.AsyncClient() as client:
        headers = twilio.signed(url, fields, b"")
        asked = [client.post(url, data=fields, headers=headers) for _ in range(10)]
        answers = await asyncio.gather(*asked)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text.split("/connect")[0] for answer in answers}) == 1
    async with server.rest() as rest:
        assert len((await rest.get("/v1/sessions")).json()["data"]) == 1


async def test_a_number_nobody_has_is_rejected(server: ServerProcess, twilio: FakeTwilio) -> None:
    connection_id = await connected(server, CONNECTION)
    call = await twilio.incoming(voice(server, connection_id), to="+14155559999")
    assert await call.ended() in ("busy", "failed", "no-answer", "canceled", "completed")
    assert not call.streams


async def test_a_call_is_placed_held_and_hung_up(server: ServerProcess, twilio: FakeTwilio) -> None:
    connection_id = await connected(server, CONNECTION)
    routing = {"connection_id": connection_id, "direction": "outbound"}
    body = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en", "routing": routing}
    session = await post(server, "/v1/sessions", body)
    colleague = await agent(server, session["id"])
    asked = {"to": "+4930901820", "from": NUMBER, "machine_detection": True}
    placed = await post(server, f"/v1/sessions/{session['id']}/dial", asked, **{"Idempotency-Key": "one"})
    again = await post(server, f"/v1/sessions/{session['id']}/dial", asked, **{"Idempotency-Key": "one"})
    assert placed["id"] == again["id"]
    call = await twilio.outgoing()
    await call.streaming()
    assert len(twilio.calls) == 1
    await colleague.until("participant.joined")
    path = f"/v1/calls/{placed['id']}"
    held = await post(server, f"{path}/hold")
    assert held["held"]
    await call.hears(0.5)
    assert loud(call.heard())
    call.say(SPEECH + SILENCE)
    await call.said()
    assert not (await post(server, f"{path}/unhold"))["held"]
    call.say(SPEECH + SILENCE)
    final = await colleague.until("transcript.final")
    assert final["text"] == "Guten Tag"
    await post(server, f"{path}/dtmf", {"digits": "12"})
    assert (await post(server, f"{path}/hangup"))["status"] == "completed"
    assert await call.ended() == "completed"
    kept = await get(server, path)
    assert kept["answered_by"] in ("human", None)
    assert await events(server, session["id"]) == ["connecting", "connected", "disconnected"]
    async with server.rest() as rest:
        over = await rest.post(f"{path}/hold")
        assert (over.status_code, over.json()["error"]["code"]) == (409, "call_not_active")
    await colleague.send({"type": "session.end"})
    await colleague.until("session.ended")


async def test_an_order_whose_answer_is_lost_is_one_call(server: ServerProcess, twilio: FakeTwilio) -> None:
    connection_id = await connected(server, CONNECTION)
    routing = {"connection_id": connection_id, "direction": "outbound"}
    body = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en", "routing": routing}
    session = await post(server, "/v1/sessions", body)
    twilio.rest.fail_next("POST", "/Calls.json", "drop")
    placed = await post(server, f"/v1/sessions/{session['id']}/dial", {"to": "+4930901820", "from": NUMBER})
    call = await twilio.outgoing()
    await call.streaming()
    assert placed["provider_call_id"] == call.sid
    assert len(twilio.calls) == 1
    await post(server, f"/v1/calls/{placed['id']}/hangup")
    assert await call.ended() == "completed"


@pytest.mark.parametrize(("outcome", "status"), [("busy", "busy"), ("no-answer", "no_answer"), ("failed", "failed")])
async def test_nobody_answers(server: ServerProcess, twilio: FakeTwilio, outcome: str, status: str) -> None:
    connection_id = await connected(server, CONNECTION)
    routing = {"connection_id": connection_id, "direction": "outbound"}
    body = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en", "routing": routing}
    session = await post(server, "/v1/sessions", body)
    twilio.answers["+4930901820"] = Answer(outcome)  # type: ignore[arg-type]
    placed = await post(server, f"/v1/sessions/{session['id']}/dial", {"to": "+4930901820", "from": NUMBER})
    call = await twilio.outgoing()
    await call.ended()
    kept = await get(server, f"/v1/calls/{placed['id']}")
    assert (kept["status"], kept["answered_at"]) == (status, None)
    assert await events(server, session["id"]) == ["connecting", "failed"]


async def test_a_transfer_that_fails_comes_back_into_the_session(server: ServerProcess, twilio: FakeTwilio) -> None:
    connection_id = await connected(server, CONNECTION)
    call = await twilio.incoming(voice(server, connection_id), to=NUMBER)
    await call.streaming()
    session = await newest_session(server)
    colleague = await agent(server, session["id"])
    twilio.dials["+4930901821"] = Dial("busy")
    call_id = session["call"]["id"]
    await in_progress(server, call_id)
    told = await post(server, f"/v1/calls/{call_id}/transfer", {"to": "+4930901821"})
    assert told["transfer"] == {"to": "+4930901821", "status": "started"}
    second = await call.streaming(2)
    assert second.is_open
    call.say(SPEECH + SILENCE)
    assert (await colleague.until("transcript.final"))["text"] == "Guten Tag"
    kept = await get(server, f"/v1/calls/{call_id}")
    assert (kept["transfer"]["status"], kept["transfer"]["reason"]) == ("failed", "busy")
    assert await events(server, session["id"]) == ["connecting", "connected"]
    await call.hang_up()


@pytest.mark.parametrize("killed", [False, True])
async def test_twenty_calls_come_back_after_a_restart(server: ServerProcess, twilio: FakeTwilio, killed: bool) -> None:
    connection_id = await connected(server, CONNECTION)
    calls = [await twilio.incoming(voice(server, connection_id), to=NUMBER) for _ in range(20)]
    await asyncio.gather(*(call.streaming() for call in calls))
    for call in calls:
        call.say(SPEECH + SILENCE)
    await asyncio.gather(*(call.said() for call in calls))
    if killed:
        await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.restart)
    await asyncio.gather(*(call.streaming(2, within_s=30) for call in calls))
    for call in calls:
        call.say(SPEECH + SILENCE)
    await asyncio.gather(*(call.said() for call in calls))
    async with server.rest() as rest:
        sessions = (await rest.get("/v1/sessions?limit=100")).json()["data"]
        assert len(sessions) == 20
        await asyncio.gather(*(call.hang_up() for call in calls))
        for session in sessions:
            ended = (await rest.post(f"/v1/sessions/{session['id']}/end")).raise_for_status().json()
            assert ended["status"] == "ended"
            turns = (await rest.get(f"/v1/sessions/{session['id']}/transcript")).json()["turns"]
            assert len(turns) == 2, turns
            calls_of = f"/v1/sessions/{session['id']}/calls"
            async with asyncio.timeout(30):
                # What the carrier tells of the end comes when it comes.
                while (await rest.get(calls_of)).json()["data"][0]["status"] != "completed":  # noqa: ASYNC110
                    await asyncio.sleep(0.05)


async def test_a_stream_that_is_cut_comes_back_by_itself(server: ServerProcess, twilio: FakeTwilio) -> None:
    connection_id = await connected(server, CONNECTION)
    call = await twilio.incoming(voice(server, connection_id), to=NUMBER)
    first = await call.streaming()
    session = await newest_session(server)
    colleague = await agent(server, session["id"])
    first.abort()
    second = await call.streaming(2)
    assert second.sid != first.sid
    call.say(SPEECH + SILENCE)
    assert (await colleague.until("transcript.final"))["text"] == "Guten Tag"
    assert await events(server, session["id"]) == ["connecting", "connected"]
    await call.hang_up()
