"""The stream as a client meets it: real sockets, a real server, scripted engines."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import httpx
import pytest
from tests.acceptance.client import LOUD, SILENT, StreamClient
from tests.serverprocess import ServerProcess

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("stream")]


async def create(server: ServerProcess, **fields: Any) -> dict[str, Any]:
    body = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en"} | fields
    async with server.rest() as rest:
        response = await rest.post("/v1/sessions", json=body)
        assert response.status_code == 201, response.text
        return response.json()


async def connect(session: dict[str, Any], query: str = "", token: str | None = None) -> StreamClient:
    return await StreamClient.open(session["stream"]["url"], token or session["stream"]["token"], query)


async def test_the_main_job(scripted_server: ServerProcess) -> None:
    session = await create(scripted_server)
    async with await connect(session) as client:
        ready = await client.until("session.ready")
        assert (ready["session_id"], ready["status"]) == (session["id"], "connecting")
        assert ready["audio"] == {"encoding": "mulaw", "sample_rate_hz": 8000}
        await client.say()
        partial = await client.until("transcript.partial")
        final = await client.until("transcript.final")
        assert partial["turn_id"] == final["turn_id"]
        assert (final["text"], final["translation"]) == ("eins", {"language": "en", "text": "first"})
        finished = await client.until("playback.finished")
        assert finished == {"type": "playback.finished", "turn_id": final["turn_id"], "listener": "agent"}
        frames = [message for message in client.audio if message["turn_id"] == final["turn_id"]]
        assert {(frame["speaker"], frame["listener"]) for frame in frames} == {("customer", "agent")}
        assert {len(base64.b64decode(frame["audio"]["payload"])) for frame in frames} == {160}
        assert [frame["sequence"] for frame in frames] == list(range(1, len(frames) + 1))
        await client.send({"type": "text.input", "speaker": "agent", "text": "hello"})
        typed = await client.until("transcript.final")
        assert (typed["speaker"], typed["translation"]["text"]) == ("agent", "[de] hello")
        await client.send({"type": "session.end"})
        ended = await client.until("session.ended")
        assert ended == {"type": "session.ended", "session_id": session["id"], "reason": "explicit_end"}
        assert await client.closed() == 1000
    async with scripted_server.rest() as rest:
        found = (await rest.get(f"/v1/sessions/{session['id']}")).json()
        transcript = (await rest.get(f"/v1/sessions/{session['id']}/transcript")).json()
    assert (found["status"], found["end_reason"], found["stream"]) == ("ended", "explicit_end", None)
    assert found["usage"]["session_seconds"] > 0
    assert [turn["text"] for turn in transcript["turns"]] == ["eins", "hello"]
    assert transcript["status"] == "completed"


async def test_each_party_on_a_connection_of_their_own(scripted_server: ServerProcess) -> None:
    session = await create(scripted_server)
    async with (
        await connect(session, "&participant=customer") as customer,
        await connect(session, "&participant=agent&audio=pcm_s16le_16000") as agent,
    ):
        await customer.until("session.ready")
        await agent.until("session.ready")
        await customer.say(speaker=None)
        final = await agent.until("transcript.final")
        assert final["translation"]["text"] == "first"
        await agent.until("playback.finished")
        await customer.until("transcript.final")
        await agent.send({"type": "text.input", "text": "hello"})
        await customer.until("playback.finished", lambda told: told["listener"] == "customer")
        assert {frame["listener"] for frame in agent.audio} == {"agent"}
        assert {frame["listener"] for frame in customer.audio} == {"customer"}
        assert agent.audio[0]["audio"]["encoding"] == "pcm_s16le"
        assert len(base64.b64decode(agent.audio[0]["audio"]["payload"])) == 640


async def test_binary_audio_both_ways(scripted_server: ServerProcess) -> None:
    session = await create(scripted_server)
    async with (
        await connect(session, "&participant=customer") as customer,
        await connect(session, "&participant=agent&audio=alaw_8000") as agent,
    ):
        await customer.until("session.ready")
        await agent.until("session.ready")
        announced = {"type": "audio.format", "encoding": "mulaw", "sample_rate_hz": 8000, "output": "binary"}
        await customer.send(announced)
        await agent.send(announced)
        for frame in [LOUD] * 30 + [SILENT] * 30:
            await customer.socket.send(frame)
        await customer.until("transcript.final")
        assert len((await agent.until("binary"))["data"]) == 160


@pytest.mark.parametrize(
    ("encoding", "rate", "frame"),
    [
        ("alaw", 8000, bytes([0x95, 0x15] * 80)),
        ("pcm_s16le", 16000, b"\x00\x40\x00\x40\x00\xc0\x00\xc0" * 80),
        ("pcm_s16le", 48000, b"\x00\x40\x00\x40\x00\xc0\x00\xc0" * 240),
    ],
)
async def test_encodings_in(scripted_server: ServerProcess, encoding: str, rate: int, frame: bytes) -> None:
    session = await create(scripted_server)
    async with await connect(session) as client:
        for n in range(40):
            await client.send(
                {
                    "type": "audio.input",
                    "sequence": n,
                    "timestamp_ms": n * 20,
                    "speaker": "customer",
                    "audio": {
                        "encoding": encoding,
                        "sample_rate_hz": rate,
                        "payload": base64.b64encode(frame).decode(),
                    },
                }
            )
        final = await client.until("transcript.final")
        assert final["text"] == "eins"


async def test_ping_mark_clear_and_dtmf(scripted_server: ServerProcess) -> None:
    session = await create(scripted_server)
    async with await connect(session) as client, await connect(session, "&participant=agent") as other:
        await client.send({"type": "ping"})
        assert await client.until("pong") == {"type": "pong", "session_id": session["id"]}
        await client.send({"type": "text.input", "speaker": "customer", "text": "wort " * 200})
        await client.until("playback.started")
        await client.send({"type": "playback.mark", "name": "m1"})
        await client.send({"type": "playback.clear"})
        await client.until("playback.cleared")
        assert (await client.until("playback.mark"))["name"] == "m1"
        await client.send({"type": "dtmf", "digits": "42#"})
        assert (await other.until("dtmf"))["digits"] == "42#"


async def test_bad_messages_are_answered_and_twenty_of_them_close(scripted_server: ServerProcess) -> None:
    session = await create(scripted_server)
    async with await connect(session) as client:
        await client.until("session.ready")
        for bad in ("{", '{"type":"x"}', '{"type":"audio.input","speaker":"x","audio":{"payload":"AAAA"}}'):
            await client.socket.send(bad)
            assert (await client.until("error"))["code"] in ("invalid_message", "unknown_speaker")
        await client.say()
        await client.until("transcript.final")
        for _ in range(20):
            await client.socket.send("garbage")
        assert await client.closed() == 1008
    async with scripted_server.rest() as rest:
        assert (await rest.get(f"/v1/sessions/{session['id']}")).json()["status"] == "active"


async def test_too_big_a_message(scripted_server: ServerProcess) -> None:
    session = await create(scripted_server)
    async with await connect(session) as client:
        await client.until("session.ready")
        await client.socket.send("x" * 600_000)
        assert await client.closed() == 1009


async def test_tokens(scripted_server: ServerProcess) -> None:
    session, other = await create(scripted_server), await create(scripted_server)
    url = session["stream"]["url"]
    for token, code in (
        ("", 4401),
        ("kst_live_nonsense", 4401),
        (other["stream"]["token"], 4401),
        (session["stream"]["token"].replace("live", "test"), 4401),
    ):
        async with await StreamClient.open(url, token) as client:
            assert await client.closed() == code
            assert client.messages[0]["type"] == "error"
    headers = {"Authorization": f"Bearer {session['stream']['token']}"}
    from websockets.asyncio.client import connect as plain

    async with plain(url, additional_headers=headers) as socket:
        assert json.loads(await socket.recv())["type"] == "session.ready"


async def test_an_ended_session_is_closed(scripted_server: ServerProcess) -> None:
    session = await create(scripted_server)
    async with await connect(session) as client:
        await client.until("session.ready")
        async with scripted_server.rest() as rest:
            await rest.post(f"/v1/sessions/{session['id']}/end", json={"reason": "agent_hangup"})
        assert (await client.until("session.ended"))["reason"] == "agent_hangup"
        assert await client.closed() == 1000
    async with await connect(session) as client:
        assert await client.closed() == 4409


async def test_an_unknown_participant_or_format(scripted_server: ServerProcess) -> None:
    session = await create(scripted_server)
    for query, code in (("&participant=boss", "unknown_speaker"), ("&audio=mp3", "invalid_audio_format")):
        async with await connect(session, query) as client:
            assert await client.closed() == 1008
            assert client.messages[0]["code"] == code


async def test_too_many_connections(scripted_server: ServerProcess) -> None:
    session = await create(scripted_server)
    clients = [await connect(session) for _ in range(16)]
    for client in clients:
        await client.until("session.ready")
    async with await connect(session) as one_more:
        assert await one_more.closed() == 4429
    for client in clients:
        await client.socket.close()


async def test_a_cut_socket_comes_back_to_the_same_session(scripted_server: ServerProcess) -> None:
    session = await create(scripted_server)
    client = await connect(session)
    await client.say()
    await client.until("transcript.final")
    client.socket.transport.abort()
    async with scripted_server.rest() as rest:
        again = (await rest.get(f"/v1/sessions/{session['id']}")).json()
    async with await connect(again) as client:
        ready = await client.until("session.ready")
        assert ready["status"] == "active"
        await client.say()
        final = await client.until("transcript.final")
        assert final["sequence"] == 2


async def test_other_addresses_and_plain_http(scripted_server: ServerProcess) -> None:
    session = await create(scripted_server)
    from websockets.exceptions import InvalidStatus

    with pytest.raises(InvalidStatus) as refused:
        await StreamClient.open(scripted_server.url.replace("http", "ws") + "/v1/elsewhere", "x")
    assert refused.value.response.status_code == 404
    plain = session["stream"]["url"].replace("ws", "http", 1)
    async with httpx.AsyncClient() as http:
        assert (await http.get(plain)).status_code == 404


async def test_fifty_times_the_same_request_is_one_session(scripted_server: ServerProcess) -> None:
    body = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en"}
    async with scripted_server.rest() as rest:
        before = int((await rest.get("/v1/organization")).json()["credits_used"])
        found = await asyncio.gather(
            *(rest.post("/v1/sessions", json=body, headers={"Idempotency-Key": "fifty"}) for _ in range(50))
        )
        after = int((await rest.get("/v1/organization")).json()["credits_used"])
    assert {response.status_code for response in found} == {201}
    assert len({response.content for response in found}) == 1
    assert sum("idempotent-replayed" in response.headers for response in found) == 49
    assert after - before == 1


async def test_a_carriers_stream_whose_address_has_a_token(scripted_server: ServerProcess) -> None:
    """It is taken for a native one until it speaks; what it says at once, and goes on saying, is all heard."""
    async with scripted_server.rest() as rest:
        body = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en"}
        session = (await rest.post("/v1/sessions", json=body)).raise_for_status().json()
        stream = session["stream"]
        media = {"track": "inbound", "payload": base64.b64encode(LOUD).decode()}
        agent = await StreamClient.open(stream["url"], stream["token"], "&participant=agent")
        async with agent, await StreamClient.open(stream["url"], stream["token"]) as carrier:
            await agent.until("session.ready")
            start = {"call_control_id": f"v3:{session['id']}", "media_format": {"encoding": "PCMU"}}
            await carrier.send({"event": "connected", "version": "1.0.0"})
            await carrier.send({"event": "start", "stream_id": "s", "start": start})
            for n in range(60):
                chunk = media if n < 30 else media | {"payload": base64.b64encode(SILENT).decode()}
                await carrier.send({"event": "media", "media": chunk | {"chunk": n, "timestamp": n * 20}})
            assert (await agent.until("transcript.final"))["speaker"] == "customer"
        (call,) = (await rest.get(f"/v1/sessions/{session['id']}/calls")).json()["data"]
    assert call["provider_call_id"] == f"v3:{session['id']}"
