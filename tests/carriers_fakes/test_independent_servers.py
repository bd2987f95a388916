"""The fakes call servers that others wrote: if those understand them, so do ours understand the carriers.

They live in a virtual environment of their own, under the cache folder, and are installed once.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from tests.fakes.calls import Answer
from tests.fakes.codecs import codec
from tests.fakes.pace import Pace
from tests.fakes.telnyx import FakeTelnyx
from tests.fakes.twilio import ACCOUNT_SID, AUTH_TOKEN, FakeTwilio

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("independent-servers")]

FAKES = Path(__file__).parents[1] / "fakes"
AGENT = "https://agent.test"
READY_S = 90
FAST = 4.0


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter that has the independent servers."""
    wanted = FAKES / "peers.txt"
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "kallglot-tests"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = cache / f"peers-{version}-{hashlib.sha256(wanted.read_bytes()).hexdigest()[:12]}"
    interpreter, ready = folder / "bin" / "python", folder / ".ready"
    if ready.exists():
        return interpreter
    beside = Path(sys.executable).parent / "uv"
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        _missing("uv is not installed")
    folder.parent.mkdir(parents=True, exist_ok=True)
    steps = [
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)],
        [uv, "pip", "install", "--quiet", "--python", str(interpreter), "--requirement", str(wanted)],
    ]
    for step in steps:
        done = subprocess.run([str(part) for part in step], capture_output=True, text=True, timeout=900, check=False)
        if done.returncode != 0:
            _missing(f"the independent servers could not be installed from PyPI: {done.stderr.strip()[-400:]}")
    ready.touch()
    return interpreter


