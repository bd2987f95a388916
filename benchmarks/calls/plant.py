"""A server on one core, its vendors and whoever drives it on the others."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import psutil

from benchmarks.calls.engines import Latencies, configuration
from kallglot.cli.local import local_server

SESSION: Final[dict[str, Any]] = {
    "mode": "bidirectional_translation",
    "source_language": "de",
    "target_language": "en",
    "recording": {"enabled": True},
}


@dataclass
class Plant:
    url: str
    api_key: str
    process: psutil.Process
    vendors: psutil.Process
    rest: httpx.AsyncClient
    vendors_url: str
    log: Path

    @property
    def stream_url(self) -> str:
        return self.url.replace("http", "ws", 1)

    async def create(self) -> dict[str, Any]:
        """A session with a recording, as the API answers. Raises :class:`httpx.HTTPStatusError`."""
        return (await self.rest.post("/v1/sessions", json=SESSION)).raise_for_status().json()

    async def metrics(self) -> dict[str, float]:
        """Sums over all labels, by name."""
        found: dict[str, float] = {}
        for name, value in re.findall(r"^(\w+)(?:{.*})? (\S+)$", (await self.rest.get("/metrics")).text, re.MULTILINE):
            found[name] = found.get(name, 0.0) + float(value)
        return found

    async def vendors_figures(self) -> dict[str, Any]:
        async with httpx.AsyncClient() as client:
            return (await client.get(f"{self.vendors_url}/figures")).json()

    async def live(self, legs: int, within_s: float = 60) -> None:
        """Until the server counts so many legs."""
        async with asyncio.timeout(within_s):
            while (await self.metrics()).get("kallglot_legs", 0) != legs:  # noqa: ASYNC110
                await asyncio.sleep(0.2)


@dataclass(frozen=True)
class Used:
    """Seconds of processor time by a moment, and memory in bytes at it."""

    at: float
    main: float
    tree: float
    vendors: float
    driver: float
    memory: int
    tree_memory: int

    @classmethod
    def now(cls, plant: Plant) -> Used:
        tree = [plant.process, *_children(plant.process)]
        return cls(
            time.perf_counter(),
            seconds(plant.process),
            sum(map(seconds, tree)),
            seconds(plant.vendors),
            seconds(psutil.Process()),
            plant.process.memory_info().rss,
            sum(map(_memory, tree)),
        )

    def cores_since(self, before: Used) -> dict[str, float]:
        wall = self.at - before.at
        return {
            name: round((getattr(self, name) - getattr(before, name)) / wall, 4)
            for name in ("main", "tree", "vendors", "driver")
        }


def seconds(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.Error):
        times = process.cpu_times()
        return times.user + times.system
    return 0.0


def _memory(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.Error):
        return process.memory_info().rss
    return 0


def _children(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        return process.children(recursive=True)
    return []


@asynccontextmanager
async def running(
    *, core: int | None = 0, latencies: Latencies | None = None, settings: Mapping[str, str] | None = None
) -> AsyncGenerator[Plant]:
    """``core`` is the server's, with all its threads and children; None leaves everything where it is."""
    everywhere = os.sched_getaffinity(0)
    others = everywhere - {core} or everywhere
    if core is not None:
        os.sched_setaffinity(0, others)
    try:
        with tempfile.TemporaryDirectory(prefix="kallglot-calls-") as folder:
            async with _vendors(latencies or Latencies()) as (vendors, ports):
                engines = Path(folder) / "engines.toml"
                engines.write_text(configuration(ports), encoding="utf-8")
                given = {
                    "KALLGLOT_ENGINES": str(engines),
                    "KALLGLOT_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
                    "KALLGLOT_RECOGNITION_PROCESSES": "1",
                    **(settings or {}),
                }
                async with contextlib.AsyncExitStack() as stack:
                    # What is started keeps the cores that its parent had: threads too, which come later.
                    os.sched_setaffinity(0, {core} if core is not None else everywhere)
                    try:
                        server = await stack.enter_async_context(local_server(Path(folder), given))
                    finally:
                        os.sched_setaffinity(0, others if core is not None else everywhere)
                    headers = {"Authorization": f"Bearer {server.api_key}"}
                    rest = await stack.enter_async_context(
                        httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60)
                    )
                    url = f"http://127.0.0.1:{ports['http']}"
                    hook = {"url": f"{url}/hook", "events": ["*"]}
                    (await rest.post("/v1/webhook_endpoints", json=hook)).raise_for_status()
                    process = psutil.Process(server.pid)
                    yield Plant(server.url, server.api_key, process, vendors, rest, url, Path(folder) / "server.log")
    finally:
        os.sched_setaffinity(0, everywhere)


@asynccontextmanager
async def _vendors(latencies: Latencies) -> AsyncGenerator[tuple[psutil.Process, dict[str, int]]]:
    given = [f"--{name.replace('_', '-')}={value}" for name, value in asdict(latencies).items()]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.calls.engines", *given, stdin=-1, stdout=-1
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            ports = json.loads(await process.stdout.readline())
        yield psutil.Process(process.pid), ports
    finally:
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()
