"""The documented webhooks as real Express programs, called by fake carriers: audio in both directions, transcript,
recording and events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.samples import Documentation, Sample
from tests.acceptance.telephony import SILENCE, SPEECH, agent, events, get, loud, post, scripted
from tests.fakes.twilio import FakeTwilio
from tests.serverprocess import ServerProcess

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("documentation")]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path / "data", scripted=scripted(tmp_path)) as made:
        yield made


@pytest.mark.parametrize(
    ("document", "route"),
    [("providers-older.txt", "/webhooks/twilio/voice"), ("sessions-vs-calls.txt", "/twilio/incoming")],
)
async def test_a_twilio_call_answered_by_the_documented_webhook(
    documentation: Documentation, server: ServerProcess, node: str, tmp_path: Path, document: str, route: str
) -> None:
    """Its token never leaves it (see :mod:`tests.acceptance.test_documentation`): the session was created for the call
    that comes, and that is enough."""
    source = documentation.between(document, f"app.post('{route}'", r"\}\);")
    with Sample(node, server, tmp_path, source) as sample:
        port = sample.until("listening")
        async with FakeTwilio(insecure=True) as twilio:
            call = await twilio.incoming(f"http://127.0.0.1:{port}{route}")
            await call.streaming()
            session = sample.until("created")["body"]
            colleague = await agent(server, session["id"])
            call.say(SPEECH + SILENCE)
            final = await colleague.until("transcript.final")
            assert (final["speaker"], final["text"]) == ("customer", "Guten Tag")
            await colleague.say(speaker=None)
            await call.hears(0.3)
            assert loud(call.heard())
            await call.hang_up()
            await call.ended()
            await colleague.until("participant.left")
    assert await events(server, session["id"]) == ["connecting", "connected", "disconnected"]
    (kept,) = (await get(server, f"/v1/sessions/{session['id']}/calls"))["data"]
    assert (kept["provider_call_id"], kept["status"]) == (call.sid, "completed")
    await post(server, f"/v1/sessions/{session['id']}/end")
    turns = (await get(server, f"/v1/sessions/{session['id']}/transcript"))["turns"]
    assert [turn["text"] for turn in turns] == ["Guten Tag", "Hello there"]