def _missing(why: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(why, pytrace=False)
    pytest.skip(why)


@contextmanager
def running(python: Path, script: str, api_url: str) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(python), str(FAKES / "peers" / script), str(port), ACCOUNT_SID, AUTH_TOKEN, api_url]
    environment = {**os.environ, "TAC_ANALYTICS_DISABLED": "true", "PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(process, url)
        yield url
    finally:
        process.terminate()
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _wait_for(process: subprocess.Popen[str], url: str) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            try:
                if httpx.get(f"{url}/seen", timeout=5).status_code == 200:
                    return
            except httpx.HTTPError:
                continue
        else:
            raise AssertionError(f"it ended with {process.returncode}: {process.stdout and process.stdout.read()}")
    raise AssertionError("the independent server did not start")


async def seen(url: str) -> Any:
    async with httpx.AsyncClient(trust_env=False) as http:
        return (await http.get(f"{url}/seen")).json()


async def asked(url: str, **query: str) -> Any:
    async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
        return (await http.get(url, params=query)).raise_for_status().json()


def tone(seconds: float) -> bytes:
    t = np.arange(round(8000 * seconds)) / 8000
    return (8000 * np.sin(2 * np.pi * 400 * t)).astype(np.int16).tobytes()


def loudest_hz(pcm: bytes) -> float:
    samples = np.frombuffer(pcm, np.int16)
    return float(np.abs(np.fft.rfft(samples)).argmax() * 8000 / len(samples))


# --- twilio-agent-connect


@pytest.fixture
async def twilio() -> AsyncIterator[FakeTwilio]:
    async with FakeTwilio(pace=Pace(FAST)) as twilio:
        yield twilio


@pytest.fixture
def agent(python: Path, twilio: FakeTwilio) -> Iterator[str]:
    with running(python, "agent_connect.py", twilio.api_url) as url:
        twilio.hosts[AGENT] = url
        yield url


async def test_agent_connect_takes_an_incoming_call(agent: str, twilio: FakeTwilio) -> None:
    """Its TwiML, its signature checks of the request and of the handshake, its media and its clear."""
    call = await twilio.incoming(f"{AGENT}/twiml", "+4930111")
    assert call.requests[0].status == 200
    stream = await call.streaming()
    assert stream.order.url == "wss://agent.test/ws"
    call.say(tone(0.2))
    await call.until(lambda: stream.received)
    assert stream.received[0] == {"event": "clear", "streamSid": stream.id}
    await call.hears(0.3)
    assert call.errors == []
    report = await seen(agent)
    start = report["starts"][0]
    assert (start["callSid"], start["streamSid"]) == (call.sid, stream.id)
    mulaw = codec("PCMU")
    sent = b"".join(base64.b64decode(payload) for payload in report["heard"][:10])
    assert sent == mulaw.encode(tone(0.2))
    assert report["truncated"] == [500]
    assert loudest_hz(call.heard()[:3200]) == pytest.approx(400, abs=10)
    await call.hang_up()
    await stream.closed.wait()


async def test_agent_connect_turns_forged_requests_away(agent: str, twilio: FakeTwilio) -> None:
    other = FakeTwilio("another-token")
    twilio.forge(other.signed)
    call = await twilio.incoming(f"{AGENT}/twiml")
    assert call.requests[0].status == 403
    await call.ended()
    twilio.forge(lambda url, fields, body: (other if url.startswith("wss") else twilio).signed(url, fields, body))
    call = await twilio.incoming(f"{AGENT}/twiml")
    await call.ended()
    assert [trouble.code for trouble in call.errors] == [31920]
    await other.close()


async def test_agent_connect_places_a_call(agent: str, twilio: FakeTwilio) -> None:
    """By the REST API, with the official client; then progress and answering-machine callbacks, and hanging up."""
    twilio.answers["+4930123456"] = Answer(ring_s=0.2, answered_by="machine_start")
    placed = await asked(f"{agent}/dial", to="+4930123456")
    call = await twilio.outgoing()
    assert placed["sid"] == call.sid
    await call.streaming()
    assert await asked(f"{agent}/hang-up", sid=call.sid) == {"done": True}
    assert await call.ended() == "completed"
    report = await seen(agent)
    assert report["statuses"] == ["initiated", "ringing", "in-progress", "completed"]
    assert report["amd"] == ["machine_start"]
    assert all(request.ok for request in call.requests)


# --- pipecat


@pytest.fixture
async def insecure() -> AsyncIterator[FakeTwilio]:
    async with FakeTwilio(insecure=True, pace=Pace(FAST)) as twilio:
        yield twilio


@pytest.fixture
def pipecat(python: Path, insecure: FakeTwilio) -> Iterator[str]:
    with running(python, "pipecat_server.py", insecure.api_url) as url:
        yield url


def document(pipecat: str, **attributes: str) -> str:
    url = pipecat.replace("http", "ws") + "/stream"
    given = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return (
        f'<Response><Connect><Stream url="{url}"{given}><Parameter name="a" value="b"/></Stream></Connect></Response>'
    )


@pytest.fixture
async def voice_url(pipecat: str) -> AsyncIterator[str]:
    """Serves :func:`document`: its path is the ``bidirectionalMode``."""
    from aiohttp import web

    async def answer(request: web.Request) -> web.Response:
        mode = request.path.strip("/")
        return web.Response(text=document(pipecat, bidirectionalMode=mode), content_type="text/xml")

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_pipecat_understands_twilio(pipecat: str, insecure: FakeTwilio, voice_url: str) -> None:
    call = await insecure.incoming(f"{voice_url}/rtp")
    stream = await call.streaming()
    call.say(tone(1))
    await call.hears(0.8)
    call.press("5")
    await call.until(lambda: "after 5" in stream.marks_returned)
    assert [message["event"] for message in stream.received] == ["clear", "mark"]
    assert call.errors == []
    assert loudest_hz(call.heard()[1600:6400]) == pytest.approx(400, abs=20)
    report = (await seen(pipecat))[0]
    assert report["transport"] == "twilio"
    assert (report["call"]["stream_id"], report["call"]["call_id"]) == (stream.id, call.sid)
    assert report["call"]["body"] == {"a": "b"}
    assert report["digits"] == ["5"]
    call.press("9")
    assert await call.ended() == "completed"
    assert insecure.rest.asked[-1].fields == {"Status": "completed"}


@pytest.mark.parametrize("leg", ["PCMU", "PCMA"])
async def test_pipecat_understands_telnyx(pipecat: str, voice_url: str, leg: str) -> None:
    async with FakeTelnyx(insecure=True, pace=Pace(FAST)) as telnyx:
        call = await telnyx.incoming(f"{voice_url}/rtp", "+4930111", codec=leg)
        stream = await call.streaming()
        call.say(tone(1))
        await call.hears(0.8)
        call.press("5")
        await call.until(lambda: "after 5" in stream.marks_returned)
        assert [message["event"] for message in stream.received] == ["clear", "mark"]
        assert call.errors == []
        assert loudest_hz(call.heard()[1600:6400]) == pytest.approx(400, abs=20)
        report = (await seen(pipecat))[-1]
        assert report["transport"] == "telnyx"
        assert (report["call"]["stream_id"], report["call"]["call_id"]) == (stream.id, call.sid)
        assert report["call"]["outbound_encoding"] == leg
        assert report["digits"] == ["5"]


async def test_pipecat_is_not_heard_where_mp3_is_expected(pipecat: str, voice_url: str) -> None:
    async with FakeTelnyx(insecure=True, pace=Pace(FAST)) as telnyx:
        call = await telnyx.incoming(f"{voice_url}/mp3")
        stream = await call.streaming()
        call.say(tone(1))
        await call.until(lambda: stream.unplayable and call.errors)
        assert call.errors[0].code == 100005
        assert call.heard_s == 0
