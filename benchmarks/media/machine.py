"""The machine that something was measured on, its cores, and what its processes use."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil


@contextmanager
def on_core(core: int | None) -> Generator[None]:
    """What is started meanwhile runs there, with all of its threads and children. None: wherever."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def hurry(pid: int) -> None:
    """Before what else the machine does, where that is allowed: the server and the generator alike."""
    with contextlib.suppress(PermissionError, ProcessLookupError):
        for thread in psutil.Process(pid).threads():
            os.setpriority(os.PRIO_PROCESS, thread.id, -10)


@dataclass(frozen=True, slots=True)
class Used:
    """By a process and its children."""

    cpu_seconds: float
    rss_bytes: int


def used(pid: int) -> Used:
    cpu, rss = 0.0, 0
    for process in _tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            cpu += times.user + times.system
            rss += process.memory_info().rss
    return Used(cpu, rss)


def _tree(pid: int) -> Iterable[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        yield root
        yield from root.children(recursive=True)


def described() -> dict[str, str]:
    model = "unknown"
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    system = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux") if os.name == "posix" else os.name
    return {
        "processor": f"{model}, {psutil.cpu_count()} cores",
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "system": f"{system}, Linux {platform.release()}",
        "python": platform.python_version(),
        "load before": " ".join(f"{one:.2f}" for one in os.getloadavg()),
    }
