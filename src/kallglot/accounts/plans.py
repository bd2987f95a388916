"""What a plan allows: requests a minute by group, and sessions at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

GROUPS: Final = ("sessions_write", "sessions_read", "recordings", "analysis", "management")


@dataclass(frozen=True, slots=True)
class Plan:
    name: str
    requests_per_minute: dict[str, int]
    concurrent_sessions: int


def _plan(name: str, concurrent: int, write: int, read: int, recordings: int, analysis: int, management: int) -> Plan:
    return Plan(name, dict(zip(GROUPS, (write, read, recordings, analysis, management), strict=True)), concurrent)


_PLANS: Final = {
    plan.name: plan
    for plan in (
        _plan("free", 2, 60, 60, 60, 60, 60),
        _plan("starter", 10, 60, 120, 60, 30, 60),
        _plan("pro", 50, 300, 600, 300, 150, 300),
        _plan("enterprise", 1000, 6000, 6000, 6000, 6000, 6000),
        _plan("selfhosted", 1000, 6000, 6000, 6000, 6000, 6000),
    )
}


def plan_named(name: str) -> Plan:
    """The plan, or ``free`` for one that does not exist any more."""
    return _PLANS.get(name, _PLANS["free"])
