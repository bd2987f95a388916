"""Numbers and how they are shown."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kallglot import compiled

Figures = dict[str, Any]


def spread(values: Sequence[float]) -> dict[str, float] | None:
    if not len(values):
        return None
    found = np.percentile(np.asarray(values, dtype=float), [50, 95, 99, 100])
    return dict(zip(("p50", "p95", "p99", "max"), (round(float(one), 3) for one in found), strict=True))


def slope(values: Sequence[float], step: float) -> float:
    """Of a line through values that were taken ``step`` apart (least squares)."""
    if len(values) < 2:
        return 0.0
    return float(np.polyfit(np.arange(len(values)) * step, np.asarray(values, dtype=float), 1)[0])


def machine() -> Figures:
    named = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    return {
        "processor": named[1] if named else platform.processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "media_path": "machine code" if compiled.is_current() else "Python",
        "load_average": [round(one, 2) for one in os.getloadavg()],
    }


def markdown(title: str, found: Mapping[str, Any]) -> str:
    """A table of everything; nested names are joined."""
    lines = [f"# {title}", "", "| figure | value |", "|---|---|"]
    lines += [f"| {name.replace('_', ' ')} | {_shown(value)} |" for name, value in _flat(found)]
    return "\n".join([*lines, ""])


def _flat(found: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for name, value in found.items():
        if isinstance(value, Mapping) and not set(value) <= {"p50", "p95", "p99", "max"}:
            flat += _flat(value, f"{before}{name}: ")
        elif not (isinstance(value, list) and value and isinstance(value[0], Mapping)):
            flat.append((before + name, value))
    return flat


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return " · ".join(f"{name} {one:g}" for name, one in value.items())
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 100 else f"{value:.0f}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
