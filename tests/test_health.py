"""What keeps a server from taking calls, and what should be looked at: in words, and by breaking each thing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from tests import forks
from tests.acceptance.telephony import scripted
from tests.postgres import Postgres
from tests.serverprocess import ServerProcess

from kallglot import health
from kallglot.health import Engine, Folder, Signs, judge

GIB = 1024**3
ROOMY = Folder(100 * GIB, 200 * GIB)


@pytest.mark.parametrize(
    ("signs", "words"),
    [
        (Signs(database="the database does not answer"), "the database does not answer"),
        (Signs(folder=Folder(1024, 200 * GIB)), "the disk of the data folder is full"),
        (Signs(folder=Folder(0, 0, "No such file or directory")), "cannot be written: No such file or directory"),
    ],
)
def test_what_keeps_calls_away(signs: Signs, words: str) -> None:
    verdict = judge(signs)
    assert words in verdict.problems[0]
    assert not verdict.warnings


@pytest.mark.parametrize(
    ("signs", "words"),
    [
        (Signs(folder=Folder(GIB // 2, 4 * GIB)), "nearly full: 0.5 of 4 GiB are left"),
        (Signs(folder=Folder(4 * GIB, 100 * GIB)), "nearly full: 4.0 of 100 GiB are left"),
        (Signs(folder=Folder(1024, 200 * GIB), kept_in_folder=False), "the disk of the data folder is full"),
        (Signs(engines=[Engine("synthesis", "espeak-ng", False, "apt-get install it")]), "espeak-ng is not used: apt"),
        (Signs(engines=[Engine("recognition", "m", True, None, 4, 0)]), "m has crashed; its 4 processes are being"),
        (Signs(shelf="the recordings cannot be put away"), "the recordings cannot be put away"),
        (Signs(lag_ms=400), "runs 400 ms late, and new sessions are refused"),
        (Signs(oldest_due_seconds=1200), "has been due for 20 minutes"),
        (Signs(skew_seconds=-42), "clock is 42 s behind the database's"),
        (Signs(skew_seconds=42), "clock is 42 s ahead of the database's"),
        (Signs(contradictions=["a and b"]), "a and b"),
    ],
)
def test_what_should_be_looked_at(signs: Signs, words: str) -> None:
    verdict = judge(signs)
    assert words in verdict.warnings[0]
    assert not verdict.problems


def test_nothing_is_wrong_with_a_server_that_is_well() -> None:
    engines = [Engine("recognition", "m", True, "rough", 4, 3)]
    signs = Signs(None, ROOMY, True, engines, None, 20.0, 250.0, 200.0, 4.0)
    assert judge(signs) == health.Verdict()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"carrier_connections": 1}, "KALLGLOT_PUBLIC_URL is unset"),
        ({"carrier_connections": 1, "public_url": "http://a.example"}, "KALLGLOT_PUBLIC_URL is http"),
        ({"public_url": "https://a.example", "stream_url": "ws://a.example"}, "is not wss"),
        ({"public_url": "http://localhost:8080", "host": "0.0.0.0"}, "names this machine only"),
    ],
)
def test_settings_that_contradict_each_other(given: dict[str, Any], words: str) -> None:
    usual = {"public_url": None, "stream_url": None, "host": "127.0.0.1", "carrier_connections": 0}
    (said,) = health.contradictions(**{**usual, **given})
    assert words in said


def test_settings_that_agree() -> None:
    urls = {"public_url": "https://a.example", "stream_url": "wss://a.example"}
    assert not health.contradictions(**urls, host="0.0.0.0", carrier_connections=3)
    assert not health.contradictions(public_url=None, stream_url=None, host="127.0.0.1", carrier_connections=0)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert health.look_at(tmp_path / "gone").trouble == "No such file or directory"
    assert health.look_at(tmp_path).trouble is None
    (tmp_path / "file").write_text("")
    assert health.try_writing(tmp_path / "file") == "File exists"
    assert health.try_writing(tmp_path) is None
    assert not list(tmp_path.glob(".probe*"))


# The doctor


def doctor(
    folder: Path, *, before: Callable[[], None] | None = None, through: Sequence[str] = (), **settings: str
) -> tuple[int, str]:
    environment = {
        "PATH": os.environ["PATH"],
        "KALLGLOT_DATA_DIR": str(folder / "data"),
        "KALLGLOT_PORT": "0",
        "KALLGLOT_SCRIPTED_ENGINES": str(scripted(folder)),
        "COLUMNS": "300",
        # Where nothing can be written, what Python compiles would be written half, and stay.
        "PYTHONDONTWRITEBYTECODE": "1",
        **settings,
    }
    environment = {name: one for name, one in environment.items() if one}
    if before is None and not through:
        done = forks.run(["doctor"], environment, folder)
    else:
        done = subprocess.run(
            [*through, sys.executable, "-m", "kallglot.cli", "doctor"],
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
            preexec_fn=before,
        )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


def test_the_doctor_finds_a_new_machine_well(tmp_path: Path) -> None:
    status, said = doctor(tmp_path)
    assert status == 0, said
    assert "made at the first start" in said
    assert "!!" not in said
    assert not list((tmp_path / "data").glob("*.sqlite3")), "it changes nothing"


def test_the_doctor_finds_a_folder_that_is_read_only(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o500)
    # Root may write anywhere, unless it lets go of that.
    without = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    status, said = doctor(tmp_path, through=without)
    assert (status, "cannot be written: Permission denied" in said) == (1, True), said


def test_the_doctor_finds_a_disk_that_takes_nothing_more(tmp_path: Path) -> None:
    status, said = doctor(tmp_path, before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)))
    assert (status, "cannot be written: File too large" in said) == (1, True), said


def test_the_doctor_finds_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, said = doctor(tmp_path, KALLGLOT_PORT=str(port))
    assert (status, f"port {port} cannot be listened on: Address already in use" in said) == (1, True), said


def test_the_doctor_finds_engines_that_are_missing(tmp_path: Path) -> None:
    status, said = doctor(tmp_path, KALLGLOT_SCRIPTED_ENGINES="", PATH="/nonexistent")
    assert status == 1
    assert "!!  synthesis: espeak-ng is not used: " in said
    assert "!!  translation: apertium is not used: " in said


def test_the_doctor_finds_no_place_for_recordings(tmp_path: Path) -> None:
    store = "s3://recordings/?endpoint=http://127.0.0.1:9&allow_http=true&skip_signature=true&region=x"
    status, said = doctor(tmp_path, KALLGLOT_RECORDING_STORE=store)
    assert status == 1
    assert "the recordings in s3://recordings/ cannot be written: the store does not answer" in said


def test_the_doctor_finds_a_database_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "kallglot.sqlite3").write_bytes(b"this is no database, whatever its name says" * 100)
    status, said = doctor(tmp_path)
    assert (status, "the database's file is no database" in said) == (1, True), said
    status, said = doctor(tmp_path, KALLGLOT_DATABASE_URL="postgresql://u:secret@127.0.0.1:9/x")
    assert (status, "the database does not answer" in said, "secret" in said) == (1, True, False), said
    status, said = doctor(tmp_path, KALLGLOT_DATABASE_URL="mysql://u:secret@127.0.0.1:9/x")
    assert (status, "expected a sqlite:// or postgresql:// database" in said, "secret" in said) == (1, True, False)


@pytest.mark.server
def test_the_doctor_beside_a_server_and_behind_it(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", scripted=scripted(tmp_path)) as server:
        status, said = doctor(tmp_path, KALLGLOT_PORT=str(server.port))
        assert status == 0, said
        assert f"a server is running on port {server.port}" in said
        assert "the ledgers add up" in said
    database = sqlite3.connect(tmp_path / "data" / "kallglot.sqlite3")
    with database:
        database.execute("UPDATE organizations SET credits_remaining = credits_remaining + 7")
    status, said = doctor(tmp_path)
    assert (status, "!!  ledger: " in said) == (1, True), said
    with database:
        database.execute("UPDATE alembic_version SET version_num = '0002'")
    assert "is at 0002, not at" in doctor(tmp_path)[1]
    with database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    status, said = doctor(tmp_path)
    assert (status, "by a newer version of Kallglot" in said) == (1, True), said


def test_an_engine_that_is_down_is_named_and_calls_are_taken() -> None:
    down = health.Engine("recognition", "deepgram", True, down="it has too much to do: 429")
    verdict = health.judge(health.Signs(engines=[down]))
    assert verdict.problems == ()
    assert verdict.warnings == ("recognition: deepgram is down, and tried again: it has too much to do: 429",)


# A running server


async def readiness(server: ServerProcess, fits: Callable[[int, dict[str, Any]], bool]) -> dict[str, Any]:
    async with asyncio.timeout(120), httpx.AsyncClient(timeout=10) as client:
        while True:
            answer = await client.get(f"{server.url}/readyz")
            if fits(answer.status_code, answer.json()):
                return answer.json()
            await asyncio.sleep(0.2)


@pytest.mark.server
async def test_a_data_folder_that_goes_away(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", scripted=scripted(tmp_path)) as server:
        (tmp_path / "data").rename(tmp_path / "elsewhere")
        said = await readiness(server, lambda status, _: status == 503)
        assert said["status"] == "unavailable"
        assert "the data folder cannot be written: No such file or directory" in said["problems"]
        (tmp_path / "elsewhere").rename(tmp_path / "data")
        await readiness(server, lambda status, _: status == 200)
    assert "health: the data folder cannot be written" in server.log


@pytest.mark.server
@pytest.mark.postgres
async def test_a_database_that_stops_and_comes_back(tmp_path: Path) -> None:
    postgres = Postgres()
    try:
        settings = {"KALLGLOT_DATABASE_URL": await postgres.fresh()}
        with ServerProcess(tmp_path / "data", scripted=scripted(tmp_path), settings=settings) as server:
            with postgres.frozen():
                said = await readiness(server, lambda status, _: status == 503)
                assert said["problems"] == ["the database does not answer"]
                async with httpx.AsyncClient(timeout=20) as client:
                    assert "kallglot_database_up 0.0" in (await client.get(f"{server.url}/metrics")).text
            await readiness(server, lambda status, _: status == 200)
    finally:
        postgres.stop()


@pytest.mark.server
@pytest.mark.postgres
async def test_a_server_that_is_told_to_stop_while_the_database_is_frozen(tmp_path: Path) -> None:
    postgres = Postgres()
    try:
        settings = {"KALLGLOT_DATABASE_URL": await postgres.fresh()}
        server = ServerProcess(tmp_path / "data", scripted=scripted(tmp_path), settings=settings)
        server.start()
        with postgres.frozen():
            server.terminate()
    finally:
        postgres.stop()


@pytest.mark.server
@pytest.mark.speech
async def test_an_engine_that_keeps_crashing_is_a_warning(tmp_path: Path) -> None:
    settings = {"KALLGLOT_RECOGNITION_PROCESSES": "1"}
    with ServerProcess(tmp_path / "data", settings=settings) as server:
        stopped = [one for one in server.process.children() if "recognition_worker" in " ".join(one.cmdline())]
        for one in stopped:
            one.kill()

        def crashed(status: int, said: dict[str, Any]) -> bool:
            assert status == 200
            for one in server.process.children():
                # One that dies before it has started is another matter: it is not tried again so soon.
                with contextlib.suppress(psutil.Error):
                    if "recognition_worker" in " ".join(one.cmdline()) and time.time() - one.create_time() > 4:
                        one.kill()
            return any("moonshine-tiny-en has crashed" in words for words in said["warnings"])

        await readiness(server, crashed)
        await readiness(server, lambda status, said: status == 200 and not said["warnings"])


@pytest.mark.server
async def test_a_connection_without_a_public_url_is_a_warning(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", scripted=scripted(tmp_path)) as server:
        async with server.rest() as rest:
            body = {"carrier": "twilio", "account_sid": f"AC{'0' * 32}", "auth_token": "0" * 32}
            (await rest.post("/v1/connections", json=body)).raise_for_status()
        said = await readiness(server, lambda _, said: bool(said["warnings"]))
    assert said["warnings"] == [
        "carriers are connected and KALLGLOT_PUBLIC_URL is unset: they cannot reach this server"
    ]
    assert said["status"] == "ready"


@pytest.mark.parametrize("level", ["loud", ""])
def test_a_log_level_that_there_is_not(tmp_path: Path, level: str) -> None:
    environment = {"PATH": os.environ["PATH"], "KALLGLOT_LOG_LEVEL": level, "KALLGLOT_DATA_DIR": str(tmp_path)}
    done = forks.run(["serve"], environment, tmp_path)
    assert done.returncode == 2
    assert "KALLGLOT_LOG_LEVEL" in done.stdout + done.stderr
