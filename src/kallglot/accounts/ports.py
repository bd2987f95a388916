"""Where accounts are kept, declared by their user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from kallglot.accounts.audit import AuditEntry, AuditFilter
from kallglot.accounts.credits import Period
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

    async def set_policy(self, organization_id: str, policy: Mapping[str, Any]) -> None: ...

    async def set_plan(self, organization_id: str, plan: str) -> None: ...

    async def take_credit(
        self,
        organization_id: str,
        amount: int,
        reason: str,
        reference: str,
        now: datetime,
        *,
        mode: str | None = None,
        api_key_id: str | None = None,
    ) -> bool:
        """Takes credits, those of the plan first, and writes the ledger line; False, and nothing taken, when there are
        too few. Two takers at once never take the same credit: the organisation's row is locked from here to the end
        of the transaction."""
        ...

    async def grant_credits(
        self, organization_id: str, amount: int, reason: str, reference: str, now: datetime
    ) -> bool:
        """Credits that stay. False, and nothing granted, where the same reason was entered for the same reference
        before. Raises ``LookupError`` where there is no such organisation, ``OverflowError`` beyond what a balance
        holds."""
        ...

    async def refund(self, organization_id: str, reason: str, reference: str, now: datetime) -> bool:
        """Gives back what was taken for this reason and reference, once. False where nothing was taken, or it has been
        given back before."""
        ...

    async def begin_period(
        self, organization_id: str, period: Period, allowance: int, now: datetime, *, paid: bool = False
    ) -> bool:
        """What is left of the plan's credits expires, ``allowance`` is granted, and use is counted from the period's
        start. False, and nothing done, where this period or a later one has begun before."""
        ...

    async def pay_period(self, organization_id: str, period: Period, allowance: int, now: datetime) -> int | None:
        """How many credits were granted where the period that is on began within ``period`` without being paid: it has
        had ``allowance`` then, and ends with ``period``. None, and nothing done, where it did not."""
        ...

    async def raise_allowance(self, organization_id: str, allowance: int, now: datetime) -> int:
        """How many credits were granted, so that the current period has had ``allowance`` of them."""
        ...

    async def due(
        self, plans: Sequence[str], now: datetime, *, after: str = "", limit: int = 100
    ) -> list[Organization]:
        """Active organisations on one of ``plans`` that nobody bills, or bills no more, whose period is over or never
        began; by id, those behind ``after``."""
        ...

    async def by_customer(self, payment_customer: str) -> Organization | None: ...

    async def link_customer(self, organization_id: str, payment_customer: str) -> None: ...

    async def set_subscription(
        self,
        organization_id: str,
        state: str,
        subscription_id: str | None,
        at: datetime,
        plan: str | None,
        created_at: datetime | None = None,
    ) -> None:
        """As the payment provider said it at ``at``; ``plan`` None leaves the plan as it is; ``created_at`` is when
        the subscription was made."""
        ...

    async def alone(self) -> None:
        """Keeps others, of all processes, from coming so far until the transaction ends."""
        ...

    async def lock(self, organization_id: str) -> Organization | None:
        """The organisation, kept from others who would change it until the transaction ends."""
        ...


class ApiKeyRepository(Protocol):
    async def add(self, key: ApiKey) -> None: ...

    async def get(self, key_id: str) -> ApiKey | None: ...

    async def by_hash(self, secret_hash: str) -> ApiKey | None: ...

    async def list(
        self, organization_id: str, page: Page, *, livemode: bool | None = None
    ) -> tuple[list[ApiKey], bool]:
        """A page and whether there is more behind it; ``livemode`` None is both."""
        ...

    async def living(self, organization_id: str) -> Sequence[ApiKey]:
        """The live keys that are not revoked."""
        ...

    async def update(self, key: ApiKey) -> None:
        """Its name, scopes, expiry and successor."""
        ...

    async def revoke(self, key_id: str, at: datetime) -> None: ...

    async def used(self, key_id: str, at: datetime) -> None: ...


class AuditRepository(Protocol):
    async def add(self, entry: AuditEntry) -> None: ...

    async def list(
        self, organization_id: str, page: Page, where: AuditFilter | None = None
    ) -> tuple[list[AuditEntry], bool]:
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
