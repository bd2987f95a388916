"""How many telephone legs one core carries: ``python -m benchmarks.legs --legs 200``.

A server of its own with scripted engines, kept to one core, and so many simulated Twilio streams at 50 messages a
second each way. In half of the sessions both sides speak one language, so that every frame goes through to the other
side: each carries the moment at which it was sent, and is timed. In the other half turns are translated and spoken:
each frame is late by how much it comes after the moment at which it would have to be played for the spurt not to stop.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import psutil
import pybase64
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
from rich.console import Console
from rich.table import Table

from kallglot.cli.local import local_server

FRAME_MS: Final = 20
SPEECH_FRAMES: Final = 60
PERIOD_FRAMES: Final = 250
SCRIPT: Final[dict[str, Any]] = {
    "languages": ["de", "en"],
    "recognition": {"de": ["ein Satz, der etwas länger ist"], "en": ["a sentence that is somewhat longer"]},
    "synthesis": {"ms_per_character": 60},
}
LOUD: Final = bytes([0x10, 0x10, 0x10, 0x10, 0x90, 0x90, 0x90, 0x90] * 20)
SILENT: Final = b"\xff" * 160
GAP_S: Final = 0.3


@dataclass
class Leg(WSListener):
    """One stream. ``through``: what is heard is the other side's own voice, with the time in its first bytes."""

    number: int
    session_id: str
    token: str
    participant: str
    through: bool
    sid: str = ""
    transport: WSTransport | None = None
    received: int = 0
    measuring: bool = False
    late_ms: list[float] = field(default_factory=list)
    _spurt_s: float = 0.0
    _spurt_frames: int = 0
    _last_s: float = 0.0
    _head: bytes = b""

    def __post_init__(self) -> None:
        super().__init__()
        self.sid = f"MZ{self.number:032x}"
        self._head = f'{{"event":"media","streamSid":"{self.sid}","media":{{"track":"inbound","payload":"'.encode()

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        parameters = {"token": self.token, "participant": self.participant}
        start = {
            "callSid": f"CA{self.number:032x}",
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": parameters,
        }
        self._text(json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"}).encode())
        self._text(json.dumps({"event": "start", "streamSid": self.sid, "start": start}).encode())

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type != WSMsgType.TEXT:
            return
        data = frame.get_payload_as_bytes()
        if data.startswith(b'{"event":"mark"'):
            self._text(data)
            return
        self.received += 1
        if not self.measuring:
            return
        now = time.perf_counter()
        if self.through:
            payload = pybase64.b64decode(data[data.rindex(b'":"') + 3 : -3])
            self._time_through(payload, now)
        else:
            self._time_spurt(now)

    def say(self, frame: int, now: float) -> None:
        speaks = (frame + self.number * 37) % PERIOD_FRAMES < SPEECH_FRAMES
        payload = stamped(now) if self.through else LOUD if speaks else SILENT
        self._text(b'%b%b","timestamp":"%d"}}' % (self._head, pybase64.b64encode(payload), frame * FRAME_MS))

    def _time_through(self, payload: bytes, now: float) -> None:
        self.late_ms.append((now - unstamped(payload, now)) * 1000)

    def _time_spurt(self, now: float) -> None:
        """As a carrier plays: from the first frame on, without a stop; later ones wait in its buffer."""
        if now - self._last_s > GAP_S and now > self._spurt_s + self._spurt_frames * FRAME_MS / 1000:
            self._spurt_s, self._spurt_frames = now, 0
        else:
            due = self._spurt_s + self._spurt_frames * FRAME_MS / 1000
            self.late_ms.append(max(0.0, now - due) * 1000)
        self._spurt_frames += 1
        self._last_s = now

    def _text(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.send(WSMsgType.TEXT, data)


def stamped(now: float) -> bytes:
    """A frame that carries tenths of a millisecond in mu-law codes that survive being decoded and coded again."""
    tenths = int(now * 10_000) % (100**4)
    digits = bytes(0x80 + tenths // 100**place % 100 for place in range(4))
    return digits + b"\xff" * 156


def unstamped(payload: bytes, now: float) -> float:
    tenths = sum((byte - 0x80) * 100**place for place, byte in enumerate(payload[:4]))
    age = (int(now * 10_000) - tenths) % (100**4)
    return now - age / 10_000


async def sessions(rest: httpx.AsyncClient, legs: int) -> list[Leg]:
    made: list[Leg] = []
    for number in range(0, legs, 2):
        through = number // 2 % 2 == 0
        body = {
            "mode": "bidirectional_translation",
            "source_language": "de",
            "target_language": "de" if through else "en",
        }
        session = (await rest.post("/v1/sessions", json=body)).raise_for_status().json()
        for offset, role in enumerate(("customer", "agent")):
            made.append(Leg(number + offset, session["id"], session["stream"]["token"], role, through))
    return made


async def run(legs_wanted: int, seconds: float, core: int | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "script.json"
        script.write_text(json.dumps(SCRIPT), encoding="utf-8")
        settings = {"KALLGLOT_SCRIPTED_ENGINES": str(script)}
        async with local_server(Path(folder), settings) as server:
            process = psutil.Process(server.pid)
            if core is not None:
                process.cpu_affinity([core])
                psutil.Process().cpu_affinity([one for one in range(psutil.cpu_count() or 1) if one != core])
            headers = {"Authorization": f"Bearer {server.api_key}"}
            async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60) as rest:
                return await measure(rest, process, await sessions(rest, legs_wanted), server.url, seconds)


async def measure(
    rest: httpx.AsyncClient, process: psutil.Process, legs: list[Leg], url: str, seconds: float
) -> dict[str, Any]:
    for leg in legs:
        await ws_connect(lambda leg=leg: leg, f"{url.replace('http', 'ws', 1)}/v1/sessions/{leg.session_id}/connect")
    async with asyncio.timeout(60):
        while (await metric(rest, "kallglot_legs")) != len(legs):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    loop = asyncio.get_running_loop()
    began = loop.time()
    warm = round(5 / (FRAME_MS / 1000))
    frames = warm + round(seconds * 1000 / FRAME_MS)
    groups = 10
    own_late: list[float] = []
    used = 0.0
    for frame in range(frames):
        if frame == warm:
            for leg in legs:
                leg.measuring = True
            used = sum(process.cpu_times()[:2])
            measured_from = time.perf_counter()
        for group in range(groups):
            due = began + (frame + group / groups) * FRAME_MS / 1000
            wait = due - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            elif frame >= warm:
                own_late.append(-wait * 1000)
            now = time.perf_counter()
            for leg in legs[group::groups]:
                leg.say(frame, now)
    cpu = (sum(process.cpu_times()[:2]) - used) / (time.perf_counter() - measured_from)
    lag = await metric(rest, "kallglot_event_loop_lag_seconds")
    through = np.array([late for leg in legs if leg.through for late in leg.late_ms])
    spoken = np.array([late for leg in legs if not leg.through for late in leg.late_ms])
    for leg in legs:
        if leg.transport is not None:
            leg.transport.disconnect()
    return {
        "legs": len(legs),
        "seconds": seconds,
        "server_cpu_cores": cpu,
        "memory_mib": process.memory_info().rss / 2**20,
        "loop_lag_ms": lag * 1000,
        "client_late_ms_p99": float(np.percentile(own_late, 99)) if own_late else 0.0,
        **figures("through", through),
        **figures("spoken", spoken),
    }


async def metric(rest: httpx.AsyncClient, name: str) -> float:
    """Of all its labels."""
    found = re.findall(rf"^{name}(?:{{.*}})? (\S+)$", (await rest.get("/metrics")).text, re.MULTILINE)
    return sum(map(float, found))


def figures(name: str, late: np.ndarray) -> dict[str, Any]:
    if not len(late):
        return {f"{name}_frames": 0}
    return {
        f"{name}_frames": len(late),
        f"{name}_ms_median": float(np.median(late)),
        f"{name}_ms_p99": float(np.percentile(late, 99)),
        f"{name}_ms_max": float(late.max()),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--legs", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--core", type=int, default=0, help="the server's; -1 leaves it where it is")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found = asyncio.run(run(asked.legs, asked.seconds, None if asked.core < 0 else asked.core))
    table = Table("telephone legs on one core", "")
    for name, value in found.items():
        table.add_row(name.replace("_", " "), f"{value:.1f}" if isinstance(value, float) else str(value))
    Console().print(table)
    if asked.json is not None:
        asked.json.write_text(json.dumps(found, indent=2), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
