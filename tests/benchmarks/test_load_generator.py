"""The load generator against small servers of our own: what it sends, what it finds again, and what it counts."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from benchmarks.media import toolchain
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from kallglot.audio.g711 import mulaw_to_pcm, pcm_to_mulaw

pytestmark = pytest.mark.slow

TALK = "/{n}\ttwilio\t\ttalk\t0"


@pytest.fixture(scope="module")
def generator() -> Path:
    for program in ("gcc", "make"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    return toolchain.generator(install=False)


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """All codes there are: the generator has to rid them of what begins a marker."""
    path = tmp_path / "speech.ulaw"
    path.write_bytes(bytes(range(256)) * 100)
    return path


class Server(WSListener):
    """Answers media as ``answer`` has it, and keeps what else came."""

    def __init__(self, path: str, answer: Callable[[str, dict[str, Any]], list[bytes]], came: list[Any]) -> None:
        super().__init__()
        self.path = path
        self._answer = answer
        self._came = came
        self._parts = b""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind, data = frame.msg_type, frame.get_payload_as_bytes()
        if kind == WSMsgType.PING:
            transport.send_pong(data)
            self._came.append("ping")
        elif kind == WSMsgType.CLOSE:
            self._came.append(("close", frame.get_close_code()))
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif not frame.fin:
            self._parts += data
        else:
            data, self._parts = self._parts + data, b""
            self._message(transport, data)

    def _message(self, transport: WSTransport, data: bytes) -> None:
        try:
            message = json.loads(data)
        except ValueError:
            self._came.append("broken")
            return
        if message.get("event") == "media":
            for one in self._answer(self.path, message):
                transport.send(WSMsgType.TEXT, one)
        else:
            self._came.append(message)


@asynccontextmanager
async def server(answer: Callable[[str, dict[str, Any]], list[bytes]], came: list[Any]) -> AsyncGenerator[int]:
    def accept(request: WSUpgradeRequest) -> WSListener | None:
        path = request.path.decode()
        return None if path.startswith("/no") else Server(path, answer, came)

    listening = await ws_create_server(accept, "127.0.0.1", 0, max_frame_size=2**20, enable_auto_pong=False)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


def echo(path: str, message: dict[str, Any]) -> list[bytes]:
    """Decoded and coded again, as every server does."""
    if "media" not in message:
        return []
    audio = pcm_to_mulaw(mulaw_to_pcm(base64.b64decode(message["media"]["payload"])))
    return [media(audio)]


def media(audio: bytes) -> bytes:
    return json.dumps({"event": "media", "media": {"payload": base64.b64encode(audio).decode()}}).encode()


async def generated(generator: Path, speech: Path, port: int, lines: list[str], *options: str) -> dict[str, Any]:
    """Waits long for the last frames of an echo; the generator ends once it has them."""
    legs = speech.with_name("legs.tsv")
    legs.write_text("".join(f"{line}\n" for line in lines))
    command = [generator, legs, "--port", str(port), "--audio", speech, "--seconds", "1", "--warmup", "0.1"]
    command += ["--tail", "20", *options]
    process = await asyncio.create_subprocess_exec(
        *map(str, command), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err
    words, brace, figures = out.decode().partition("{")
    assert words.split() == ["connecting", "settling", "measuring", "measured"]
    return json.loads(brace + figures)


def numbered(count: int, line: str = TALK) -> list[str]:
    return [line.format(n=n) for n in range(count)]


async def test_every_frame_of_an_echo_is_found_again(generator: Path, speech: Path) -> None:
    came: list[Any] = []
    async with server(echo, came) as port:
        found = await generated(generator, speech, port, numbered(5))
    frames = found["frames"]
    assert found["legs"]["connected"] == found["legs"]["live_at_end"] == 5
    assert found["legs"]["got_nothing"] == 0
    assert frames["sent"] > 0
    assert frames["came_back"] == frames["own"] == found["round_trip_ms"]["count"] == frames["sent"]
    assert frames["without_marker"] == frames["across"] == 0
    starts = [one for one in came if isinstance(one, dict) and one["event"] == "start"]
    assert [one["event"] for one in came if isinstance(one, dict)].count("connected") == 5
    assert len({one["streamSid"] for one in starts}) == 5
    assert starts[0]["start"]["mediaFormat"] == {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}


async def test_media_messages_are_numbered_as_twilios_are(generator: Path, speech: Path) -> None:
    messages: list[dict[str, Any]] = []

    def keep(path: str, message: dict[str, Any]) -> list[bytes]:
        messages.append(message)
        return []

    async with server(keep, []) as port:
        found = await generated(generator, speech, port, numbered(1), "--tail", "0.1")
    assert found["legs"]["got_nothing"] == 1
    assert found["round_trip_ms"] is None
    first = messages[0]
    assert first["sequenceNumber"] == "2"
    assert {"track": "inbound", "chunk": "1", "timestamp": "0"}.items() <= first["media"].items()
    assert [int(one["media"]["chunk"]) for one in messages] == list(range(1, len(messages) + 1))
    assert all(int(one["media"]["timestamp"]) == 20 * n for n, one in enumerate(messages))
    assert {len(base64.b64decode(one["media"]["payload"])) for one in messages} == {160}


async def test_a_marker_is_found_however_frames_are_cut_anew(generator: Path, speech: Path) -> None:
    """A server's own framing, 40 ms at odd places: markers lie anywhere, also across two messages."""
    waiting: dict[str, bytes] = {}

    def cut(path: str, message: dict[str, Any]) -> list[bytes]:
        audio = waiting.get(path, b"\xff" * 155) + base64.b64decode(message["media"]["payload"])
        size = 320
        waiting[path] = audio[len(audio) - len(audio) % size :]
        return [media(audio[at : at + size]) for at in range(0, len(audio) - size + 1, size)]

    async with server(cut, []) as port:
        found = await generated(generator, speech, port, numbered(3))
    assert found["frames"]["came_back"] == found["frames"]["sent"] > 0


