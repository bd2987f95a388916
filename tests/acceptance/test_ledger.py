"""After kill -9 in the middle of everything the books add up: one credit a session, one usage line with its seconds."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests import forks
from tests.acceptance.client import StreamClient
from tests.billing import stripes
from tests.postgres import Postgres
from tests.serverprocess import ServerProcess
from websockets.exceptions import WebSocketException

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.xdist_group("ledger")]

ROUNDS = 3
CREATED_A_ROUND = 12
TALKING = 4
OBJECT = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en"}


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def settings(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    chosen = {
        "KALLGLOT_STRIPE_WEBHOOK_SECRET": stripes.SECRET,
        "KALLGLOT_RECONNECT_SECONDS": "3",
        "KALLGLOT_NEVER_CONNECTED_SECONDS": "15",
    }
    if request.param == "postgresql":
        chosen["KALLGLOT_DATABASE_URL"] = await request.getfixturevalue("postgres").fresh()
    return chosen


@pytest.fixture
async def rest(tmp_path: Path, script: Path, settings: dict[str, str]) -> AsyncIterator[tuple[ServerProcess, Any]]:
    with ServerProcess(tmp_path / "data", scripted=script, settings=settings) as server:
        async with server.rest() as client:
            yield server, client


async def insist(client: httpx.AsyncClient, method: str, path: str, **options: Any) -> Any:
    """Asks until there is an answer, as whoever sends an Idempotency-Key may, and Stripe does."""
    async with asyncio.timeout(180):
        while True:
            try:
                response = await client.request(method, path, **options)
            except httpx.HTTPError:
                await asyncio.sleep(0.1)
                continue
            if response.status_code in (200, 201):
                return response.json()
            assert response.status_code in (409, 503), response.text
            await asyncio.sleep(0.2)


async def talk(session: dict[str, Any], heard: asyncio.Event) -> None:
    """Until the server is gone."""
    try:
        async with await StreamClient.open(session["stream"]["url"], session["stream"]["token"]) as stream:
            while True:
                await stream.say(speech_ms=300, silence_ms=400)
                await stream.until("transcript.final")
                heard.set()
    except (OSError, WebSocketException, AssertionError):
        return


async def everything(client: httpx.AsyncClient, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = await insist(client, "GET", f"{path}?limit=100{cursor}")
        found.extend(page["data"])
        if not page["has_more"]:
            return found
        cursor = f"&starting_after={found[-1]['id']}"


async def all_ended(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    async with asyncio.timeout(120):
        while True:
            found = await everything(client, "/v1/sessions")
            if all(one["status"] == "ended" for one in found):
                return found
            await asyncio.sleep(0.2)


def command(settings: dict[str, str], data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **settings, "KALLGLOT_DATA_DIR": str(data)}
    return forks.run(words, environment)


def milliseconds(used: dict[str, Any]) -> Counter[str]:
    names = ("session_seconds", "translation_seconds", "ai_agent_seconds")
    return Counter({name: round(used[name] * 1000) for name in names})


async def test_after_kill_9_in_the_middle_of_everything_the_books_add_up(
    rest: tuple[ServerProcess, httpx.AsyncClient], settings: dict[str, str], tmp_path: Path
) -> None:
    server, client = rest
    owner = await insist(client, "GET", "/v1/organization")
    creations: list[asyncio.Task[Any]] = []
    ends: list[asyncio.Task[Any]] = []
    bought: list[asyncio.Task[Any]] = []
    talked: set[str] = set()
    for number in range(ROUNDS):
        fresh = [
            asyncio.create_task(
                insist(client, "POST", "/v1/sessions", json=OBJECT, headers={"Idempotency-Key": f"{number}-{n}"})
            )
            for n in range(CREATED_A_ROUND)
        ]
        creations += fresh
        first = [await one for one in fresh[:TALKING]]
        heard = [asyncio.Event() for _ in first]
        talks = [asyncio.create_task(talk(one, event)) for one, event in zip(first, heard, strict=True)]
        async with asyncio.timeout(60):
            await asyncio.gather(*(event.wait() for event in heard))
        talked |= {one["id"] for one in first}
        # Now everything at once: the same ends three times, more creations, payments; and then the power goes.
        ends += [
            asyncio.create_task(insist(client, "POST", f"/v1/sessions/{one['id']}/end"))
            for one in first[: TALKING // 2]
            for _ in range(3)
        ]
        for n in range(4):
            body, signature = stripes.signed(stripes.top_up(owner["id"], "10", id=f"cs_{number}_{n}"))
            headers = {"Stripe-Signature": signature}
            bought += [
                asyncio.create_task(insist(client, "POST", "/v1/payments/stripe", content=body, headers=headers))
                for _ in range(2)
            ]
        more = [
            asyncio.create_task(
                insist(client, "POST", "/v1/sessions", json=OBJECT, headers={"Idempotency-Key": f"{number}-m{n}"})
            )
            for n in range(CREATED_A_ROUND)
        ]
        creations += more
        await asyncio.wait([*ends, *bought, *more], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.to_thread(server.kill)
        await asyncio.gather(*talks)
        await asyncio.to_thread(server.start)
    made = {(await one)["id"] for one in creations}
    assert len(made) == 2 * ROUNDS * CREATED_A_ROUND
    await asyncio.gather(*bought)
    for one in ends:
        assert (await one)["status"] == "ended"
    # Some that are left are ended three times at once, the others wait for a timeout.
    left = sorted(made)[::5]
    again = await asyncio.gather(*(insist(client, "POST", f"/v1/sessions/{one}/end") for one in left for _ in range(3)))
    assert {one["status"] for one in again} == {"ended"}
    sessions = await all_ended(client)

    assert {one["id"] for one in sessions} == made, "no session that nobody asked for"
    assert {one["end_reason"] for one in sessions} == {"completed", "timeout"}
    assert all(one["usage"]["session_seconds"] > 0 for one in sessions if one["id"] in talked)
    assert any(one["usage"]["translation_seconds"] > 0 for one in sessions)
    lines = await everything(client, "/v1/usage/ledger")
    taken = [line for line in lines if line["reason"] == "session"]
    assert sorted(line["reference"] for line in taken) == sorted(made)
    assert {line["amount"] for line in taken} == {-1}
    paid = [line["amount"] for line in lines if line["reason"] == "top_up"]
    assert paid == [10] * 4 * ROUNDS
    after = await insist(client, "GET", "/v1/organization")
    assert after["credits_remaining"] == owner["credits_remaining"] - len(made) + sum(paid)
    assert after["credits_remaining"] == sum(line["amount"] for line in lines) == lines[0]["balance_after"]
    assert after["credits_used"] == len(made)
    of_sessions = sum((milliseconds(one["usage"]) for one in sessions), Counter[str]())
    for groups in ("", "day", "day,mode,api_key"):
        usage = await insist(client, "GET", f"/v1/usage?group_by={groups}")
        assert +milliseconds(usage["total"]) == of_sessions
        assert +sum((milliseconds(row) for row in usage["data"]), Counter[str]()) == of_sessions
        assert (usage["total"]["sessions"], usage["total"]["credits_used"]) == (len(made), len(made))
    for running in (True, False):
        checked = command(settings, tmp_path / "data", "credits", "check")
        assert checked.returncode == 0, checked.stdout + checked.stderr
        assert "add up" in checked.stdout
        if running:
            await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)
