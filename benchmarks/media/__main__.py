"""The largest number of legs that one core holds, for each system: ``python -m benchmarks.media``.

Rounds in which every system has its turn, so that what else the machine does falls on all of them. ``--short`` takes
less than ten minutes. ``--legs N`` is one run for each system instead of a search.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks.media import machine, report, toolchain
from benchmarks.media.report import LIMITS, Visit
from benchmarks.media.runs import Outcome, Pace, run
from benchmarks.media.search import FACTOR, next_try
from benchmarks.media.systems import SYSTEMS, Running, System
from kallglot import compiled

SHORT_MINUTES: Final = 8.5
SPOILT_AGAIN: Final = 2
NARROW: Final = 1.2
"""The first step of a search that begins where the round before ended."""
MOST_LEGS: Final = 2000
REST_S: Final = 1.0
"""Between two runs: what a server does when legs have gone."""

console = Console(stderr=True)


class Plan:
    """How long there is, shared out among what is still to be done."""

    def __init__(self, asked: argparse.Namespace, pace: Pace) -> None:
        self.pace = pace
        self.resolution: float = asked.resolution
        self.most: int = asked.most
        self.server_core: int | None = None if asked.server_core < 0 else asked.server_core
        self._until = None if asked.minutes is None else time.monotonic() + asked.minutes * 60

    def visit_until(self, left: int) -> float | None:
        """``left``: so many visits are to come, this one among them."""
        now = time.monotonic()
        return None if self._until is None else now + max(0.0, self._until - now) / left


async def once(running: Running, legs: int, pace: Pace, rss_before: int) -> Outcome:
    lines = await running.lines(legs)
    return await run(lines, running.port, running.pid, pace, rss_before=rss_before, lag_ms=running.lag_ms)


def empty(name: str) -> Path:
    """A folder with nothing of an earlier run: sessions that are still waited for, a full plan."""
    folder = toolchain.CACHE / "runs" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


async def visited(system: System, number: int, plan: Plan, first: int, until: float | None) -> Visit:
    visit = Visit(system.name, number)
    folder = empty(f"{number}-{system.name}")
    try:
        async with system.start(plan.server_core, folder) as running:
            visit.rss_before = machine.used(running.pid).rss_bytes
            for limit in LIMITS:
                await _search(visit, running, plan, limit, first, until)
            visit.proof = await running.proof()
    except Exception as error:
        visit.trouble = f"{type(error).__name__}: {error}"
    told = ", ".join(f"{visit.held(limit)} below {limit:.0f} ms" for limit in LIMITS)
    console.print(f"  {number} {system.name}: {told}{'' if visit.trouble is None else f'; {visit.trouble}'}")
    return visit


async def _search(visit: Visit, running: Running, plan: Plan, limit: float, first: int, until: float | None) -> None:
    while True:
        factor = FACTOR if visit.round == 1 else NARROW
        legs = next_try(visit.tried, limit, first=first, most=plan.most, resolution=plan.resolution, factor=factor)
        if legs is None:
            return
        if until is not None and visit.tries and time.monotonic() + _takes(legs, plan.pace) > until:
            visit.cut_short.add(limit)
            return
        outcome = await once(running, legs, plan.pace, visit.rss_before)
        await asyncio.sleep(REST_S)
        for _ in range(SPOILT_AGAIN):
            if not outcome.spoilt or (until is not None and time.monotonic() + _takes(legs, plan.pace) > until):
                break
            visit.spoilt.append(outcome)
            outcome = await once(running, legs, plan.pace, visit.rss_before)
            await asyncio.sleep(REST_S)
        visit.tries.append(outcome)
        console.print(f"    {visit.system} {legs}: {outcome.value_ms:.1f} ms", style="dim")


def _takes(legs: int, pace: Pace) -> float:
    """Seconds, about."""
    return pace.seconds + pace.warmup + legs / pace.ramp + REST_S + 1


async def rounds(systems: Sequence[System], count: int, plan: Plan) -> list[Visit]:
    visits: list[Visit] = []
    first = {system.name: system.first for system in systems}
    for number in range(1, count + 1):
        # Every other round goes the other way about. The first ends with what is measured against the others: it gets
        # the time that their searches did not need.
        for system in systems[::-1] if number % 2 else systems:
            until = plan.visit_until(count * len(systems) - len(visits))
            visit = await visited(system, number, plan, first[system.name], until)
            first[system.name] = visit.held(LIMITS[0]) or first[system.name]
            visits.append(visit)
    return visits


async def single(systems: Sequence[System], legs: int, plan: Plan) -> list[Visit]:
    visits: list[Visit] = []
    for system in systems:
        visit = Visit(system.name, 1)
        folder = empty(system.name)
        async with system.start(plan.server_core, folder) as running:
            visit.rss_before = machine.used(running.pid).rss_bytes
            visit.tries.append(await once(running, legs, plan.pace, visit.rss_before))
            visit.proof = await running.proof()
        visits.append(visit)
    return visits


def chosen(names: Sequence[str], short: bool) -> list[System]:
    unknown = set(names) - {system.name for system in SYSTEMS}
    if unknown:
        raise SystemExit(f"there is no system {', '.join(sorted(unknown))}")
    return [one for one in SYSTEMS if (one.name in names if names else one.short or not short)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("systems", nargs="*", metavar="SYSTEM", help=", ".join(one.name for one in SYSTEMS))
    parser.add_argument("--short", action="store_true", help="fewer systems, short runs, under ten minutes")
    parser.add_argument("--rounds", type=int, help="3, or 1 with --short")
    parser.add_argument("--minutes", type=float, help="for all of it; searches that do not come to their end say so")
    parser.add_argument("--seconds", type=float, help="measured in each run; 10, or 3 with --short")
    parser.add_argument("--warmup", type=float, default=4.0)
    parser.add_argument("--ramp", type=float, default=40.0, help="legs that connect in a second")
    parser.add_argument("--churn", type=float, default=0.0, help="legs dropped in a second; with --legs")
    parser.add_argument("--garbage", type=float, default=0.0, help="the part of the legs that sends it; with --legs")
    parser.add_argument("--resolution", type=float, help="how close a search comes; 0.05, or 0.12 with --short")
    parser.add_argument("--most", type=int, default=MOST_LEGS)
    parser.add_argument("--legs", type=int, help="one run with so many, and no search")
    parser.add_argument("--server-core", type=int, default=0, help="its children are on it too; -1: anywhere")
    parser.add_argument("--generator-core", type=int, default=1, help="-1: anywhere")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    asked = parser.parse_args()
    asked.rounds = asked.rounds or (1 if asked.short else 3)
    asked.seconds = asked.seconds or (3.0 if asked.short else 10.0)
    asked.resolution = asked.resolution or (0.12 if asked.short else 0.05)
    asked.minutes = asked.minutes or (SHORT_MINUTES if asked.short else None)
    if asked.legs is not None and asked.legs % 2:
        parser.error("--legs are even: a session has two sides")
    if asked.legs is None and (asked.churn or asked.garbage):
        parser.error("--churn and --garbage go with --legs")
    systems = chosen(asked.systems, asked.short)
    prepare(systems)
    core = None if asked.generator_core < 0 else asked.generator_core
    pace = Pace(asked.seconds, asked.warmup, asked.ramp, asked.churn, asked.garbage, core)
    plan, about = Plan(asked, pace), machine.described()
    if core is not None:
        os.sched_setaffinity(0, {core})
    with machine.ahead_of_others():
        if asked.legs is not None:
            visits = asyncio.run(single(systems, asked.legs, plan))
        else:
            visits = asyncio.run(rounds(systems, asked.rounds, plan))
    how = {
        "cores": f"server and its children on {asked.server_core}, generator on {asked.generator_core}",
        "each run": f"{asked.seconds:g} s measured, {asked.warmup:g} s after connecting not",
        "searched": f"to {asked.resolution:.0%}",
        "versions": ", ".join(toolchain.versions()),
        "kallglot's media path": "machine code" if compiled.is_current() else "Python",
    }
    text = report.markdown(visits, {one.name: one.what for one in systems}, about, how)
    print(text)
    if asked.markdown is not None:
        asked.markdown.write_text(text, encoding="utf-8")
    if asked.json is not None:
        found = {"machine": about, "how": how, "pace": asdict(pace), "visits": [one.described() for one in visits]}
        asked.json.write_text(json.dumps(found, indent=2), encoding="utf-8")
    return 0


def prepare(systems: Sequence[System]) -> None:
    """Everything is made before the first run, so that nothing else happens between two."""
    toolchain.generator()
    toolchain.speech()
    for package in sorted({one.package for one in systems if one.package is not None}):
        toolchain.peer_python(package)


if __name__ == "__main__":
    raise SystemExit(main())
