"""Deletion that really deletes: what a real server leaves on its disk, also when it is killed in the middle of it."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.client import StreamClient
from tests.serverprocess import ServerProcess
from tests.waiting import until

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("privacy")]

SAID = "Wiedersehensfreude"
HEARD = "Reunionhappiness"
PAN = "4111 1111 1111 1111"


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("script") / "scripted.json"
    script = {
        "languages": ["de", "en"],
        "recognition": {"de": [f"{SAID} eins", f"{SAID} {PAN}", f"{SAID} drei"], "en": ["one"]},
        "translation": {"de>en": {f"{SAID} eins": HEARD, f"{SAID} {PAN}": f"{HEARD} {PAN}", f"{SAID} drei": HEARD}},
        "synthesis": {"ms_per_character": 5},
    }
    path.write_text(json.dumps(script), encoding="utf-8")
    return path


def left(data: Path, *some: str) -> dict[str, list[str]]:
    """Which files hold which words."""
    found: dict[str, list[str]] = {}
    for one in data.rglob("*"):
        if one.is_file():
            content = one.read_bytes()
            held = [word for word in some if word.encode() in content]
            if held:
                found[str(one.relative_to(data))] = held
    return found


def sounds(data: Path) -> list[Path]:
    return [one for one in (data / "recordings").rglob("*") if one.is_file()]


async def spoken(server: ServerProcess, *, turns: int = 3) -> str:
    """An ended session in which something was said and recorded, and which a webhook is to be told of."""
    body = {
        "mode": "bidirectional_translation",
        "source_language": "de",
        "target_language": "en",
        "recording": {"enabled": True},
        "metadata": {"note": SAID},
    }
    async with server.rest() as rest:
        headers = {"Idempotency-Key": f"privacy-{turns}"}
        session = (await rest.post("/v1/sessions", json=body, headers=headers)).raise_for_status().json()
        async with await StreamClient.open(session["stream"]["url"], session["stream"]["token"]) as client:
            for _ in range(turns):
                await client.say()
                await client.until("transcript.final")
        (await rest.post(f"/v1/sessions/{session['id']}/end")).raise_for_status()
        await ready(rest, session["id"])
    return session["id"]


async def ready(rest: Any, session_id: str) -> None:
    async with asyncio.timeout(30):
        while True:
            found = (await rest.get(f"/v1/sessions/{session_id}/recordings")).raise_for_status().json()["data"]
            if found and all(one["status"] == "ready" for one in found):
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("kills", [0, 1, 2])
async def test_nothing_that_was_said_stays_on_the_disk(tmp_path: Path, words: Path, kills: int) -> None:
    data = tmp_path / "data"
    with ServerProcess(data, scripted=words) as server:
        session_id = await spoken(server)
        assert left(data, SAID, HEARD)
        assert sounds(data)
        async with server.rest() as rest:
            deleting = asyncio.create_task(rest.delete(f"/v1/sessions/{session_id}"))
            if kills < 2:
                assert (await deleting).status_code == 200
            else:
                # Somewhere between the request and its answer.
                await asyncio.sleep(0.002)
            if kills:
                server.kill()
                await asyncio.gather(deleting, return_exceptions=True)
                server.start()
        async with server.rest() as rest:
            # Where the kill came before the transaction, nothing has happened at all; it is asked for again.
            again = await rest.delete(f"/v1/sessions/{session_id}")
            assert again.status_code == 404 or (kills == 2 and again.status_code == 200)
            assert (await rest.get(f"/v1/sessions/{session_id}")).status_code == 404
            assert session_id not in (await rest.get("/v1/sessions")).text
        await until(lambda: not sounds(data) and not left(data, SAID, HEARD), within_s=60)
        assert SAID not in server.log
        assert HEARD not in server.log
    assert left(data, SAID, HEARD) == {}


async def test_a_card_number_reaches_neither_disk_nor_reader(tmp_path: Path, words: Path) -> None:
    data = tmp_path / "data"
    with ServerProcess(data, scripted=words) as server:
        async with server.rest() as rest:
            policy = {"redaction": {"card_numbers": True, "patterns": [{"name": "word", "pattern": SAID}]}}
            (await rest.patch("/v1/organization", json=policy)).raise_for_status()
            body = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en"}
            session = (await rest.post("/v1/sessions", json=body)).raise_for_status().json()
            async with await StreamClient.open(session["stream"]["url"], session["stream"]["token"]) as client:
                for _ in range(2):
                    await client.say()
                    await client.until("transcript.final")
                told = json.dumps(client.messages)
            (await rest.post(f"/v1/sessions/{session['id']}/end")).raise_for_status()
            turns = (await rest.get(f"/v1/sessions/{session['id']}/transcript")).json()["turns"]
            events = (await rest.get("/v1/events?type=transcript.segment")).json()["data"]
            export = (await rest.get(f"/v1/sessions/{session['id']}/export")).raise_for_status().content
        assert [one["text"] for one in turns] == ["[word] eins", "[word] [card number]"]
        assert turns[1]["translation"]["text"] == f"{HEARD} [card number]"
        assert [one["data"]["text"] for one in reversed(events)] == ["[word] eins", "[word] [card number]"]
        assert SAID not in told
        assert "1111 1111" not in told, "a partial shows eight digits at most"
        with zipfile.ZipFile(io.BytesIO(export)) as read:
            assert "1111 1111" not in "".join(read.read(name).decode(errors="replace") for name in read.namelist())
    assert set(left(data, SAID)) <= {"kallglot.sqlite3"}, "the pattern itself"
    assert left(data, PAN) == {}
