"""Analyses of real conversations on a real server: made, told of, and made once though the power goes in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.acceptance.client import StreamClient
from tests.fakes.chat import ChatServer, answers, refuses, silent
from tests.postgres import Postgres
from tests.serverprocess import ServerProcess
from tests.waiting import until

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("analysis")]

GOOD = {"summary": "They counted.", "sentiment": {"customer": "Calm.", "agent": "Quiet."}, "keywords": ["numbers"]}
OBJECT = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en"}


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def settings(request: pytest.FixtureRequest) -> dict[str, str]:
    if request.param == "sqlite":
        return {}
    return {"KALLGLOT_DATABASE_URL": await request.getfixturevalue("postgres").fresh()}


@pytest.fixture
async def model() -> AsyncIterator[ChatServer]:
    async with ChatServer() as opened:
        yield opened


def asking(model: ChatServer) -> dict[str, str]:
    return {
        "KALLGLOT_LLM_URL": model.url,
        "KALLGLOT_LLM_MODEL": "model-1",
        "KALLGLOT_LLM_API_KEY": "sk-never-to-be-seen",
    }


async def talked(client: httpx.AsyncClient) -> str:
    """A session in which the customer said something, and which has ended."""
    session = (await client.post("/v1/sessions", json=OBJECT)).raise_for_status().json()
    async with await StreamClient.open(session["stream"]["url"], session["stream"]["token"]) as stream:
        for _ in range(3):
            await stream.say(speech_ms=400, silence_ms=500)
            await stream.until("transcript.final")
    (await client.post(f"/v1/sessions/{session['id']}/end")).raise_for_status()
    return session["id"]


async def asked(client: httpx.AsyncClient, session_id: str, body: Any = None) -> str:
    response = await client.post(f"/v1/sessions/{session_id}/analysis", json=body or {})
    assert response.status_code == 202, response.text
    return response.json()["id"]


async def over(client: httpx.AsyncClient, analysis_id: str) -> dict[str, Any]:
    async with asyncio.timeout(90):
        while True:
            found = (await client.get(f"/v1/analyses/{analysis_id}")).raise_for_status().json()
            if found["status"] != "processing":
                return found
            await asyncio.sleep(0.05)


async def told(client: httpx.AsyncClient, session_id: str) -> list[dict[str, Any]]:
    events = (await client.get(f"/v1/events?session_id={session_id}&limit=100")).raise_for_status().json()["data"]
    return [one for one in events if one["type"].startswith("analysis.")]


async def credits(client: httpx.AsyncClient) -> int:
    return (await client.get("/v1/organization")).raise_for_status().json()["credits_used"]


async def test_a_conversation_is_analysed_and_its_owner_is_told(scripted_server: ServerProcess) -> None:
    async with scripted_server.rest() as client:
        session_id = await talked(client)
        before = await credits(client)
        found = await over(client, await asked(client, session_id, {"profile": "support"}))
        assert (found["status"], found["engine"], found["error"]) == ("completed", "extractive", None)
        assert found["performance"]["turns"] == {"customer": 3, "agent": 0}
        assert found["performance"]["talk_seconds"]["customer"] > 0
        assert found["summary"].startswith("3 turns in ")
        assert found["sentiment"]["agent"] == "The agent said nothing."
        unchecked = {one["code"] for one in found["compliance"]["unchecked"]}
        assert "greeting_missing" in unchecked
        [event] = await told(client, session_id)
        assert (event["type"], event["data"]) == ("analysis.complete", found)
        assert await credits(client) == before + 1
        page = (await client.get("/metrics")).text
        assert 'kallglot_analyses_total{outcome="ok"}' in page


async def test_a_model_makes_it_and_its_key_stays_where_it_is(tmp_path: Path, script: Path, model: ChatServer) -> None:
    model.plan = [refuses(500), answers(GOOD), answers(None, refusal="no")]
    with ServerProcess(tmp_path / "data", scripted=script, settings=asking(model)) as server:
        async with server.rest() as client:
            session_id = await talked(client)
            before = await credits(client)
            found = await over(client, await asked(client, session_id))
            assert (found["summary"], found["engine"]) == (GOOD["summary"], "model-1")
            assert "[0:00] customer (de): eins = en: first" in model.asked[0]["messages"][1]["content"]
            failed = await over(client, await asked(client, session_id))
            assert failed["error"] == "The language model refused to analyse this conversation."
            assert [one["type"] for one in await told(client, session_id)] == ["analysis.failed", "analysis.complete"]
            assert await credits(client) == before + 1, "the one that failed was given back"
        assert "sk-never-to-be-seen" not in server.log


async def test_after_kill_9_in_the_middle_it_is_made_once_and_paid_once(
    tmp_path: Path, script: Path, model: ChatServer, settings: dict[str, str]
) -> None:
    model.plan = [silent, silent]
    model.otherwise = answers(GOOD)
    with ServerProcess(tmp_path / "data", scripted=script, settings=settings | asking(model)) as server:
        async with server.rest() as client:
            session_id = await talked(client)
            before = await credits(client)
            made = [await asked(client, session_id) for _ in range(2)]
            await until(lambda: len(model.asked) == 2)
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            done = [await over(client, one) for one in made]
            assert [one["status"] for one in done] == ["completed", "completed"]
            events = await told(client, session_id)
            assert sorted(one["data"]["id"] for one in events) == sorted(made), "one event each"
            assert await credits(client) == before + 2
            lines = (await client.get("/v1/usage/ledger")).json()["data"]
            assert sorted(one["reference"] for one in lines if one["reason"] == "analysis") == sorted(made)
            assert not [one for one in lines if one["reason"] == "refund"]


async def test_a_server_that_is_killed_every_time_gives_the_credit_back(
    tmp_path: Path, script: Path, model: ChatServer
) -> None:
    model.otherwise = silent
    with ServerProcess(tmp_path / "data", scripted=script, settings=asking(model)) as server:
        async with server.rest() as client:
            session_id = await talked(client)
            before = await credits(client)
            analysis = await asked(client, session_id)
            for attempt in range(1, 4):
                await until(lambda attempt=attempt: len(model.asked) == attempt)
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.start)
            failed = await over(client, analysis)
            assert (failed["status"], "interrupted" in failed["error"]) == ("failed", True)
            assert [one["type"] for one in await told(client, session_id)] == ["analysis.failed"]
            assert await credits(client) == before