async def test_a_voice_that_goes_through_to_another_leg_is_timed(generator: Path, speech: Path) -> None:
    sockets: dict[str, WSTransport] = {}

    class Through(Server):
        def on_ws_connected(self, transport: WSTransport) -> None:
            sockets[self.path] = transport

    def across(path: str, message: dict[str, Any]) -> list[bytes]:
        other = sockets.get("/1" if path == "/0" else "/0")
        if other is not None:
            other.send(WSMsgType.TEXT, echo(path, message)[0])
        return []

    listening = await ws_create_server(lambda r: Through(r.path.decode(), across, []), "127.0.0.1", 0)
    async with listening:
        found = await generated(generator, speech, listening.sockets[0].getsockname()[1], numbered(2))
    assert found["frames"]["across"] == found["frames"]["sent"] > 0
    assert found["frames"]["own"] == 0


async def test_audio_of_the_servers_own_carries_no_marker(generator: Path, speech: Path) -> None:
    async with server(lambda path, message: [media(b"\x10\x90" * 80)], []) as port:
        found = await generated(generator, speech, port, numbered(2), "--tail", "0.1")
    assert found["frames"]["came_back"] == 0
    assert found["frames"]["without_marker"] == found["frames"]["received"] > 0
    assert found["arrival_late_ms"]["count"] == found["frames"]["received"]


async def test_marks_are_answered_once_heard_and_clears_are_counted(generator: Path, speech: Path) -> None:
    came: list[Any] = []

    def marked(path: str, message: dict[str, Any]) -> list[bytes]:
        chunk = int(message["media"]["chunk"])
        mark = json.dumps({"event": "mark", "streamSid": message["streamSid"], "mark": {"name": f"m{chunk}"}})
        return [*echo(path, message), mark.encode(), *([b'{"event": "clear"}'] if chunk == 20 else [])]

    async with server(marked, came) as port:
        found = await generated(generator, speech, port, numbered(1))
    names = [one["mark"]["name"] for one in came if isinstance(one, dict) and one["event"] == "mark"]
    assert names == [f"m{n}" for n in range(1, len(names) + 1)]
    assert len(names) > 20
    assert found["frames"]["clears"] == 1


async def test_legs_that_are_refused_are_counted_by_status(generator: Path, speech: Path) -> None:
    async with server(echo, []) as port:
        found = await generated(generator, speech, port, [*numbered(2), "/no\ttwilio\t\ttalk\t0"])
    refused = found["legs"]["refused"]
    assert found["legs"]["connected"] == 2
    assert sum(refused["http"].values()) + refused["network"] == 1


