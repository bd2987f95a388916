"""Recordings of calls over real sockets, of servers that are killed, stopped and started again."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from tests import forks
from tests.acceptance.client import SILENT, StreamClient
from tests.postgres import Postgres
from tests.serverprocess import ServerProcess
from tests.waiting import until

from kallglot.audio.codec import encoder

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("recording")]

CUSTOMER_HZ, AGENT_HZ, VOICE_HZ = 700, 1500, 440
SLOT_S = 0.02


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


def frames(hz: float, seconds: float) -> list[bytes]:
    at = np.arange(round(seconds * 8000))
    mulaw = encoder("mulaw", 8000).encode(np.rint(9000 * np.sin(2 * np.pi * hz * at / 8000)).astype("<i2").tobytes())
    return [mulaw[n : n + 160] for n in range(0, len(mulaw), 160)]


class Tones:
    """Where in a recording a tone is heard."""

    def __init__(self, sound: bytes) -> None:
        audio, self._rate = soundfile.read(io.BytesIO(sound), always_2d=True)
        self.seconds = len(audio) / self._rate
        self._audio: npt.NDArray[np.float64] = audio

    def slots(self, side: int, hz: float) -> list[int]:
        """Slots of 20 ms in which the tone is loud."""
        size = round(SLOT_S * self._rate)
        count = len(self._audio) // size
        slots = self._audio[: count * size, side].reshape(count, size)
        wave = np.exp(-2j * np.pi * hz * np.arange(size) / self._rate)
        return np.flatnonzero(np.abs(slots @ wave) * 2 / size > 0.05).tolist()

    def span(self, side: int, hz: float) -> tuple[float, float, float]:
        """Its beginning, its end and how long it is heard in all, in seconds."""
        slots = self.slots(side, hz)
        assert slots, f"{hz} Hz is not heard on side {side}"
        return slots[0] * SLOT_S, (slots[-1] + 1) * SLOT_S, len(slots) * SLOT_S


async def create(server: ServerProcess) -> dict[str, Any]:
    body = {
        "mode": "bidirectional_translation",
        "source_language": "de",
        "target_language": "en",
        "recording": {"enabled": True},
    }
    async with server.rest() as rest:
        return (await rest.post("/v1/sessions", json=body)).raise_for_status().json()


async def dial(server: ServerProcess, session_id: str, participant: str) -> StreamClient:
    async with server.rest() as rest:
        stream = (await rest.get(f"/v1/sessions/{session_id}")).raise_for_status().json()["stream"]
    client = await StreamClient.open(stream["url"], stream["token"], f"&participant={participant}")
    await client.until("session.ready")
    return client


async def end(server: ServerProcess, session_id: str) -> float:
    async with server.rest() as rest:
        return (await rest.post(f"/v1/sessions/{session_id}/end")).raise_for_status().json()["duration_seconds"]


async def recordings(server: ServerProcess, session_id: str) -> dict[str, Tones]:
    """By channel, once they are ready."""
    async with server.rest() as rest, asyncio.timeout(30):
        while True:
            found = (await rest.get(f"/v1/sessions/{session_id}/recordings")).raise_for_status().json()["data"]
            if found and all(one["status"] == "ready" for one in found):
                break
            await asyncio.sleep(0.1)
        sounds: dict[str, Tones] = {}
        for one in found:
            wav = (await rest.get(one["download_url"], params={"format": "wav"})).raise_for_status()
            sounds[one["channel"]] = Tones(wav.content)
            assert one["duration"] == pytest.approx(sounds[one["channel"]].seconds, abs=0.001)
    return sounds


def tracks(data: Path) -> list[Path]:
    return list((data / "recordings" / "tracks").iterdir())


async def test_what_was_said_and_what_was_heard(tmp_path: Path, script: Path, settings: dict[str, str]) -> None:
    with ServerProcess(tmp_path / "data", scripted=script, settings=settings) as server:
        session = await create(server)
        customer = await dial(server, session["id"], "customer")
        agent = await dial(server, session["id"], "agent")
        await customer.send_frames(frames(CUSTOMER_HZ, 0.6) + [SILENT] * 25, paced=True)
        await agent.until("playback.finished")
        await agent.send_frames(frames(AGENT_HZ, 0.4) + [SILENT] * 25, paced=True)
        await customer.until("playback.finished", lambda told: told["listener"] == "customer")
        seconds = await end(server, session["id"])
        await customer.closed()
        await agent.closed()
        sounds = await recordings(server, session["id"])
        assert tracks(tmp_path / "data") == []
    said, heard = sounds["mixed"], sounds["heard"]
    assert said.seconds == pytest.approx(seconds, abs=0.03)
    assert said.span(0, CUSTOMER_HZ) == (
        pytest.approx(0, abs=0.021),
        pytest.approx(0.6, abs=0.05),
        pytest.approx(0.6, abs=0.05),
    )
    begun, _, long = said.span(1, AGENT_HZ)
    assert begun > 1.0
    assert long == pytest.approx(0.4, abs=0.05)
    assert not said.slots(0, AGENT_HZ)
    assert not said.slots(1, CUSTOMER_HZ)
    assert not said.slots(0, VOICE_HZ)
    # "first" for the agent, "[de] one" for the customer, at 20 ms a character.
    at_agent, at_customer = heard.span(1, VOICE_HZ), heard.span(0, VOICE_HZ)
    assert at_agent[2] == pytest.approx(0.10, abs=0.045)
    assert at_customer[2] == pytest.approx(0.16, abs=0.045)
    assert 0.6 < at_agent[0] < begun < at_customer[0]
    assert not heard.slots(0, AGENT_HZ)
    assert not heard.slots(1, CUSTOMER_HZ)


async def test_kill_9_loses_at_most_a_second_and_the_gap_stays(
    tmp_path: Path, script: Path, settings: dict[str, str]
) -> None:
    with ServerProcess(tmp_path / "data", scripted=script, settings=settings) as server:
        session = await create(server)
        customer = await dial(server, session["id"], "customer")
        agent = await dial(server, session["id"], "agent")
        begun = time.monotonic()
        await asyncio.gather(
            customer.send_frames(frames(CUSTOMER_HZ, 2.4), paced=True),
            agent.send_frames(frames(AGENT_HZ, 2.4), paced=True),
        )
        server.kill()
        await asyncio.gather(customer.closed(), agent.closed())
        server.start()
        customer = await dial(server, session["id"], "customer")
        back = time.monotonic() - begun
        await customer.send_frames(frames(CUSTOMER_HZ, 1.0), paced=True)
        await end(server, session["id"])
        await customer.closed()
        said = (await recordings(server, session["id"]))["mixed"]
        assert tracks(tmp_path / "data") == []
    for side, hz in ((0, CUSTOMER_HZ), (1, AGENT_HZ)):
        before = [slot for slot in said.slots(side, hz) if slot * SLOT_S < 2.6]
        lost = 2.4 - (before[-1] + 1) * SLOT_S
        print(f"lost {lost * 1000:.0f} ms of side {side}")
        assert before == list(range(before[0], before[-1] + 1)), "there is no other hole"
        assert before[0] <= 1
        assert lost <= 1.0
    after = [slot for slot in said.slots(0, CUSTOMER_HZ) if slot * SLOT_S >= 2.6]
    assert after[0] * SLOT_S == pytest.approx(back, abs=0.2)
    assert len(after) * SLOT_S == pytest.approx(1.0, abs=0.05)
    assert not [slot for slot in said.slots(1, AGENT_HZ) if slot * SLOT_S >= 2.6]


async def test_a_polite_shutdown_in_mid_call_loses_nothing(tmp_path: Path, script: Path) -> None:
    with ServerProcess(tmp_path / "data", scripted=script) as server:
        session = await create(server)
        customer = await dial(server, session["id"], "customer")
        await customer.send_frames(frames(CUSTOMER_HZ, 1.0), paced=True)
        await customer.send({"type": "ping", "id": "behind"})
        await customer.until("pong")
        closed = asyncio.create_task(customer.closed())
        await asyncio.to_thread(server.terminate)
        assert await closed == 1001
        server.start()
        await end(server, session["id"])
        said = (await recordings(server, session["id"]))["mixed"]
    begun, _, long = said.span(0, CUSTOMER_HZ)
    assert begun <= 0.02
    assert long == pytest.approx(1.0, abs=0.03)


async def test_a_session_that_ends_while_nobody_is_connected(tmp_path: Path, script: Path) -> None:
    with ServerProcess(tmp_path / "data", scripted=script) as server:
        session = await create(server)
        customer = await dial(server, session["id"], "customer")
        await customer.send_frames(frames(CUSTOMER_HZ, 0.6) + [SILENT] * 25)
        await customer.until("transcript.final")
        await customer.socket.close()
        await end(server, session["id"])
        said = (await recordings(server, session["id"]))["mixed"]
        assert tracks(tmp_path / "data") == []
    assert said.span(0, CUSTOMER_HZ)[2] == pytest.approx(0.6, abs=0.05)


async def test_a_dropped_session_is_recorded_when_its_time_is_over(tmp_path: Path, script: Path) -> None:
    with ServerProcess(tmp_path / "data", scripted=script, settings={"KALLGLOT_RECONNECT_SECONDS": "0.5"}) as server:
        session, silent = await create(server), await create(server)
        for one, sound in ((session, frames(CUSTOMER_HZ, 0.6) + [SILENT] * 25), (silent, [])):
            client = await dial(server, one["id"], "customer")
            await client.send_frames(sound)
            await client.socket.close()
        said = (await recordings(server, session["id"]))["mixed"]
        assert said.span(0, CUSTOMER_HZ)[2] == pytest.approx(0.6, abs=0.05)
        await until(lambda: not tracks(tmp_path / "data"))
        async with server.rest() as rest:
            assert (await rest.get(f"/v1/sessions/{silent['id']}/recordings")).json()["data"] == []


def command(tmp_path: Path, script: Path, name: str, store: str, port: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "KALLGLOT_DATA_DIR": str(tmp_path / "data"),
        "KALLGLOT_PORT": str(port),
        "KALLGLOT_SCRIPTED_ENGINES": str(script),
        "KALLGLOT_RECORDING_STORE": store,
        "COLUMNS": "200",
    }
    return forks.run([name], environment)


@pytest.mark.parametrize(
    ("store", "words"),
    [("s4://calls", "is not understood: expected file:///"), ("file:///dev/null/calls", "cannot be opened")],
)
def test_a_place_for_recordings_that_makes_no_sense_is_said_at_the_start(
    tmp_path: Path, script: Path, store: str, words: str
) -> None:
    done = command(tmp_path, script, "serve", store)
    assert done.returncode == 2
    assert "KALLGLOT_RECORDING_STORE: " in done.stdout
    assert words in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


async def test_a_store_that_is_away_is_said_at_the_start(tmp_path: Path, script: Path, free_port: int) -> None:
    settings = {
        "KALLGLOT_RECORDING_STORE": f"s3://calls?endpoint=http://127.0.0.1:{free_port}&region=us-east-1&allow_http=true",
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }
    with ServerProcess(tmp_path / "data", scripted=script, settings=settings) as server:
        await until(lambda: "recordings wait for their shelf" in server.log)
        assert "the recordings in s3://calls cannot be written: the store does not answer" in server.log


def test_the_doctor_looks_after_the_recordings(tmp_path: Path, script: Path) -> None:
    fine = command(tmp_path, script, "doctor", f"file://{tmp_path}/calls")
    assert f"ok  recordings in {tmp_path}/calls" in fine.stdout
    ill = command(tmp_path, script, "doctor", "file:///dev/null/calls")
    assert ill.returncode == 1
    assert "!!  the recordings in /dev/null/calls cannot be opened" in ill.stdout
