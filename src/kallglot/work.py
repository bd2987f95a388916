"""Work that is over, as whoever did it reports it: metrics count it and traces show it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Kind = Literal["session", "stay", "recording", "carrier_request", "webhook_attempt", "analysis"]
"""``stay``: the time for which a session lived in this process, of which it may have several."""


@dataclass(frozen=True, slots=True)
class Work:
    """``name`` and ``outcome`` are words out of a few, never what somebody sent; nor is anything in ``about``, whose
    keys are those of spans. ``outcome`` is ``ok`` for what was done."""

    kind: Kind
    name: str
    outcome: str
    ended_at: datetime
    seconds: float
    failed: bool = False
    session_id: str | None = None
    about: Mapping[str, str | int | float | bool] = field(default_factory=dict[str, "str | int | float | bool"])


Observe = Callable[[Work], None]
"""Neither blocks nor raises."""


def unobserved(_: Work) -> None:
    """For where nobody counts."""
