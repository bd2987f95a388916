"""Calls of a Telnyx account over real sockets: TeXML and Call Control, each codec, both modes, disorder, reconnects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.samples import Documentation, Sample
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
from tests.fakes.telnyx import ACCOUNT_ID, API_KEY, FakeTelnyx, TelnyxCall
from tests.fakes.telnyx import CONNECTION_ID as APP_ID
from tests.fakes.verbs import Dial
from tests.serverprocess import ServerProcess

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("telnyx")]


@pytest.fixture
async def telnyx() -> AsyncIterator[FakeTelnyx]:
    async with FakeTelnyx(insecure=True, reconnect_s=0.2) as made:
        yield made


@pytest.fixture
def server(tmp_path: Path, telnyx: FakeTelnyx) -> Iterator[ServerProcess]:
    settings = {"KALLGLOT_TELNYX_API_URL": telnyx.api_url, "KALLGLOT_RECONNECT_SECONDS": "20"}
    with ServerProcess(tmp_path / "data", scripted=scripted(tmp_path), settings=settings) as made:
        yield made


async def connection(server: ServerProcess, telnyx: FakeTelnyx) -> str:
    account = {
        "carrier": "telnyx",
        "api_key": API_KEY,
        "public_key": telnyx.public_key,
        "call_control_app_id": APP_ID,
        "account_sid": ACCOUNT_ID,
    }
    connection_id = await connected(server, account)
    telnyx.event_url = hook(server, connection_id, "events")
    return connection_id


def hook(server: ServerProcess, connection_id: str, what: str) -> str:
    return f"{server.url}/v1/carriers/telnyx/{connection_id}/{what}"


async def heard_both_ways(server: ServerProcess, call: TelnyxCall) -> dict[str, Any]:
    await call.streaming()
    session = await newest_session(server)
    colleague = await agent(server, session["id"])
    call.say(SPEECH + SILENCE)
    final = await colleague.until("transcript.final")
    assert (final["speaker"], final["text"]) == ("customer", "Guten Tag")
    await colleague.say(speaker=None)
    await call.hears(0.3)
    assert loud(call.heard())
    colleague.socket.transport.abort()
    return session


@pytest.mark.parametrize(
    ("codec", "rate_hz", "out_of_order"),
    [("PCMU", 8000, True), ("PCMA", 8000, False), ("G722", 8000, False), ("L16", 16000, True)],
)
async def test_a_texml_call(
    server: ServerProcess, telnyx: FakeTelnyx, codec: str, rate_hz: int, out_of_order: bool
) -> None:
    connection_id = await connection(server, telnyx)
    call = await telnyx.incoming(
        hook(server, connection_id, "voice"),
        to=NUMBER,
        codec=codec,
        rate_hz=rate_hz,
        out_of_order=out_of_order,
        status_callback=hook(server, connection_id, "status"),
    )
    session = await heard_both_ways(server, call)
    await call.hang_up()
    assert await call.ended() == "completed"
    assert await events(server, session["id"]) == ["connecting", "connected", "disconnected"]
    assert (await get(server, f"/v1/sessions/{session['id']}"))["end_reason"] == "customer_hangup"
    assert not call.errors


async def test_a_texml_call_is_controlled_by_texml(server: ServerProcess, telnyx: FakeTelnyx) -> None:
    connection_id = await connection(server, telnyx)
    call = await telnyx.incoming(
        hook(server, connection_id, "voice"), to=NUMBER, status_callback=hook(server, connection_id, "status")
    )
    await call.streaming()
    session = await newest_session(server)
    telnyx.dials["+4930901821"] = Dial("busy")
    path = f"/v1/calls/{session['call']['id']}"
    await in_progress(server, session["call"]["id"])
    await post(server, f"{path}/transfer", {"to": "+4930901821"})
    await call.streaming(2)
    assert (await get(server, path))["transfer"]["status"] == "failed"
    await post(server, f"{path}/hangup")
    assert await call.ended() == "completed"
    assert call.commands == []


async def test_a_call_control_call(server: ServerProcess, telnyx: FakeTelnyx) -> None:
    connection_id = await connection(server, telnyx)
    call = await telnyx.incoming(hook(server, connection_id, "events"), to=NUMBER, webhook="call_control")
    session = await heard_both_ways(server, call)
    assert call.commands == ["answer"]
    await call.hang_up()
    await call.ended()
    assert await events(server, session["id"]) == ["connecting", "connected", "disconnected"]


async def test_a_broken_stream_that_telnyx_dials_again_is_the_same_call(
    server: ServerProcess, telnyx: FakeTelnyx
) -> None:
    connection_id = await connection(server, telnyx)
    call = await telnyx.incoming(hook(server, connection_id, "voice"), to=NUMBER)
    first = await call.streaming()
    first.abort()
    session = await heard_both_ways(server, call)
    assert len((await get(server, f"/v1/sessions/{session['id']}/calls"))["data"]) == 1
    await call.hang_up()


async def test_a_webhook_that_is_not_signed_or_too_old(server: ServerProcess, telnyx: FakeTelnyx) -> None:
    connection_id = await connection(server, telnyx)
    telnyx.signs_at_s = 1.0
    call = await telnyx.incoming(hook(server, connection_id, "voice"), to=NUMBER)
    await call.ended()
    assert {request.status for request in call.requests} == {404}
    async with server.rest() as rest:
        assert (await rest.get("/v1/sessions")).json()["data"] == []


async def outbound(server: ServerProcess, connection_id: str) -> dict[str, Any]:
    routing = {"connection_id": connection_id, "direction": "outbound"}
    body = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en", "routing": routing}
    return await post(server, "/v1/sessions", body)


async def test_a_call_is_placed_and_controlled(server: ServerProcess, telnyx: FakeTelnyx) -> None:
    session = await outbound(server, await connection(server, telnyx))
    placed = await post(server, f"/v1/sessions/{session['id']}/dial", {"to": "+4930901820", "from": NUMBER})
    call = await telnyx.outgoing()
    await call.streaming()
    colleague = await agent(server, session["id"])
    call.say(SPEECH + SILENCE)
    assert (await colleague.until("transcript.final"))["text"] == "Guten Tag"
    path = f"/v1/calls/{placed['id']}"
    await post(server, f"{path}/dtmf", {"digits": "12"})
    assert "send_dtmf" in call.commands
    await post(server, f"{path}/hangup")
    await call.ended()
    assert await events(server, session["id"]) == ["connecting", "connected", "disconnected"]
    assert len(telnyx.calls) == 1


async def test_a_transfer_that_fails_leaves_the_call_in_the_session(server: ServerProcess, telnyx: FakeTelnyx) -> None:
    session = await outbound(server, await connection(server, telnyx))
    placed = await post(server, f"/v1/sessions/{session['id']}/dial", {"to": "+4930901820", "from": NUMBER})
    call = await telnyx.outgoing()
    await call.streaming()
    telnyx.dials["+4930901821"] = Dial("busy")
    await in_progress(server, placed["id"])
    await post(server, f"/v1/calls/{placed['id']}/transfer", {"to": "+4930901821"})
    await call.until(lambda: "transfer" in call.commands)
    await call.until(lambda: call.open_streams)
    colleague = await agent(server, session["id"])
    call.say(SPEECH + SILENCE)
    assert (await colleague.until("transcript.final"))["text"] == "Guten Tag"
    kept = await get(server, f"/v1/calls/{placed['id']}")
    assert (kept["status"], kept["transfer"]["status"]) == ("in_progress", "failed")
    await call.hang_up()


async def test_the_documented_webhook_under_express_and_telnyx_mp3_mode(
    documentation: Documentation, server: ServerProcess, telnyx: FakeTelnyx, node: str, tmp_path: Path
) -> None:
    """Its TeXML does not ask for rtp mode: what is heard has to come as MP3 files, about one a second."""
    source = documentation.between("providers-older.txt", "app.post('/webhooks/telnyx/voice'", r"\}\);")
    with Sample(node, server, tmp_path, source) as sample:
        port = sample.until("listening")
        url = f"http://127.0.0.1:{port}/webhooks/telnyx/voice"
        call = await telnyx.incoming(url, webhook="call_control", reads_texml=True, codec="PCMA")
        await call.streaming()
        session = sample.until("created")["body"]
        colleague = await agent(server, session["id"])
        call.say(SPEECH + SILENCE)
        final = await colleague.until("transcript.final")
        assert (final["speaker"], final["text"]) == ("customer", "Guten Tag")
        await colleague.say(speaker=None)
        await call.hears(0.3)
        await colleague.say(speaker=None)
        await call.hears(0.6)
        assert loud(call.heard())
        await call.hang_up()
        await call.ended()
    assert await events(server, session["id"]) == ["connecting", "connected", "disconnected"]
