"""How many whole calls one core carries: ``python -m benchmarks.calls --calls 60``.

A server kept to one core with recognition, translation and speech at vendors elsewhere
(:mod:`benchmarks.calls.engines`), recordings and events on; so many calls between a German customer on Twilio's stream
and an English agent on the native one, who take turns and sometimes speak at once.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import uvloop

from benchmarks.calls import generated, stages
from benchmarks.calls.figures import Figures, machine, markdown
from benchmarks.calls.run import good, run


async def searched(least: int, most: int, step: int, measure: Callable[[int], Awaitable[Figures]]) -> Figures:
    """The largest number of calls, in steps, that were good; everything that was tried."""
    tried: list[Figures] = []

    async def is_good(calls: int) -> bool:
        found = await measure(calls)
        late, turns = found["late_ms"]["all"], found["turns"]
        cores, verdict = found["server"]["cores_main"], good(found)
        tried.append({"calls": calls, "good": verdict, "late_ms": late, "lost_in": turns["lost_in"], "cores": cores})
        said = f"{calls} calls: {'good' if verdict else 'not good'}, late {late}, {cores:.2f} of the core"
        print(said, file=sys.stderr, flush=True)
        return verdict

    low, high = 0, least
    while high <= most and await is_good(high):
        low, high = high, min(high * 2, most) if high < most else most + step
    high = min(high, most + step)
    while high - low > step:
        middle = (low + high) // 2
        if await is_good(middle):
            low = middle
        else:
            high = middle
    return {"most_calls": low, "step": step, "tried": tried}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=60, help="that are measured")
    parser.add_argument("--core", type=int, default=0, help="the server's; -1 leaves it where it is")
    parser.add_argument(
        "--search", type=int, metavar="MOST", help="look for the most calls that are good, from --calls on"
    )
    parser.add_argument("--step", type=int, default=5, help="of --search")
    parser.add_argument("--stages", action="store_true", help="where the main process's time goes")
    parser.add_argument("--generator", type=Path, help="the compiled load generator, in place of legs in Python")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    asked = parser.parse_args()
    core = None if asked.core < 0 else asked.core
    found: Figures = {"machine": machine()}
    title = f"{asked.calls} calls on one core"
    measure = partial(run, seconds=asked.seconds, core=core)
    if asked.generator is not None:
        measure = partial(generated.run, seconds=asked.seconds, core=core, generator=asked.generator)
    if asked.search is not None:
        title = "The most calls on one core"
        found |= uvloop.run(searched(asked.calls, asked.search, asked.step, measure))
    elif asked.stages:
        found |= uvloop.run(stages.measured(asked.calls, asked.seconds, core))
    else:
        found |= uvloop.run(measure(asked.calls))
    text = markdown(title, found)
    if asked.stages:
        text += "\n" + stages.table(found["stages"])
    print(text)
    if asked.json is not None:
        asked.json.write_text(json.dumps(found, indent=2), encoding="utf-8")
    if asked.markdown is not None:
        asked.markdown.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
