"""Whether both sides of a call stay together in its recording, in real time, whatever happens to their connections.

``python -m benchmarks.recording --minutes 10`` has two people send the same chirps at the same moments over connections
of their own, one of which is away for 90 s and has a clock that jumps, the other of which stalls and bursts. Then it
looks for the chirps in the recording.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import io
import json
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import soundfile
from rich.console import Console
from rich.table import Table
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from kallglot.audio.codec import encoder
from kallglot.cli.calls import Server
from kallglot.cli.local import local_server

RATE = 8000
FRAME_S = 0.02
EVERY_S = 5.0
CHIRP_S = 0.06
AWAY_S = 90.0
STALL_S = 4.0


def chirp(at: np.ndarray) -> np.ndarray:
    """A sweep from 500 to 3000 Hz that begins at 0, at these seconds."""
    inside = (at >= 0) & (at < CHIRP_S)
    sweep = np.sin(2 * np.pi * (500 * at + 2500 / (2 * CHIRP_S) * at**2))
    return np.where(inside, 8000 * sweep * np.sin(np.pi * np.clip(at / CHIRP_S, 0, 1)) ** 2, 0.0)


@dataclass
class Side:
    """One of the two: its audio is made by the second of the call, whatever becomes of it."""

    participant: str
    away: float | None = None
    stall: float | None = None
    ahead: float | None = None
    back: float | None = None

    async def call(self, dial: Callable[[str], Any], begun: float, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        mulaw = encoder("mulaw", RATE)
        socket: ClientConnection | None = await dial(self.participant)
        reader = asyncio.create_task(drain(socket))
        held: list[str] = []
        for n in range(int(seconds / FRAME_S)):
            second = n * FRAME_S
            await asyncio.sleep(max(0.0, begun + second + FRAME_S - loop.time()))
            if self.away is not None and self.away <= second < self.away + AWAY_S:
                if socket is not None:
                    socket.transport.abort()
                    socket = None
                continue
            if socket is None:
                socket = await dial(self.participant)
                reader = asyncio.create_task(drain(socket))
            at = second + np.arange(round(FRAME_S * RATE)) / RATE
            pcm = np.rint(chirp(at - np.floor(at / EVERY_S) * EVERY_S)).astype("<i2").tobytes()
            payload = base64.b64encode(mulaw.encode(pcm)).decode()
            audio = {"encoding": "mulaw", "sample_rate_hz": RATE, "payload": payload}
            held.append(json.dumps({"type": "audio.input", "timestamp_ms": self.stamp(second), "audio": audio}))
            if self.stall is not None and self.stall <= second < self.stall + STALL_S:
                continue
            for message in held:
                await socket.send(message)
            held.clear()
        if socket is not None:
            await socket.close()
        await reader

    def stamp(self, second: float) -> int:
        jumps = 7000 * (self.ahead is not None and second >= self.ahead)
        jumps -= 3000 * (self.back is not None and second >= self.back)
        return round(second * 1000) + jumps


async def drain(socket: ClientConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        async for _ in socket:
            pass


async def record(server: Server, seconds: float) -> np.ndarray:
    """Runs the call; the stereo recording."""
    headers = {"Authorization": f"Bearer {server.api_key}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60) as rest:
        body = {"mode": "assistive_translation", "source_language": "en", "recording": {"enabled": True}}
        session = (await rest.post("/v1/sessions", json=body)).raise_for_status().json()
        address = f"/v1/sessions/{session['id']}"

        async def dial(participant: str) -> ClientConnection:
            stream = (await rest.get(address)).raise_for_status().json()["stream"]
            return await connect(f"{stream['url']}?token={stream['token']}&participant={participant}", compression=None)

        unit = seconds / 10
        customer = Side("customer", away=3 * unit, ahead=7 * unit, back=8 * unit)
        agent = Side("agent", stall=6 * unit)
        begun = asyncio.get_running_loop().time() + 1.0
        await asyncio.gather(customer.call(dial, begun, seconds), agent.call(dial, begun, seconds))
        (await rest.post(f"{address}/end")).raise_for_status()
        while True:
            found = (await rest.get(f"{address}/recordings")).raise_for_status().json()["data"]
            said = next(one for one in found if one["channel"] == "mixed")
            if said["status"] != "processing":
                break
            await asyncio.sleep(1)
        wav = await rest.get(f"{said['download_url']}?format=wav")
        audio, rate = soundfile.read(io.BytesIO(wav.raise_for_status().content), dtype="float64")
        assert rate == RATE, rate
        return audio


def moments(channel: np.ndarray, seconds: float) -> dict[int, float]:
    """The second at which each chirp begins that is in the channel, by its number."""
    template = chirp(np.arange(round(CHIRP_S * RATE)) / RATE)
    found: dict[int, float] = {}
    for number in range(int(seconds / EVERY_S)):
        start = max(0, round((number * EVERY_S - EVERY_S / 2) * RATE))
        part = channel[start : round((number * EVERY_S + EVERY_S / 2) * RATE)]
        if len(part) <= len(template):
            continue
        product = np.abs(np.correlate(part, template, "valid"))
        best = int(product.argmax())
        piece = part[best : best + len(template)]
        if product[best] > 0.8 * np.linalg.norm(piece) * np.linalg.norm(template) > 1e-6:
            found[number] = (start + best) / RATE
    return found


def report(audio: np.ndarray, seconds: float) -> dict[str, Any]:
    left, right = moments(audio[:, 0], seconds), moments(audio[:, 1], seconds)
    common = sorted(left.keys() & right.keys())
    apart = [(left[n] - right[n]) * 1000 for n in common]
    truth = [(side[n] - n * EVERY_S) * 1000 for side in (left, right) for n in side]
    return {
        "seconds": len(audio) / RATE,
        "chirps_left": len(left),
        "chirps_right": len(right),
        "chirps_both": len(common),
        "apart_ms_median": statistics.median(apart),
        "apart_ms_p95": sorted(map(abs, apart))[int(len(apart) * 0.95)],
        "apart_ms_worst": max(apart, key=abs),
        "apart_worst_at_s": max(zip(apart, common, strict=True), key=lambda one: abs(one[0]))[1] * EVERY_S,
        "drift_ms": max(apart) - min(apart),
        "offset_ms_median": statistics.median(truth),
        "offset_ms_worst": max(truth, key=lambda ms: abs(ms - statistics.median(truth))),
    }


async def run(seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        async with local_server(Path(folder)) as server:
            return report(await record(server, seconds), seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    found = asyncio.run(run(parser.parse_args().minutes * 60))
    table = Table("", "")
    for name, value in found.items():
        table.add_row(name, f"{value:.1f}" if isinstance(value, float) else str(value))
    Console().print(table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
