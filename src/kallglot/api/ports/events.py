"""Events as they are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from kallglot.accounts.ports import Page
from kallglot.outbox import Event


@dataclass(frozen=True, slots=True)
class EventFilter:
    organization_id: str
    livemode: bool
    type: str | None = None
    session_id: str | None = None
    created_after: datetime | None = None
    """Strictly after."""
    created_before: datetime | None = None
    """Strictly before."""


class EventRepository(Protocol):
    async def add(self, some: Sequence[Event]) -> None:
        """With a delivery of each to everybody who wants it."""
        ...

    async def list(self, where: EventFilter, page: Page) -> tuple[list[Event], bool]: ...
