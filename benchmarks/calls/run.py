"""One run: so many calls at once for so long, and everything that is known of it afterwards."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from benchmarks.calls.calls import Call, Pacer, Window, connected, frames_of, lateness
from benchmarks.calls.conversation import TURN_NEEDS
from benchmarks.calls.engines import Latencies
from benchmarks.calls.figures import Figures, spread
from benchmarks.calls.legs import FRAME_S
from benchmarks.calls.plant import Plant, Used, running

WARM_S = 8.0
"""Before anything is measured: engines' first connections, the first turns."""
AT_ONCE = 16
"""Calls that connect at a time."""
RECORDED_S = 180.0
"""For a recording to be rendered."""
GOOD_MS = 20.0
"""Below it the 99th percentile of lateness has to be."""


def good(found: Figures) -> bool:
    """Whether the calls of a run were as calls have to be."""
    late = found["late_ms"]["all"]
    return late is not None and late["p99"] < GOOD_MS and not found["turns"]["lost_in"] and not found["legs_lost"]


async def run(
    calls: int,
    seconds: float,
    *,
    core: int | None = 0,
    latencies: Latencies | None = None,
    during: Callable[[Plant, float], Coroutine[Any, Any, Any]] | None = None,
    settings: dict[str, str] | None = None,
) -> Figures:
    """``during`` is run while it is measured, and given how long that is; what it returns is ``observed``."""
    latencies = latencies or Latencies()
    async with running(core=core, latencies=latencies, settings=settings) as plant:
        await one_to_begin_with(plant)
        rest = Used.now(plant)
        window = Window()
        made, pacer = await _began(plant, calls, seconds, window)
        pacing = asyncio.create_task(pacer.run())
        gc.collect()
        gc.freeze()
        gc.disable()
        try:
            await asyncio.sleep(WARM_S)
            window.open, window.began = True, time.perf_counter()
            pacer.late_ms.clear()
            before, lags = Used.now(plant), []
            watching = asyncio.create_task(_lag(plant, lags))
            observing = asyncio.create_task(during(plant, seconds)) if during else None
            await asyncio.sleep(seconds)
            after = Used.now(plant)
            window.open, window.ended = False, time.perf_counter()
            own = spread(pacer.late_ms)
            watching.cancel()
            observed = await observing if observing else None
            async with asyncio.timeout(TURN_NEEDS * FRAME_S + 30):
                while not all(call.over for call in made):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        finally:
            gc.enable()
            pacer.stop()
            await pacing
        recordings = await _ended(plant, made)
        vendors = await plant.vendors_figures()
        cores = after.cores_since(before)
        turns = [call.turns(window) for call in made]
        lost = [name for name in ("told", "begun", "finished", "heard") if _sum(turns, name) < _sum(turns, "expected")]
        delays = [delay * 1000 for one in turns for delay in one["delays"]]
        return {
            "calls": calls,
            "legs": 2 * calls,
            "seconds": seconds,
            "server": {
                "cores_main": cores["main"],
                "cores_tree": cores["tree"],
                "ms_per_call_second_main": cores["main"] / calls * 1000,
                "ms_per_call_second_tree": cores["tree"] / calls * 1000,
                "ms_per_leg_second_main": cores["main"] / calls * 500,
                "ms_per_leg_second_tree": cores["tree"] / calls * 500,
                "loop_lag_ms": spread([lag * 1000 for lag in lags]),
                "rss_mib_at_rest": rest.memory / 2**20,
                "rss_mib": after.memory / 2**20,
                "rss_mib_per_session": (after.memory - rest.memory) / 2**20 / calls,
                "tree_rss_mib_per_session": (after.tree_memory - rest.tree_memory) / 2**20 / calls,
                "errors_in_log": plant.log.read_text(encoding="utf-8", errors="replace").count("Traceback"),
            },
            "frames_heard": sum(len(leg.heard.late_ms) for call in made for leg in call.legs.values()),
            "late_ms": lateness(made),
            "turns": {
                **{name: _sum(turns, name) for name in ("expected", "told", "begun", "finished", "heard")},
                "lost_in": lost,
                "first_sound_ms": spread(delays),
                "of_which_engines_ms": latencies.altogether,
            },
            "recordings": recordings,
            "warnings": _sum_told(made, "warning"),
            "errors": _sum_told(made, "error"),
            "legs_lost": sum(leg.gone and leg.close_code != 1000 for call in made for leg in call.legs.values()),
            "driver": {"late_ms": own, "cores": cores["driver"]},
            "vendors": {
                "cores": cores["vendors"],
                **{name: vendors[name] for name in ("streams", "refused", "events")},
            },
            **({"observed": observed} if observed is not None else {}),
        }


async def one_to_begin_with(plant: Plant) -> None:
    """A short call: what is imported and opened with the first is there at rest."""
    window = Window()
    call = await connected(plant, 0, frames_of(12), lambda: window.open)
    await plant.live(2)
    pacer = Pacer()
    pacer.add(call)
    pacing = asyncio.create_task(pacer.run())
    while not call.over:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    pacer.stop()
    await pacing
    await _ended(plant, [call])
    await plant.live(0)


async def _began(plant: Plant, calls: int, seconds: float, window: Window) -> tuple[list[Call], Pacer]:
    frames = frames_of(WARM_S + seconds) + TURN_NEEDS
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> Call:
        async with gate:
            return await connected(plant, number, frames, lambda: window.open)

    made = await asyncio.gather(*(one(number) for number in range(calls)))
    await plant.live(2 * calls)
    pacer = Pacer()
    for call in made:
        pacer.add(call)
    return list(made), pacer


async def _lag(plant: Plant, lags: list[float]) -> None:
    while True:
        lags.append((await plant.metrics())["kallglot_event_loop_lag_seconds"])
        await asyncio.sleep(5)


async def _ended(plant: Plant, made: Sequence[Call]) -> Figures:
    """Ends the calls; whether their recordings are there, and as long as the calls were: no shorter than what was said,
    and no longer than until they were ended."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def end(call: Call) -> float:
        async with gate:
            answer = await plant.rest.post(f"/v1/sessions/{call.session['id']}/end")
        return answer.raise_for_status().json()["duration_seconds"]

    async def recorded(call: Call, most_s: float) -> float | None:
        """By how much a recording is shorter or longer than it may be; None where there is none."""
        async with gate, asyncio.timeout(RECORDED_S):
            while True:
                answer = await plant.rest.get(f"/v1/sessions/{call.session['id']}/recordings")
                found = answer.raise_for_status().json()["data"]
                if found and all(one["status"] != "processing" for one in found):
                    break
                await asyncio.sleep(0.5)
        if len(found) < 2 or any(one["status"] != "ready" for one in found):
            return None
        least_s = call.frame * FRAME_S
        return max(max(least_s - one["duration"], one["duration"] - most_s, 0.0) for one in found)

    lasted = await asyncio.gather(*(end(call) for call in made))
    found = await asyncio.gather(*(recorded(call, one) for call, one in zip(made, lasted, strict=True)))
    there = [one for one in found if one is not None]
    return {
        "expected": len(made),
        "there": len(there),
        "as_long_as_the_call": sum(one < 0.5 for one in there),
        "most_difference_s": round(max(there, default=0.0), 3),
    }


def _sum(turns: Sequence[Figures], name: str) -> int:
    return sum(one[name] for one in turns)


def _sum_told(made: Sequence[Call], kind: str) -> int:
    return sum(leg.told.get(kind, 0) for call in made for leg in call.legs.values())
