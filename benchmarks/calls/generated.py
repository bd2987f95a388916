"""The same calls from the compiled load generator (:mod:`benchmarks.media`), for more of them than Python can pace.

It says how late every frame was that a leg heard. What became of the turns the server tells afterwards, in its
timings: those that were said while it was measured, early enough to be heard out, are expected.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.calls.conversation import CYCLE, FRAMES_PER_SECOND, OVERLAPS, TURN_NEEDS
from benchmarks.calls.engines import Latencies
from benchmarks.calls.figures import Figures, spread
from benchmarks.calls.legs import SPEECH
from benchmarks.calls.plant import Plant, Used, running
from benchmarks.calls.run import WARM_S, one_to_begin_with

TALKS: Final = 150
"""Frames of one utterance: 3 s."""
AT_ONCE: Final = 16


def lines(number: int, session: dict[str, Any]) -> list[str]:
    """A call's two legs, as the generator's file has them."""
    path, token = f"/v1/sessions/{session['id']}/connect", session["stream"]["token"]
    begins = 50 + number * 97 % CYCLE
    answered = begins + (TALKS - 40 if number % OVERLAPS == 0 else CYCLE // 2)
    parameters = json.dumps({"token": token, "participant": "customer"})
    duty = f"duty:{TALKS}/{CYCLE - TALKS}"
    return [
        "\t".join((path, "twilio", parameters, duty, str(begins * 20))),
        "\t".join((f"{path}?token={token}&participant=agent", "native", "", duty, str(answered * 20))),
    ]


async def run(
    calls: int,
    seconds: float,
    *,
    generator: Path,
    core: int | None = 0,
    latencies: Latencies | None = None,
) -> Figures:
    latencies = latencies or Latencies()
    async with running(core=core, latencies=latencies) as plant:
        await one_to_begin_with(plant)
        rest = Used.now(plant)
        gate = asyncio.Semaphore(AT_ONCE)

        async def create() -> dict[str, Any]:
            async with gate:
                return await plant.create()

        sessions = await asyncio.gather(*(create() for _ in range(calls)))
        with tempfile.TemporaryDirectory() as folder:
            told = await _generated(plant, generator, Path(folder), sessions, seconds)
        load, before, after = told
        ended = await asyncio.gather(*(_ended(plant, one["id"], gate) for one in sessions))
        turns = [turn for one in ended for turn in one]
        heard = [turn for turn in turns if any(one["heard_ms"] is not None for one in turn["listeners"])]
        # Each leg talks once in a cycle; what was said last may not have been heard out.
        least = 2 * calls * int((seconds * FRAMES_PER_SECOND - TURN_NEEDS) // CYCLE)
        delays = [
            turn["first_audio_ms"] - turn["speech_end_ms"]
            for turn in turns
            if turn["first_audio_ms"] is not None and turn["speech_start_ms"] >= WARM_S * 1000
        ]
        cores, late = after.cores_since(before), load["arrival_late_ms"]
        return {
            "calls": calls,
            "legs": 2 * calls,
            "seconds": seconds,
            "server": {
                "cores_main": cores["main"],
                "cores_tree": cores["tree"],
                "ms_per_call_second_main": cores["main"] / calls * 1000,
                "ms_per_leg_second_main": cores["main"] / calls * 500,
                "rss_mib_at_rest": rest.memory / 2**20,
                "rss_mib_per_session": (after.memory - rest.memory) / 2**20 / calls,
                "errors_in_log": plant.log.read_text(encoding="utf-8", errors="replace").count("Traceback"),
            },
            "late_ms": {"all": late and {name: late[name] for name in ("p50", "p95", "p99", "max")}},
            "turns": {
                "expected_at_least": least,
                "told": len(turns),
                "heard": len(heard),
                "lost_in": [name for name, of in (("told", turns), ("heard", heard)) if len(of) < least],
                "first_sound_ms": spread(delays),
                "of_which_engines_ms": latencies.altogether,
            },
            "legs_lost": load["legs"]["asked"] - load["legs"]["live_at_end"],
            "generator": {
                "legs": load["legs"],
                "frames": load["frames"],
                "late_ms": load["generator_late_ms"],
                "cores": load["generator_cpu_cores"],
            },
            "vendors": {"cores": cores["vendors"]},
        }


async def _generated(
    plant: Plant, generator: Path, folder: Path, sessions: Sequence[dict[str, Any]], seconds: float
) -> tuple[Figures, Used, Used]:
    legs, audio, out = folder / "legs.tsv", folder / "speech.ulaw", folder / "out.json"
    said = [line for number, one in enumerate(sessions) for line in lines(number, one)]
    legs.write_text("\n".join([*said, ""]), encoding="utf-8")
    audio.write_bytes(b"".join(SPEECH))
    process = await asyncio.create_subprocess_exec(
        str(generator),
        str(legs),
        *("--port", plant.url.rpartition(":")[2], "--audio", str(audio), "--json", str(out)),
        *("--seconds", str(seconds), "--warmup", str(WARM_S), "--ramp", "100"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    moments: dict[str, Used] = {}
    async for word in process.stdout:
        moments[word.decode().strip()] = Used.now(plant)
    if await process.wait():
        raise RuntimeError(f"the load generator ended with {process.returncode}")
    return json.loads(out.read_text(encoding="utf-8")), moments["measuring"], moments["measured"]


async def _ended(plant: Plant, session_id: str, gate: asyncio.Semaphore) -> list[dict[str, Any]]:
    """Ends a session; its turns with their times."""
    async with gate:
        (await plant.rest.post(f"/v1/sessions/{session_id}/end")).raise_for_status()
        return (await plant.rest.get(f"/v1/sessions/{session_id}/timings")).raise_for_status().json()["turns"]
