"""Real telephone prompts, spoken by the callers of fake carriers, in real time through the real engines."""

from __future__ import annotations

import asyncio
from pathlib import Path

import jiwer
import pytest
from benchmarks.speech import Clip, prompts
from benchmarks.words import normalise
from tests.acceptance.telephony import NUMBER, agent, connected, get, newest_session
from tests.fakes.calls import FakeCall
from tests.fakes.telnyx import API_KEY, FakeTelnyx
from tests.fakes.twilio import ACCOUNT_SID, AUTH_TOKEN, FakeTwilio
from tests.serverprocess import ServerProcess

pytestmark = [pytest.mark.server, pytest.mark.speech, pytest.mark.slow, pytest.mark.xdist_group("conversation")]

POLICY = {"mode": "bidirectional_translation", "source_language": "en", "target_language": "es"}
MOST_WRONG = 0.12
PAUSE = bytes(2 * 8000)


@pytest.fixture(scope="module")
def clips(testdata: Path) -> list[Clip]:
    return [clip for clip in prompts(testdata) if 1.5 < clip.end_s - clip.start_s < 6][:10]


async def wrong(server: ServerProcess, call: FakeCall, clips: list[Clip]) -> float:
    """The share of words that the transcript has wrong."""
    await call.streaming()
    session = await newest_session(server)
    colleague = await agent(server, session["id"])
    ending = asyncio.create_task(colleague.until("session.ended", within=180))
    for clip in clips:
        call.say(clip.samples.tobytes() + PAUSE)
    await call.said(within_s=120)
    await call.hang_up()
    assert (await ending)["reason"] == "customer_hangup"
    turns = (await get(server, f"/v1/sessions/{session['id']}/transcript"))["turns"]
    assert all(turn["translation"]["text"] for turn in turns)
    said = " ".join(normalise(clip.text) for clip in clips)
    return float(jiwer.wer(said, " ".join(normalise(turn["text"]) for turn in turns)))


async def test_twilio(tmp_path: Path, clips: list[Clip]) -> None:
    async with FakeTwilio(insecure=True) as twilio:
        with ServerProcess(tmp_path / "data", settings={"KALLGLOT_TWILIO_API_URL": twilio.api_url}) as server:
            account = {"carrier": "twilio", "account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN}
            hooks = f"{server.url}/v1/carriers/twilio/{await connected(server, account, POLICY)}"
            call = await twilio.incoming(f"{hooks}/voice", to=NUMBER, status_callback=f"{hooks}/status")
            share = await wrong(server, call, clips)
    print(f"Twilio, mu-law: {share:.1%} of the words wrong")
    assert share <= MOST_WRONG


async def test_telnyx_a_law(tmp_path: Path, clips: list[Clip]) -> None:
    async with FakeTelnyx(insecure=True) as telnyx:
        with ServerProcess(tmp_path / "data", settings={"KALLGLOT_TELNYX_API_URL": telnyx.api_url}) as server:
            account = {"carrier": "telnyx", "api_key": API_KEY, "public_key": telnyx.public_key}
            hooks = f"{server.url}/v1/carriers/telnyx/{await connected(server, account, POLICY)}"
            call = await telnyx.incoming(
                f"{hooks}/voice", to=NUMBER, codec="PCMA", out_of_order=True, status_callback=f"{hooks}/status"
            )
            share = await wrong(server, call, clips)
    print(f"Telnyx, A-law, frames out of order: {share:.1%} of the words wrong")
    assert share <= MOST_WRONG
