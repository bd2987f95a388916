"""What was used, and the ledger of credits."""

from __future__ import annotations

from typing import Protocol

from kallglot.accounts.credits import CreditEntry
from kallglot.accounts.ports import Page
from kallglot.billing.usage import EngineGroup, Group, UsageFilter, Used


class UsageRepository(Protocol):
    async def used(self, where: UsageFilter) -> list[tuple[Group, Used]]:
        """By group; more than ``MOST_ROWS`` are cut."""
        ...

    async def engines(self, where: UsageFilter) -> list[EngineGroup]:
        """What each engine did, by group, likewise."""
        ...


class LedgerRepository(Protocol):
    async def credits(self, organization_id: str, page: Page) -> tuple[list[CreditEntry], bool]:
        """Newest first; cursors are ids in digits."""
        ...
