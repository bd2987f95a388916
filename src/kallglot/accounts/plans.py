"""What a plan allows: requests a minute by group, sessions at a time, credits a month."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

GROUPS: Final = ("sessions_write", "sessions_read", "recordings", "analysis", "management")


@dataclass(frozen=True, slots=True)
class Plan:
    name: str
    requests_per_minute: dict[str, int]
    concurrent_sessions: int
    credits_a_month: int | None = None
    """None: the plan grants none, and nothing expires."""


def _plan(
    name: str, credits: int | None, concurrent: int, write: int, read: int, recordings: int, analysis: int, other: int
) -> Plan:
    per_minute: dict[str, int] = dict(zip(GROUPS, (write, read, recordings, analysis, other), strict=True))
    return Plan(name, per_minute, concurrent, credits)


_PLANS: Final = {
    plan.name: plan
    for plan in (
        _plan("free", 100, 2, 60, 60, 60, 60, 60),
        _plan("starter", 1_000, 10, 60, 120, 60, 30, 60),
        _plan("pro", 10_000, 50, 300, 600, 300, 150, 300),
        _plan("enterprise", 100_000, 1000, 6000, 6000, 6000, 6000, 6000),
        _plan("selfhosted", None, 1000, 6000, 6000, 6000, 6000, 6000),
    )
}


def plan_named(name: str) -> Plan:
    """The plan, or ``free`` for one that does not exist any more."""
    return _PLANS.get(name, _PLANS["free"])


def plan_names() -> tuple[str, ...]:
    return tuple(_PLANS)


def with_allowance() -> tuple[str, ...]:
    """The names of the plans that grant credits."""
    return tuple(name for name, plan in _PLANS.items() if plan.credits_a_month is not None)
