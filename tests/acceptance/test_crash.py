"""What a call survives: kill -9 of the server, kill -9 of an engine, a polite shutdown."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from benchmarks.speech import Clip, prompts
from tests.acceptance.client import StreamClient
from tests.serverprocess import ServerProcess

from kallglot.cli.phone import dial

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("crash")]


async def create(server: ServerProcess, source: str, target: str) -> dict[str, Any]:
    body = {"mode": "bidirectional_translation", "source_language": source, "target_language": target}
    async with server.rest() as rest:
        return (await rest.post("/v1/sessions", json=body)).raise_for_status().json()


async def transcript(server: ServerProcess, session_id: str) -> list[dict[str, Any]]:
    async with server.rest() as rest:
        return (await rest.get(f"/v1/sessions/{session_id}/transcript")).raise_for_status().json()["turns"]


async def again(server: ServerProcess, session_id: str) -> StreamClient:
    async with server.rest() as rest:
        session = (await rest.get(f"/v1/sessions/{session_id}")).raise_for_status().json()
    assert session["status"] == "active"
    return await StreamClient.open(session["stream"]["url"], session["stream"]["token"])


async def test_kill_9_of_the_server_loses_no_final_and_the_call_goes_on(tmp_path: Path, script: Path) -> None:
    with ServerProcess(tmp_path / "data", scripted=script, forks=False) as server:
        session = await create(server, "de", "en")
        for round_number in range(3):
            client = (
                await again(server, session["id"])
                if round_number
                else await StreamClient.open(session["stream"]["url"], session["stream"]["token"])
            )
            told: list[dict[str, Any]] = []
            for _ in range(5):
                await client.say(speech_ms=300, silence_ms=400)
                told.append(await client.until("transcript.final"))
            await client.say(speech_ms=300, silence_ms=0)
            server.kill()
            await client.closed()
            server.start()
            kept = await transcript(server, session["id"])
            assert [turn["sequence"] for turn in kept] == list(range(1, len(kept) + 1))
            for final in told:
                turn = kept[final["sequence"] - 1]
                assert (turn["id"], turn["text"]) == (final["turn_id"], final["text"])
        async with server.rest() as rest:
            ended = (await rest.post(f"/v1/sessions/{session['id']}/end")).json()
        assert ended["duration_seconds"] > 0


async def test_sigterm_says_1001_and_the_words_so_far_are_kept(tmp_path: Path, script: Path) -> None:
    with ServerProcess(tmp_path / "data", scripted=script, forks=False) as server:
        session = await create(server, "de", "en")
        client = await StreamClient.open(session["stream"]["url"], session["stream"]["token"])
        await client.say(speech_ms=400, silence_ms=0)
        await client.until("transcript.partial")
        closed = asyncio.create_task(client.closed())
        await asyncio.to_thread(server.terminate)
        assert await closed == 1001
        assert [message["text"] for message in client.of("transcript.final")] == ["eins"]
        server.start()
        assert [turn["text"] for turn in await transcript(server, session["id"])] == ["eins"]
        async with await again(server, session["id"]) as client:
            await client.until("session.ready")


@pytest.fixture
def real_server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path / "data", settings={"KALLGLOT_RECOGNITION_PROCESSES": "2"}, forks=False) as process:
        yield process


@pytest.mark.speech
async def test_kill_9_of_the_engines_in_mid_call_costs_no_utterance(real_server: ServerProcess, testdata: Path) -> None:
    clips: list[Clip] = [clip for clip in prompts(testdata) if 2 < clip.end_s - clip.start_s < 5][:3]
    session = await create(real_server, "en", "es")
    phone = await dial(session["stream"]["url"], session["stream"]["token"])
    for number, clip in enumerate(clips):
        half = len(clip.samples) // 2
        await phone.say(clip.samples[:half], "customer")
        if number == 1:
            workers = [
                child
                for child in real_server.process.children(recursive=True)
                if "recognition_worker" in " ".join(child.cmdline())
            ]
            assert workers
            for worker in workers:
                worker.kill()
        await phone.say(clip.samples[half:], "customer")
        await phone.listen("customer", at_most=20)
    await phone.hang_up()
    turns = await transcript(real_server, session["id"])
    assert len(turns) >= 3
    assert all(turn["translation"] for turn in turns)
    assert "recognition_restarted" in [
        message["code"] for _, message in phone.record.messages if message["type"] == "warning"
    ]
    assert phone.record.ended == "explicit_end"
    assert "agent" in phone.record.heard


async def test_killing_the_server_leaves_no_engine_behind(real_server: ServerProcess) -> None:
    children = real_server.process.children(recursive=True)
    assert children
    real_server.kill()
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    real_server.start()
