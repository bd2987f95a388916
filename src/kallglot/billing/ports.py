"""Where billing keeps things, declared by their user."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from kallglot.accounts.ports import AuditRepository, OrganizationRepository
from kallglot.billing.notices import Notice


class PaymentRepository(Protocol):
    async def enter(self, notice: Notice, provider: str, now: datetime) -> bool:
        """False where an event of this id was entered before; then nothing is. Whoever enters the same at the same
        time waits for the end of this transaction."""
        ...

    async def settle(self, event_id: str, outcome: str, organization_id: str | None) -> None: ...

    async def keep_waiting(self, notice: Notice, outcome: str) -> None:
        """Nobody knows its customer yet: it is kept, to be acted on when somebody does."""
        ...

    async def waiting(self, customer: str) -> list[Notice]:
        """In the order in which they happened. They wait no more when they are settled."""
        ...

    async def lock_customer(self, customer: str) -> None:
        """Events about the same customer are acted on one after the other."""
        ...


class AccountBooks(Protocol):
    """The part of a transaction that periods need."""

    @property
    def organizations(self) -> OrganizationRepository: ...
    @property
    def audit(self) -> AuditRepository: ...


class Books(AccountBooks, Protocol):
    @property
    def payments(self) -> PaymentRepository: ...


class LedgerChecks(Protocol):
    async def problems(self, limit: int = 100) -> list[str]:
        """What does not add up, a sentence each."""
        ...


class CheckedBooks(Protocol):
    @property
    def ledgers(self) -> LedgerChecks: ...
