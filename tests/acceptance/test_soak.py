"""A thousand sessions, many of them ugly, leave the server as it was; and so do calls that come and go."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from benchmarks.calls.soak import soak
from prometheus_client.parser import text_string_to_metric_families
from tests.acceptance.client import LOUD, StreamClient
from tests.serverprocess import ServerProcess
from websockets.exceptions import ConnectionClosed

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.xdist_group("soak")]

SESSIONS = int(os.environ.get("KALLGLOT_SOAK_SESSIONS", "400"))
MINUTES = float(os.environ.get("KALLGLOT_SOAK_MINUTES", "1.5"))
AT_ONCE = 20


async def one(rest: httpx.AsyncClient, number: int) -> None:
    """A session on one of eight paths; it is ended on all of them."""
    body = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en"}
    session: dict[str, Any] = (await rest.post("/v1/sessions", json=body)).raise_for_status().json()
    url, token = session["stream"]["url"], session["stream"]["token"]
    path = number % 8
    if path == 1:
        token = "kst_live_wrong"
    if path != 0:
        client = await StreamClient.open(url, token)
        try:
            if path == 1:
                assert await client.closed() == 4401
            else:
                await stream(client, path)
        except (ConnectionClosed, ConnectionError):
            assert path in (4, 5)
        finally:
            await client.socket.close()
    for _ in range(2 if path == 6 else 1):
        ended = await rest.post(f"/v1/sessions/{session['id']}/end")
        assert ended.status_code == 200, ended.text


async def stream(client: StreamClient, path: int) -> None:
    await client.until("session.ready")
    await client.say(speech_ms=200, silence_ms=340)
    match path:
        case 2:
            await client.until("transcript.final")
            await client.send({"type": "session.end"})
            assert await client.closed() == 1000
        case 3:
            await client.until("playback.started")
        case 4:
            client.socket.transport.abort()
        case 5:
            for _ in range(25):
                await client.socket.send(os.urandom(40))
        case 6:
            await client.send({"type": "text.input", "speaker": "agent", "text": "hello"})
            await client.until("transcript.final")
        case _:
            await client.socket.send([LOUD[:10], LOUD[:10]])


class Footprint:
    def __init__(self, server: psutil.Process) -> None:
        self.threads = server.num_threads()
        self.files = server.num_fds()
        self.children = len(server.children(recursive=True))
        self.memory = server.memory_info().rss


async def run(server: ServerProcess, first: int, count: int) -> None:
    limit = asyncio.Semaphore(AT_ONCE)

    async def bounded(rest: httpx.AsyncClient, number: int) -> None:
        async with limit:
            await one(rest, number)

    async with server.rest() as rest:
        await asyncio.gather(*(bounded(rest, number) for number in range(first, first + count)))


def total(metrics: str, name: str) -> float:
    """Of all its labels."""
    families = text_string_to_metric_families(metrics)
    return sum(sample.value for family in families if family.name == name for sample in family.samples)


async def quiet(server: ServerProcess) -> str:
    """The metrics, once no session is live any more."""
    async with server.rest() as rest:
        async with asyncio.timeout(30):
            while True:
                metrics = (await rest.get("/metrics")).text
                if total(metrics, "kallglot_live_sessions") == total(metrics, "kallglot_legs") == 0:
                    return metrics
                await asyncio.sleep(0)


async def test_hundreds_of_sessions_leave_nothing_behind(tmp_path: Path, script: Path) -> None:
    with ServerProcess(tmp_path / "data", scripted=script) as server:
        await run(server, 0, SESSIONS // 4)
        await quiet(server)
        before = Footprint(server.process)
        await run(server, 0, SESSIONS)
        await quiet(server)
        after = Footprint(server.process)
        assert after.threads <= before.threads + 2
        assert after.files <= before.files + AT_ONCE
        assert after.children == before.children
        assert after.memory <= before.memory * 1.15 + 8 * 1024 * 1024
        assert "Traceback" not in server.log, server.log[-4000:]


async def test_calls_that_come_and_go_in_every_way_leave_nothing_behind() -> None:
    """Whole calls through engines at the other end of real sockets: good ones, and those that drop, come back, send
    garbage or are abandoned. An hour of it is ``python -m benchmarks.calls.soak``, which looks at memory and
    lateness."""
    found = await soak(MINUTES, 6, core=None, every_s=5, lasting=(15.0, 25.0))
    left, first = found["left_at_rest"], found["samples"][0]
    assert not any(left[name] for name in ("live_sessions", "legs", "recogniser_streams")), left
    assert not any(left[name] for name in ("recordings_waiting", "deliveries_pending")), left
    assert left["descriptors"] <= first["descriptors"] + 16
    assert left["threads"] <= first["threads"] + 8
    turns = found["churn"]["turns"]
    assert turns["expected"] > 0
    assert {turns[name] for name in ("told", "finished")} == {turns["expected"]}, turns
    assert not found["churn"]["failed"]
    assert not found["errors_in_log"]
