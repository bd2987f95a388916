"""Credits: why they move, and the lines that say so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

SESSION: Final = "session"
"""Taken for a session; the reference is its id."""
ANALYSIS: Final = "analysis"
REFUND: Final = "refund"
"""Given back; the reference is that of what was taken."""
GRANT: Final = "grant"
"""Given by the operator."""
TOP_UP: Final = "top_up"
"""Bought; stays when a period ends."""
PERIOD: Final = "period"
"""A plan's allowance; the reference is the beginning of its period."""
EXPIRED: Final = "expired"
"""What was left of an allowance when its period ended; the reference is the beginning of the next one."""
OPENING: Final = "opening"
"""What an organisation was made with."""

LARGEST_BALANCE: Final = 2**31 - 1
LARGEST_GRANT: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class Period:
    """``start`` inclusive, ``end`` exclusive."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class CreditEntry:
    """One line of the ledger. ``amount`` is negative where credits were taken; ``plan_amount`` is the part of it that
    was moved in the plan's allowance. ``mode`` and ``api_key_id`` say what they were taken for, and by whom."""

    id: int
    organization_id: str
    amount: int
    reason: str
    reference: str
    balance_after: int
    created_at: datetime
    plan_amount: int = 0
    mode: str | None = None
    api_key_id: str | None = None
