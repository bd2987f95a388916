"""Where each microsecond goes: the stacks of the main process, sampled from outside, by stage.

py-spy, from an environment of its own, stops the server for a fraction of a millisecond a hundred times a second: read
while it runs, a stack that is in motion cannot be read, and what is busy would be seen too seldom. A run without it
comes first, so that it can be seen what that does. What the kernel and the event loop take is the rest: the processor
time of the process less that of the samples in all other stages.
"""

from __future__ import annotations

import asyncio
import os
import re
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.calls.conversation import FRAMES_PER_SECOND
from benchmarks.calls.figures import Figures
from benchmarks.calls.plant import Plant
from benchmarks.calls.run import run

ENVIRONMENT: Final = Path("benchmarks/calls/.cache/py-spy")
PACKAGE: Final = "py-spy==0.4.3"
RATE_HZ: Final = 100
INSIDE: Final = Path(__file__).parent / "inside"
GARBAGE: Final = "garbage collection, within the others"

LOOKS: Final = "the benchmark's own looks"
LOOP: Final = "kernel, socket read and event loop"
SOCKETS: Final = "engines' sockets"
STAGES: Final[Mapping[str, str]] = {
    "recording": r"kallglot/recording/|_record_heard",
    "recogniser send": r"speech/remote/(stream|connection|ledger|telling|recognizer)|providers/deepgram"
    r"|session/ear\.py"
    r"|failover/relay|speech/(used|frames|counted)|aiohttp/(_websocket|client_ws)",
    "translator": r"speech/remote/(translator|languages)|providers/deepl",
    "synthesizer": r"speech/remote/(synthesizer|audio)|providers/(elevenlabs|voiced)",
    SOCKETS: r"site-packages/aiohttp/|speech/remote/http",
    "encode and write": r"legs/(native|twilio|carrier|telnyx)\.py:.*(audio|media)$"
    r"|legs/socket\.py:.*_(send|write|deliver)"
    r"|deliver_audio|codec\.py:.*encode|g711\.py:pcm_to",
    "decode": r"legs/(native|twilio|carrier|telnyx|dialect|messages|reorder)\.py|audio/(codec|g711)\.py",
    "playout tick": r"audio/(playout|tempo|levels)|_tick_forever|\.tick$",
    "timeline": r"audio/(mediaclock|timeline)|sessiontime",
    "route and mix": r"session/(live|audience|hearing|routes|speaker|floor|holding|presence)\.py"
    r"|audio/(ducking|resample)",
    "turns": r"kallglot/(session|speech)/",
    "WebSocket, JSON and base64 in": r"kallglot/legs/",
    "events and store": r"kallglot/(store|webhooks|api|outbox|metrics|observer|carriers|billing|traces)"
    r"|sqlalchemy|aiosqlite|uvicorn",
}
"""The first that the innermost frame matches which is one of ours; written as ``file:function``."""
_OURS: Final = re.compile(r"kallglot/|aiohttp|sqlalchemy|aiosqlite|uvicorn")


def stage_of(stack: Sequence[str]) -> str:
    """Of a stack of ``function (file:line)``, the outermost first."""
    frames = [_frame(one) for one in stack]
    if any("kallglot/metrics/exposition" in one for one in frames):
        return LOOKS
    for frame in reversed(frames):
        if _OURS.search(frame) is None:
            continue
        for name, pattern in STAGES.items():
            if re.search(pattern, frame):
                # What an engine's socket does is done for the engine whose code asked for it.
                return _on_behalf(frames) or name if name == SOCKETS else name
    return LOOP if frames else "other"


def _frame(shown: str) -> str:
    found = re.fullmatch(r"(.*) \((.*?)(?::\d+)?\)", shown)
    return f"{found[2]}:{found[1]}" if found else shown


def _on_behalf(frames: Sequence[str]) -> str | None:
    for frame in reversed(frames):
        for name in ("recogniser send", "translator", "synthesizer"):
            if re.search(STAGES[name], frame):
                return name
    return None


