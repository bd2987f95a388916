"""The machine that something was measured on, its cores, and what its processes use."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

AHEAD: Final = -10


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


@contextmanager
def ahead_of_others() -> Generator[None]:
    """What is started meanwhile comes before what else the machine does, where that is allowed: servers and the
    generator alike. Linux weighs whole terminal sessions against each other, where it groups by them."""
    group = Path("/proc/self/autogroup")
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, AHEAD)
    with contextlib.suppress(OSError):
        group.write_text(str(AHEAD))
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            group.write_text("0")
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, before)


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
