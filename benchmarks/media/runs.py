"""One run of the load generator against a server, and what it came to."""

from __future__ import annotations

import asyncio
import json
import math
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from benchmarks.media import machine, toolchain

LOST: Final = 0.01
"""A run in which more frames than this did not come back did not hold."""
GENERATOR_LATE_MS: Final = 5.0
"""With the generator itself this late the machine was measured, not the server."""
OVERTIME_S: Final = 90.0


@dataclass(frozen=True, slots=True)
class LegLine:
    path: str
    dialect: Literal["twilio", "native"] = "twilio"
    parameters: str = ""
    what: str = "talk"
    offset_ms: int = 0

    def __str__(self) -> str:
        return f"{self.path}\t{self.dialect}\t{self.parameters}\t{self.what}\t{self.offset_ms}"


@dataclass(frozen=True, slots=True)
class Pace:
    """How a run goes; the generator's options."""

    seconds: float = 10.0
    warmup: float = 1.0
    ramp: float = 500.0
    churn: float = 0.0
    garbage: float = 0.0
    core: int | None = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the generator says (its README has the names), and what the server used meanwhile."""

    legs: int
    figures: dict[str, Any]
    cpu_cores: float
    rss_before: int
    rss_after: int
    lag_ms: float | None = None

    @property
    def value_ms(self) -> float:
        """The 99th percentile of round trips; infinite where a leg got nothing or frames were lost."""
        trips, frames = self.figures["round_trip_ms"], self.figures["frames"]
        whole = self.figures["legs"]["got_nothing"] == 0 and frames["came_back"] >= (1 - LOST) * frames["sent"]
        return float(trips["p99"]) if trips and whole else math.inf

    @property
    def spoilt(self) -> bool:
        """By the generator, which was late itself."""
        late = self.figures["generator_late_ms"], self.figures["generator_pass_ms"]
        return any(one is not None and one["p99"] > GENERATOR_LATE_MS for one in late)

    @property
    def cpu_ms_per_leg_second(self) -> float:
        return self.cpu_cores * 1000 / self.legs

    @property
    def rss_per_leg(self) -> float:
        return (self.rss_after - self.rss_before) / self.legs

    def described(self) -> dict[str, Any]:
        value = self.value_ms
        return {
            "legs": self.legs,
            "p99_ms": None if math.isinf(value) else value,
            "spoilt": self.spoilt,
            "cpu_cores": self.cpu_cores,
            "cpu_ms_per_leg_second": self.cpu_ms_per_leg_second,
            "rss_mib": self.rss_after / 2**20,
            "rss_kib_per_leg": self.rss_per_leg / 1024,
            "loop_lag_ms": self.lag_ms,
            "generator": self.figures,
        }


async def run(
    lines: Sequence[LegLine],
    port: int,
    pid: int,
    pace: Pace,
    *,
    rss_before: int,
    lag_ms: Callable[[], Awaitable[float]] | None = None,
) -> Outcome:
    """``pid`` is the server's, ``rss_before`` what it took before it had any leg; ``lag_ms`` asks it how late its loop
    runs, at the end of what is measured."""
    with tempfile.TemporaryDirectory() as folder:
        legs, out = Path(folder) / "legs.tsv", Path(folder) / "figures.json"
        legs.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        command: list[str | Path] = [toolchain.generator(), legs, "--port", str(port), "--audio", toolchain.speech()]
        for name in ("seconds", "warmup", "ramp", "churn", "garbage"):
            command += [f"--{name}", str(getattr(pace, name))]
        with machine.on_core(pace.core):
            process = await asyncio.create_subprocess_exec(
                *command, "--json", out, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
            )
        lag = None
        at: dict[bytes, machine.Used] = {}
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            async with asyncio.timeout(pace.seconds + pace.warmup + 2 * len(lines) / pace.ramp + OVERTIME_S):
                while line := await process.stdout.readline():
                    at[line.strip()] = machine.used(pid)
                    if line.strip() == b"measured" and lag_ms is not None:
                        lag = await lag_ms()
                if await process.wait():
                    raise RuntimeError((await process.stderr.read()).decode())
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        figures = json.loads(out.read_text(encoding="utf-8"))
    cpu = (at[b"measured"].cpu_seconds - at[b"measuring"].cpu_seconds) / figures["seconds"]
    return Outcome(len(lines), figures, cpu, rss_before, at[b"measured"].rss_bytes, lag)
