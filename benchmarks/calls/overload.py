"""Twice as many calls as it can carry: ``python -m benchmarks.calls.overload --carries 60``.

Calls are asked for one after the other, as callers come, until it was twice what the server carries. Counted is who was
let in and who was refused, how (status, code, ``Retry-After``) and how soon; and how late and how complete the calls
were of those who were let in.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import uvloop
from picows import WSError

from benchmarks.calls.calls import Call, Pacer, Window, connected, frames_of, lateness
from benchmarks.calls.conversation import TURN_NEEDS
from benchmarks.calls.figures import Figures, machine, markdown, spread
from benchmarks.calls.legs import FRAME_S
from benchmarks.calls.plant import Plant, Used, running


class Callers:
    def __init__(self, plant: Plant, pacer: Pacer, window: Window, until: float) -> None:
        self._plant = plant
        self._pacer = pacer
        self._window = window
        self._until = until
        self.admitted: list[Call] = []
        self.refused: Counter[str] = Counter()
        self.retry_after: Counter[str] = Counter()
        self.answered_ms: list[float] = []
        self.first_refused: int | None = None

    async def call(self, number: int) -> None:
        began = time.perf_counter()
        frames = max(TURN_NEEDS, frames_of(self._until - began))
        try:
            call = await connected(self._plant, number, frames, lambda: self._window.open)
        except httpx.HTTPStatusError as error:
            self._refusal(number, error.response)
        except (httpx.HTTPError, OSError, WSError) as error:
            # No clear answer.
            self.refused[type(error).__name__] += 1
        else:
            self.admitted.append(call)
            self._pacer.add(call)
        self.answered_ms.append((time.perf_counter() - began) * 1000)

    def _refusal(self, number: int, answer: httpx.Response) -> None:
        try:
            code = answer.json()["error"]["code"]
        except (ValueError, LookupError, TypeError):
            code = "no error object"
        self.refused[f"{answer.status_code} {code}"] += 1
        self.retry_after[answer.headers.get("Retry-After", "none")] += 1
        self.first_refused = number if self.first_refused is None else self.first_refused


async def overload(carries: int, times: float, seconds: float, per_second: float, core: int | None) -> Figures:
    """``seconds``: how long it goes on, and is measured, once everybody has asked."""
    asked = round(carries * times)
    async with running(core=core) as plant:
        pacer, window = Pacer(), Window(True)
        ramp_s = asked / per_second
        began = time.perf_counter()
        callers = Callers(plant, pacer, window, began + ramp_s + seconds + TURN_NEEDS * FRAME_S)
        pacing = asyncio.create_task(pacer.run())
        gc.freeze()
        lags: list[float] = []
        watching = asyncio.create_task(_lag(plant, lags))
        calling: list[asyncio.Task[None]] = []
        for number in range(asked):
            await asyncio.sleep(max(0.0, began + number / per_second - time.perf_counter()))
            calling.append(asyncio.create_task(callers.call(number)))
        await asyncio.gather(*calling)
        before = Used.now(plant)
        while_asking = lateness(callers.admitted)
        for call in callers.admitted:
            for leg in call.legs.values():
                leg.heard.late_ms.clear()
        window.began = time.perf_counter()
        await asyncio.sleep(seconds)
        after = Used.now(plant)
        window.open, window.ended = False, time.perf_counter()
        watching.cancel()
        own = spread(pacer.late_ms)
        async with asyncio.timeout(TURN_NEEDS * FRAME_S + 30):
            while not all(call.over for call in callers.admitted):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        pacer.stop()
        await pacing
        return _found(plant, callers, window, asked, lags) | {
            "carries": carries,
            "late_ms_while_asking": while_asking["all"],
            "cores": after.cores_since(before),
            "driver_late_ms": own,
        }


def _found(plant: Plant, callers: Callers, window: Window, asked: int, lags: list[float]) -> Figures:
    admitted = callers.admitted
    turns = [call.turns(window) for call in admitted]
    delays = [delay * 1000 for one in turns for delay in one["delays"]]
    closed = Counter(str(leg.close_code) for call in admitted for leg in call.legs.values() if leg.gone)
    return {
        "asked": asked,
        "admitted": len(admitted),
        "refused": sum(callers.refused.values()),
        "refused_by": dict(callers.refused),
        "retry_after": dict(callers.retry_after),
        "first_refused": callers.first_refused,
        "answered_ms": spread(callers.answered_ms),
        "late_ms": lateness(admitted),
        "turns": {name: sum(one[name] for one in turns) for name in ("expected", "told", "finished", "heard")},
        "first_sound_ms": spread(delays),
        "legs_closed": dict(closed),
        "loop_lag_ms": spread([lag * 1000 for lag in lags]),
        "errors_in_log": plant.log.read_text(encoding="utf-8", errors="replace").count("Traceback"),
    }


async def _lag(plant: Plant, lags: list[float]) -> None:
    while True:
        lags.append((await plant.metrics())["kallglot_event_loop_lag_seconds"])
        await asyncio.sleep(1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--carries", type=int, default=60, help="calls, by python -m benchmarks.calls --search")
    parser.add_argument("--times", type=float, default=2.0, help="that are asked for")
    parser.add_argument("--seconds", type=float, default=60, help="that it goes on when all have asked")
    parser.add_argument("--per-second", type=float, default=4.0, help="callers who come")
    parser.add_argument("--core", type=int, default=0, help="the server's; -1 leaves it where it is")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    asked = parser.parse_args()
    core = None if asked.core < 0 else asked.core
    found: dict[str, Any] = {
        "machine": machine(),
        **uvloop.run(overload(asked.carries, asked.times, asked.seconds, asked.per_second, core)),
    }
    text = markdown(f"{found['asked']} calls where {asked.carries} are carried", found)
    print(text)
    if asked.json is not None:
        asked.json.write_text(json.dumps(found, indent=2), encoding="utf-8")
    if asked.markdown is not None:
        asked.markdown.write_text(text, encoding="utf-8")
    return 0 if not found["errors_in_log"] else 1


if __name__ == "__main__":
    sys.exit(main())
