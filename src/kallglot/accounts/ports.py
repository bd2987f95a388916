"""Where accounts are kept, declared by their user."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from kallglot.accounts.audit import AuditEntry
from kallglot.accounts.model import ApiKey, Organization, OrganizationStatus


@dataclass(frozen=True, slots=True)
class Page:
    """A cursor page: newest first, ``starting_after`` and ``ending_before`` exclusive."""

    limit: int = 20
    starting_after: str | None = None
    ending_before: str | None = None


class OrganizationRepository(Protocol):
    async def add(self, organization: Organization) -> None: ...

    async def get(self, organization_id: str) -> Organization | None: ...

    async def list(self) -> list[Organization]: ...

    async def set_status(self, organization_id: str, status: OrganizationStatus) -> None: ...

    async def rename(self, organization_id: str, name: str) -> None: ...

    async def take_credit(self, organization_id: str, amount: int, reason: str, reference: str) -> bool:
        """Takes credits and writes the ledger line; False, and nothing taken, when there are too few.

        Two takers at once never take the same credit: the balance is changed and checked in one statement."""
        ...

    async def grant_credits(self, organization_id: str, amount: int, reason: str, reference: str) -> None: ...


class ApiKeyRepository(Protocol):
    async def add(self, key: ApiKey) -> None: ...

    async def get(self, key_id: str) -> ApiKey | None: ...

    async def by_hash(self, secret_hash: str) -> ApiKey | None: ...

    async def list(self, organization_id: str, page: Page) -> tuple[list[ApiKey], bool]:
        """A page and whether there is more behind it."""
        ...

    async def revoke(self, key_id: str, at: datetime) -> None: ...

    async def used(self, key_id: str, at: datetime) -> None: ...


class AuditRepository(Protocol):
    async def add(self, entry: AuditEntry) -> None: ...

    async def list(self, organization_id: str, page: Page) -> tuple[list[AuditEntry], bool]:
        """Newest first."""
        ...


class AccountsUnit(Protocol):
    """One transaction over accounts."""

    @property
    def organizations(self) -> OrganizationRepository: ...
    @property
    def api_keys(self) -> ApiKeyRepository: ...
    @property
    def audit(self) -> AuditRepository: ...


class AccountsStore(Protocol):
    def write(self) -> AbstractAsyncContextManager[AccountsUnit]: ...
