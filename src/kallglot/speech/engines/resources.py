"""How many processes and threads a model gets on this machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

LARGE_BYTES: Final = 300_000_000
"""From here on a model answers too slowly on one core, and costs too much memory for one on each."""
MOST_THREADS: Final = 4
"""More gain next to nothing with audio of a few seconds."""
PROCESS_BYTES: Final = 150_000_000
"""Of a process, Python and the library included, beside its model."""
MEMORY_SHARE: Final = 0.6
_CGROUP: Final = Path("/sys/fs/cgroup")


class Share(NamedTuple):
    processes: int
    threads: int


def share(model_bytes: int, *, models: int, cores: int, free_bytes: int, asked: int = 0) -> Share:
    """A small model gets a process for each core that falls to it, of one thread each; a large one few processes of
    some threads. ``models`` share the machine; ``asked`` is how many processes the operator wants, 0 for as fits."""
    own_cores = max(1, cores // max(1, models))
    fitting = max(1, int(free_bytes * MEMORY_SHARE / max(1, models) / (PROCESS_BYTES + 1.5 * model_bytes)))
    if model_bytes < LARGE_BYTES:
        return Share(asked or min(own_cores, fitting), 1)
    processes = asked or min(max(1, own_cores // MOST_THREADS), fitting)
    return Share(processes, max(1, min(MOST_THREADS, own_cores // processes)))


def cores(cgroup: Path = _CGROUP) -> int:
    """Those that this process may use: of the machine, or as many as the container's share of time is worth."""
    allowed = len(os.sched_getaffinity(0))
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
        if quota != "max":
            allowed = min(allowed, round(int(quota) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):
        pass
    return max(1, allowed)


def free_memory(cgroup: Path = _CGROUP) -> int:
    """Bytes that can be had: of the machine, or what is left of the container's limit."""
    free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free = int(line.split()[1]) * 1024
        limit = (cgroup / "memory.max").read_text().strip()
        if limit != "max":
            used = int((cgroup / "memory.current").read_text())
            free = min(free, int(limit) - used + _given_back(cgroup / "memory.stat"))
    except (OSError, ValueError):
        pass
    return max(0, free)


def _given_back(statistics: Path) -> int:
    """Bytes of files, read or written once, that count as used until somebody needs the room: a download leaves its
    whole size there."""
    for line in statistics.read_text().splitlines():
        name, _, count = line.partition(" ")
        if name == "inactive_file":
            return int(count)
    return 0


def size_of(files: Sequence[str]) -> int:
    """Bytes of the files that there are."""
    return sum(Path(path).stat().st_size for path in files if Path(path).is_file())