def counted(raw: str) -> Counter[str]:
    """Samples by stage, of py-spy's raw format: ``thread;outermost;…;innermost count`` a line. All of the threads
    beside that of the event loop are one stage."""
    found: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        thread, *frames = stack.split(";")
        found[stage_of(frames) if "MainThread" in thread else "other threads"] += int(count)
    return found


async def measured(calls: int, seconds: float, core: int | None) -> Figures:
    """A run without the sampler and one with it, and the stages of the latter."""
    sampler = installed()
    without = await run(calls, seconds, core=core)
    with tempfile.NamedTemporaryFile(suffix=".gc") as spent:
        spent.write(bytes(16))
        spent.flush()
        sampled: list[str] = []
        collected: list[tuple[float, float]] = []

        async def sample(plant: Plant, for_s: float) -> None:
            collected.append(struct.unpack("dd", Path(spent.name).read_bytes()))
            sampled.append(await _sampled(sampler, plant.process.pid, for_s))
            collected.append(struct.unpack("dd", Path(spent.name).read_bytes()))

        path = os.pathsep.join(filter(None, (str(INSIDE), os.environ.get("PYTHONPATH"))))
        settings = {"PYTHONPATH": path, "KALLGLOT_BENCHMARK_GC": spent.name}
        attached = await run(calls, seconds, core=core, during=sample, settings=settings)
    by_stage = counted(sampled[0])
    waited = by_stage.pop(LOOP, 0)
    # Frames that came in and frames that were heard, in a second.
    frames = calls * 2 * FRAMES_PER_SECOND + attached["frames_heard"] / seconds
    used = attached["server"]["cores_main"]
    sampled_s = max(1, round(seconds) - 1)
    cores = {name: count / RATE_HZ / sampled_s for name, count in by_stage.items()}
    cores[LOOP] = max(0.0, used - sum(cores.values()))
    (spent_before, times_before), (spent_after, times_after) = collected
    cores[GARBAGE] = (spent_after - spent_before) / sampled_s
    return {
        **without,
        "sampler": {
            "cores_without": without["server"]["cores_main"],
            "cores_with": attached["server"]["cores_main"],
            "late_ms_without": without["late_ms"]["all"],
            "late_ms_with": attached["late_ms"]["all"],
            "samples": sum(by_stage.values()) + waited,
            "cores_by_samples": (sum(by_stage.values()) + waited) / RATE_HZ / sampled_s,
            "collections": times_after - times_before,
        },
        "stages": [
            {"stage": name, "percent": 100 * cores[name] / used, "us_a_frame": cores[name] / frames * 1e6}
            for name in sorted(cores, key=lambda name: (name == GARBAGE, -cores[name]))
        ],
    }


def table(stages: Sequence[Mapping[str, Any]]) -> str:
    lines = ["| stage | µs a frame, in or out | per cent of the main process |", "|---|---|---|"]
    lines += [f"| {one['stage']} | {one['us_a_frame']:.2f} | {one['percent']:.1f} |" for one in stages]
    return "\n".join([*lines, ""])


def installed() -> Path:
    """py-spy's program, in an environment of its own."""
    program = ENVIRONMENT / "bin" / "py-spy"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
        subprocess.run([str(ENVIRONMENT / "bin" / "pip"), "install", "-q", PACKAGE], check=True)
    return program


async def _sampled(program: Path, pid: int, seconds: float) -> str:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "stacks.txt"
        process = await asyncio.create_subprocess_exec(
            str(program),
            *("record", "--format", "raw", "--rate", str(RATE_HZ), "--threads", "--full-filenames"),
            *("--duration", str(max(1, round(seconds) - 1)), "--output", str(out), "--pid", str(pid)),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=dict(os.environ),
        )
        _, said = await process.communicate()
        if process.returncode or not out.exists():
            raise RuntimeError(f"py-spy failed: {said.decode(errors='replace')[-500:]}")
        return out.read_text(encoding="utf-8")
