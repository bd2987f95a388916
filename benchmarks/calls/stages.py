"""Where each microsecond goes: the stacks of the main process, sampled by its own processor time, by stage.

Samplers from outside did not do: py-spy loses what is in motion where it does not stop the server, and is most of what
is measured where it does. So the launched server samples itself (``inside/sitecustomize.py``). A run without it comes
first: where processor time or lateness differ by more than chance, the figures are of the sampler. Other threads' time
is the kernel's account of them, and what the kernel and the event loop take of the main thread is the rest.
"""

from __future__ import annotations

import asyncio
import os
import re
import struct
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.calls.conversation import FRAMES_PER_SECOND
from benchmarks.calls.figures import Figures
from benchmarks.calls.plant import Plant, seconds
from benchmarks.calls.run import run

INSIDE: Final = Path(__file__).parent / "inside"
GARBAGE: Final = "garbage collection, within the others"

OTHERS: Final = "other threads"
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
    """Samples by stage, of ``thread;outermost;…;innermost count`` a line."""
    found: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        found[stage_of(stack.split(";")[1:])] += int(count)
    return found


async def measured(calls: int, for_s: float, core: int | None) -> Figures:
    """A run without the sampler and one with it, and the stages of the latter."""
    without = await run(calls, for_s, core=core)
    with tempfile.TemporaryDirectory() as folder:
        shared = Path(folder) / "inside"
        shared.write_bytes(bytes(24))

        async def sample(plant: Plant, lasts_s: float) -> tuple[Sampled, Sampled]:
            before = Sampled.now(plant, shared)
            _ask(shared, 1.0)
            await asyncio.sleep(lasts_s)
            after = Sampled.now(plant, shared)
            _ask(shared, 2.0)
            async with asyncio.timeout(30):
                while _told(shared)[2] != 3.0:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            return before, after

        path = os.pathsep.join(filter(None, (str(INSIDE), os.environ.get("PYTHONPATH"))))
        settings = {"PYTHONPATH": path, "KALLGLOT_BENCHMARK_INSIDE": str(shared)}
        attached = await run(calls, for_s, core=core, during=sample, settings=settings)
        by_stage = counted(Path(f"{shared}.stacks").read_text(encoding="utf-8"))
    before, after = attached.pop("observed")
    total = sum(by_stage.values())
    wall = after.at - before.at
    used, others = (after.process_s - before.process_s) / wall, (after.threads_s - before.threads_s) / wall
    by_stage.pop(LOOP, None)
    cores = {name: count / total * used for name, count in by_stage.items()}
    cores[OTHERS] = others
    cores[LOOP] = max(0.0, used - sum(cores.values()))
    cores[GARBAGE] = (after.garbage_s - before.garbage_s) / wall
    # Frames that came in and frames that were heard, in a second.
    frames = calls * 2 * FRAMES_PER_SECOND + attached["frames_heard"] / for_s
    return {
        **without,
        "sampler": {
            "cores_without": without["server"]["cores_main"],
            "cores_with": attached["server"]["cores_main"],
            "late_ms_without": without["late_ms"]["all"],
            "late_ms_with": attached["late_ms"]["all"],
            "samples": total,
            "collections": after.collections - before.collections,
        },
        "stages": [
            {"stage": name, "percent": 100 * cores[name] / used, "us_a_frame": cores[name] / frames * 1e6}
            for name in sorted(cores, key=lambda name: (name == GARBAGE, -cores[name]))
        ],
    }


@dataclass(frozen=True)
class Sampled:
    """Seconds of processor time by a moment: of the process, of its threads beside the main one, of collections."""

    at: float
    process_s: float
    threads_s: float
    garbage_s: float
    collections: float

    @classmethod
    def now(cls, plant: Plant, shared: Path) -> Sampled:
        garbage_s, collections, _ = _told(shared)
        threads = {one.id: one.user_time + one.system_time for one in plant.process.threads()}
        threads.pop(plant.process.pid, None)
        return cls(time.perf_counter(), seconds(plant.process), sum(threads.values()), garbage_s, collections)


def _told(shared: Path) -> tuple[float, float, float]:
    return struct.unpack("ddd", shared.read_bytes())


def _ask(shared: Path, what: float) -> None:
    with shared.open("r+b") as file:
        file.seek(16)
        file.write(struct.pack("d", what))


def table(stages: Sequence[Mapping[str, Any]]) -> str:
    lines = ["| stage | µs a frame, in or out | per cent of the main process |", "|---|---|---|"]
    lines += [f"| {one['stage']} | {one['us_a_frame']:.2f} | {one['percent']:.1f} |" for one in stages]
    return "\n".join([*lines, ""])