async def test_legs_that_the_server_closes_are_counted_by_code(generator: Path, speech: Path) -> None:
    class Closing(WSListener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if b'"start"' in frame.get_payload_as_bytes():
                transport.send_close(4404, b"no such session")

    listening = await ws_create_server(lambda request: Closing(), "127.0.0.1", 0)
    async with listening:
        found = await generated(generator, speech, listening.sockets[0].getsockname()[1], numbered(3))
    assert found["legs"]["close_codes"] == {"4404": 3}
    assert found["legs"]["lost"] == 3
    assert found["legs"]["live_at_end"] == 0


async def test_churn_drops_legs_both_ways_and_they_come_back(generator: Path, speech: Path) -> None:
    came: list[Any] = []
    async with server(echo, came) as port:
        found = await generated(generator, speech, port, numbered(6), "--churn", "20", "--tail", "0.1")
    legs = found["legs"]
    assert legs["dropped_abruptly"] > 0
    assert legs["dropped_closed"] > 0
    assert legs["reconnected"] > 0
    assert legs["connected"] == 6
    assert any(one["event"] == "stop" for one in came if isinstance(one, dict))
    assert ("close", 1000) in came


async def test_garbage_comes_from_some_legs_and_is_no_part_of_the_figures(generator: Path, speech: Path) -> None:
    came: list[Any] = []
    async with server(echo, came) as port:
        found = await generated(generator, speech, port, numbered(40), "--garbage", "0.5", "--seconds", "3")
    assert 0 < found["legs"]["garbage"] < 40
    assert found["frames"]["garbage"] > 0
    assert "broken" in came
    assert "ping" in came
    assert any(isinstance(one, dict) and one["event"] == "weather" for one in came)
    assert found["round_trip_ms"]["count"] == found["frames"]["sent"]


async def test_a_native_leg_waits_for_ready_and_sends_binary_frames(generator: Path, speech: Path) -> None:
    texts: list[dict[str, Any]] = []

    class Native(WSListener):
        def on_ws_connected(self, transport: WSTransport) -> None:
            transport.send(WSMsgType.TEXT, b'{"type":"session.ready","session_id":"ses_1"}')

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            data = frame.get_payload_as_bytes()
            if frame.msg_type == WSMsgType.BINARY:
                assert len(data) == 160
                transport.send(WSMsgType.BINARY, pcm_to_mulaw(mulaw_to_pcm(data)))
            elif frame.msg_type == WSMsgType.TEXT:
                texts.append(json.loads(data))

    listening = await ws_create_server(lambda request: Native(), "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        found = await generated(generator, speech, port, numbered(2, "/{n}?token=x\tnative\t\tduty:10/10\t100"))
    assert (
        texts
        == [
            {"type": "audio.format", "encoding": "mulaw", "sample_rate_hz": 8000, "output": "binary"},
        ]
        * 2
    )
    assert found["frames"]["own"] == found["frames"]["sent"] > 0


async def test_what_a_leg_says_follows_its_duty_and_its_offset(generator: Path, speech: Path) -> None:
    loud: dict[str, list[bool]] = {}

    def keep(path: str, message: dict[str, Any]) -> list[bytes]:
        audio = base64.b64decode(message["media"]["payload"])
        loud.setdefault(path, []).append(audio[12:] != b"\xff" * 148)
        return []

    lines = ["/on\ttwilio\t\tduty:5/10\t0", "/off\ttwilio\t\tlisten\t0", "/late\ttwilio\t\ttalk\t2000"]
    async with server(keep, []) as port:
        await generated(generator, speech, port, lines, "--seconds", "2", "--tail", "0.1")
    runs = "".join("x" if one else "." for one in loud["/on"]).strip("x").strip(".").split("." * 10)
    assert len(runs) > 2
    assert set(runs[1:-1]) == {"xxxxx"}
    assert not any(loud["/off"])
    assert loud["/late"] == sorted(loud["/late"])
    assert set(loud["/late"]) == {False, True}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("/x\ttwilio\t\tsing\t0", "expected talk, listen or duty:ON/OFF, got 'sing'"),
        ("/x\tsmoke\t\ttalk\t0", "expected twilio or native, got 'smoke'"),
        ("/x twilio", "expected five fields with tabs between them"),
    ],
)
async def test_what_is_wrong_in_the_file_of_legs_is_said(
    generator: Path, speech: Path, line: str, message: str
) -> None:
    legs = speech.with_name("legs.tsv")
    legs.write_text(line)
    process = await asyncio.create_subprocess_exec(
        generator, legs, "--port", "1", "--audio", speech, stderr=asyncio.subprocess.PIPE
    )
    _, err = await process.communicate()
    assert process.returncode == 2
    assert message in err.decode()
