"""An hour of churn: ``python -m benchmarks.calls.soak --minutes 60``.

Calls of 20 to 60 s come and go; most behave, some do not (:mod:`benchmarks.calls.churn`). Every ten seconds it is
looked at what the server holds, and in the end whether the last third was any more than the second.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import uvloop

from benchmarks.calls.calls import Pacer
from benchmarks.calls.churn import Churn
from benchmarks.calls.figures import Figures, machine, markdown, slope, spread
from benchmarks.calls.plant import Plant, Used, running

RECONNECT_S: Final = 20
"""Abandoned sessions are let go of after it, so that an hour sees many."""
SETTLED_S: Final = 90.0
"""For the server to come to rest at the end."""


@dataclass(frozen=True)
class Sample:
    """``at_s`` from the beginning; memory in bytes, lateness and lag in milliseconds."""

    at_s: float
    memory: int
    tree_memory: int
    descriptors: int
    threads: int
    children: int
    tasks: float | None
    live_sessions: float
    legs: float
    lag_ms: float
    late_p99_ms: float | None
    cores: float


MAY_GROW: Final[dict[str, tuple[float, float]]] = {
    "memory": (0.02, 4 * 2**20),
    "descriptors": (0.1, 8),
    "threads": (0.0, 2),
    "children": (0.0, 1),
    "tasks": (0.1, 16),
    "lag_ms": (0.2, 3),
    "late_p99_ms": (0.2, 5),
}
"""From the second third to the last: a part of what it was, and so much more, which is chance."""


def verdict(samples: Sequence[Sample]) -> dict[str, Figures]:
    """For each figure its means over the second and the last third, its slope over the last in units an hour, and
    whether it is flat."""
    third = len(samples) // 3
    if not third:
        raise ValueError(f"expected at least 3 samples, got {len(samples)}")
    second, last = samples[third : 2 * third], samples[-third:]
    step_h = (last[-1].at_s - last[0].at_s) / max(1, len(last) - 1) / 3600
    found: dict[str, Figures] = {}
    for name, (part, more) in MAY_GROW.items():
        before, after = ([v for one in of if (v := getattr(one, name)) is not None] for of in (second, last))
        if not before or not after:
            continue
        was, became = float(np.mean(before)), float(np.mean(after))
        found[name] = {
            "second_third": round(was, 3),
            "last_third": round(became, 3),
            "slope_an_hour": round(slope(after, step_h), 3),
            "flat": became <= was * (1 + part) + more,
        }
    return found


async def soak(
    minutes: float,
    calls: int,
    *,
    core: int | None = 0,
    every_s: float = 10.0,
    lasting: tuple[float, float] = (20.0, 60.0),
    told: Callable[[Sample], None] = lambda _: None,
) -> Figures:
    settings = {"KALLGLOT_RECONNECT_SECONDS": str(RECONNECT_S), "KALLGLOT_NEVER_CONNECTED_SECONDS": str(RECONNECT_S)}
    async with running(core=core, settings=settings) as plant:
        pacer = Pacer()
        churn = Churn(plant, calls, pacer, *lasting)
        pacing, churning = asyncio.create_task(pacer.run()), asyncio.create_task(churn.run())
        gc.freeze()
        began = time.perf_counter()
        samples: list[Sample] = []
        own_late: list[float] = []
        before = Used.now(plant)
        while (passed := time.perf_counter() - began) < minutes * 60:
            await asyncio.sleep(min(every_s, minutes * 60 - passed))
            sample, before = await _looked(plant, before, began, churn.heard())
            samples.append(sample)
            told(sample)
            if (own := spread(pacer.late_ms)) is not None:
                own_late.append(own["p99"])
            pacer.late_ms.clear()
            if churning.done():
                await churning
        churn.stopping = True
        await churning
        pacer.stop()
        await pacing
        left = await _at_rest(plant)
        found = verdict(samples)
        return {
            "minutes": minutes,
            "calls_at_a_time": calls,
            "flat": all(one["flat"] for one in found.values()),
            "figures": found,
            "churn": churn.described(),
            "left_at_rest": left,
            "errors_in_log": plant.log.read_text(encoding="utf-8", errors="replace").count("Traceback"),
            "driver_late_p99_ms": spread(own_late),
            "samples": [asdict(one) for one in samples],
        }


async def _looked(plant: Plant, before: Used, began: float, late_ms: list[float]) -> tuple[Sample, Used]:
    metrics, used = await plant.metrics(), Used.now(plant)
    late = spread(late_ms)
    sample = Sample(
        round(used.at - began, 1),
        used.memory,
        used.tree_memory,
        plant.process.num_fds(),
        plant.process.num_threads(),
        len(plant.process.children(recursive=True)),
        metrics.get("kallglot_event_loop_tasks"),
        metrics.get("kallglot_live_sessions", 0.0),
        metrics.get("kallglot_legs", 0.0),
        round(metrics["kallglot_event_loop_lag_seconds"] * 1000, 3),
        late["p99"] if late else None,
        used.cores_since(before)["main"],
    )
    return sample, used


async def _at_rest(plant: Plant) -> dict[str, Any]:
    """What is left when everybody has gone; all of it should be nothing."""
    left: dict[str, Any] = {}
    try:
        async with asyncio.timeout(SETTLED_S):
            while True:
                metrics, vendors = await plant.metrics(), await plant.vendors_figures()
                left = {
                    "live_sessions": metrics.get("kallglot_live_sessions", 0.0),
                    "legs": metrics.get("kallglot_legs", 0.0),
                    "recogniser_streams": vendors["open_streams"],
                    "recordings_waiting": metrics.get("kallglot_recordings_waiting", 0.0),
                    "deliveries_pending": metrics.get("kallglot_webhook_deliveries_pending", 0.0),
                }
                if not any(left.values()):
                    break
                await asyncio.sleep(0.5)
    except TimeoutError:
        pass
    return {**left, "descriptors": plant.process.num_fds(), "threads": plant.process.num_threads()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--calls", type=int, default=30, help="at a time")
    parser.add_argument("--every", type=float, default=10, help="seconds between two looks")
    parser.add_argument("--core", type=int, default=0, help="the server's; -1 leaves it where it is")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    asked = parser.parse_args()

    def told(one: Sample) -> None:
        memory = one.memory / 2**20
        said = f"{one.at_s:.0f} s: {memory:.1f} MiB, {one.descriptors} descriptors, {one.legs:.0f} legs"
        print(f"{said}, lag {one.lag_ms:.1f} ms, late {one.late_p99_ms} ms", file=sys.stderr, flush=True)

    core = None if asked.core < 0 else asked.core
    found = uvloop.run(soak(asked.minutes, asked.calls, core=core, every_s=asked.every, told=told))
    found = {"machine": machine(), **found}
    text = markdown(f"{asked.minutes:g} minutes of churn", found)
    print(text)
    if asked.json is not None:
        asked.json.write_text(json.dumps(found, indent=2), encoding="utf-8")
    if asked.markdown is not None:
        asked.markdown.write_text(text, encoding="utf-8")
    return 0 if found["flat"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
