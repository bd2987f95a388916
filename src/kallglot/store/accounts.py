"""Organisations with their credits, API keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from kallglot.accounts import credits
from kallglot.accounts.credits import CreditEntry, Period
from kallglot.accounts.model import ApiKey, Organization, OrganizationStatus
from kallglot.accounts.ports import Page
from kallglot.billing.notices import ENDED
from kallglot.clock import iso
from kallglot.store import rows
from kallglot.store.paging import one, page_of
from kallglot.store.tables.accounts import api_keys, organizations
from kallglot.store.tables.ledgers import credit_ledger

_ALONE: Final = 0x6B616C6D


@dataclass(frozen=True, slots=True)
class _Move:
    """What is added to a balance, to the part of it that ends with the period, and to what was used."""

    amount: int
    plan_amount: int = 0
    used: int = 0
    mode: str | None = None
    api_key_id: str | None = None


class SqlOrganizations:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, organization: Organization) -> None:
        values = {name: getattr(organization, name) for name in organization.__dataclass_fields__}
        await self._connection.execute(insert(organizations).values(values))
        if organization.credits_remaining:
            opening = _Move(organization.credits_remaining, organization.plan_credits)
            await self._enter(organization, opening, credits.OPENING, organization.id, organization.created_at)

    async def get(self, organization_id: str) -> Organization | None:
        found = await one(self._connection, organizations, organizations.c.id == organization_id)
        return None if found is None else rows.organization(found)

    async def list(self) -> list[Organization]:
        """Oldest first."""
        found = await self._connection.execute(select(organizations).order_by(organizations.c.id))
        return [rows.organization(row) for row in found.mappings()]

    async def set_status(self, organization_id: str, status: OrganizationStatus) -> None:
        where = organizations.c.id == organization_id
        await self._connection.execute(update(organizations).where(where).values(status=status))

    async def rename(self, organization_id: str, name: str) -> None:
        where = organizations.c.id == organization_id
        await self._connection.execute(update(organizations).where(where).values(name=name))

    async def set_policy(self, organization_id: str, policy: Mapping[str, Any]) -> None:
        where = organizations.c.id == organization_id
        await self._connection.execute(update(organizations).where(where).values(policy=dict(policy)))

    async def set_plan(self, organization_id: str, plan: str) -> None:
        where = organizations.c.id == organization_id
        await self._connection.execute(update(organizations).where(where).values(plan=plan))

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
        found = await self.lock(organization_id)
        if found is None or found.credits_remaining < amount:
            return False
        move = _Move(-amount, -min(amount, found.plan_credits), amount, mode, api_key_id)
        await self._move(found, move, reason, reference, now)
        return True

    async def grant_credits(
        self, organization_id: str, amount: int, reason: str, reference: str, now: datetime
    ) -> bool:
        found = await self._locked(organization_id)
        if await self._entered(organization_id, reason, reference) is not None:
            return False
        await self._move(found, _Move(amount), reason, reference, now)
        return True

    async def refund(self, organization_id: str, reason: str, reference: str, now: datetime) -> bool:
        found = await self._locked(organization_id)
        taken = await self._entered(organization_id, reason, reference)
        if taken is None or await self._entered(organization_id, credits.REFUND, reference) is not None:
            return False
        this_period = found.period_start is None or taken.created_at >= found.period_start
        used = min(found.credits_used, -taken.amount) if this_period else 0
        move = _Move(-taken.amount, -taken.plan_amount, -used, taken.mode, taken.api_key_id)
        await self._move(found, move, credits.REFUND, reference, now)
        return True

    async def begin_period(
        self, organization_id: str, period: Period, allowance: int, now: datetime, *, paid: bool = False
    ) -> bool:
        found = await self._locked(organization_id)
        if found.period_start is not None and found.period_start >= period.start:
            return False
        reference = iso(period.start)
        if found.plan_credits:
            expiry = _Move(-found.plan_credits, -found.plan_credits)
            found = await self._move(found, expiry, credits.EXPIRED, reference, now)
        if allowance:
            found = await self._move(found, _Move(allowance, allowance), credits.PERIOD, reference, now)
        where = organizations.c.id == organization_id
        used = await self._used_since(organization_id, period.start)
        values = {"credits_used": used, "period_start": period.start, "period_end": period.end, "period_paid": paid}
        await self._connection.execute(update(organizations).where(where).values(values))
        return True

    async def pay_period(self, organization_id: str, period: Period, allowance: int, now: datetime) -> int | None:
        found = await self._locked(organization_id)
        begun = found.period_start
        if begun is None or found.period_paid or not period.start <= begun < period.end:
            return None
        granted = await self.raise_allowance(organization_id, allowance, now)
        values = {"period_end": period.end, "period_paid": True}
        await self._connection.execute(
            update(organizations).where(organizations.c.id == organization_id).values(values)
        )
        return granted

    async def raise_allowance(self, organization_id: str, allowance: int, now: datetime) -> int:
        found = await self._locked(organization_id)
        if found.period_start is None:
            return 0
        start = iso(found.period_start)
        ledger = credit_ledger
        granted = await self._connection.execute(
            select(func.coalesce(func.sum(ledger.c.amount), 0)).where(
                ledger.c.organization_id == organization_id,
                ledger.c.reason == credits.PERIOD,
                or_(ledger.c.reference == start, ledger.c.reference.startswith(f"{start} ")),
            )
        )
        missing = allowance - int(granted.scalar_one())
        if missing <= 0:
            return 0
        await self._move(found, _Move(missing, missing), credits.PERIOD, f"{start} {allowance}", now)
        return missing

    async def due(
        self, plans: Sequence[str], now: datetime, *, after: str = "", limit: int = 100
    ) -> list[Organization]:
        table = organizations
        query = (
            select(table)
            .where(
                table.c.plan.in_(plans),
                table.c.status == "active",
                table.c.id > after,
                or_(table.c.subscription.is_(None), table.c.subscription.in_(ENDED)),
                or_(table.c.period_end.is_(None), table.c.period_end <= now),
            )
            .order_by(table.c.id)
            .limit(limit)
        )
        return [rows.organization(row) for row in (await self._connection.execute(query)).mappings()]

    async def by_customer(self, payment_customer: str) -> Organization | None:
        found = await one(self._connection, organizations, organizations.c.payment_customer == payment_customer)
        return None if found is None else rows.organization(found)

    async def link_customer(self, organization_id: str, payment_customer: str) -> None:
        where = organizations.c.id == organization_id
        await self._connection.execute(update(organizations).where(where).values(payment_customer=payment_customer))

    async def set_subscription(
        self,
        organization_id: str,
        state: str,
        subscription_id: str | None,
        at: datetime,
        plan: str | None,
        created_at: datetime | None = None,
    ) -> None:
        values: dict[str, Any] = {
            "subscription": state,
            "subscription_changed_at": at,
            "subscription_created_at": created_at,
            "payment_subscription": subscription_id,
        }
        if plan is not None:
            values["plan"] = plan
        where = organizations.c.id == organization_id
        await self._connection.execute(update(organizations).where(where).values(values))

    async def alone(self) -> None:
        """SQLite has one writer anyway."""
        if self._connection.dialect.name != "sqlite":
            await self._connection.execute(select(func.pg_advisory_xact_lock(_ALONE)))

    async def lock(self, organization_id: str) -> Organization | None:
        # Not against those who only refer to it, who may be waited for with something of theirs locked.
        query = select(organizations).where(organizations.c.id == organization_id).with_for_update(key_share=True)
        found = (await self._connection.execute(query)).mappings().first()
        return None if found is None else rows.organization(found)

    async def _locked(self, organization_id: str) -> Organization:
        found = await self.lock(organization_id)
        if found is None:
            raise LookupError(f"there is no organisation {organization_id}")
        return found

    async def _used_since(self, organization_id: str, start: datetime) -> int:
        """As the usage of that time has it; what was given back of earlier uses makes it no less than none."""
        ledger = credit_ledger
        query = select(func.coalesce(func.sum(-ledger.c.amount), 0)).where(
            ledger.c.organization_id == organization_id,
            ledger.c.reason.in_((credits.SESSION, credits.ANALYSIS, credits.REFUND)),
            ledger.c.created_at >= start,
        )
        return max(0, int((await self._connection.execute(query)).scalar_one()))

    async def _move(self, found: Organization, move: _Move, reason: str, reference: str, now: datetime) -> Organization:
        """The organisation, whose row is locked, as it is afterwards."""
        changed = {
            "credits_remaining": found.credits_remaining + move.amount,
            "plan_credits": found.plan_credits + move.plan_amount,
            "credits_used": found.credits_used + move.used,
        }
        if changed["credits_remaining"] > credits.LARGEST_BALANCE:
            raise OverflowError(f"a balance holds at most {credits.LARGEST_BALANCE} credits")
        where = organizations.c.id == found.id
        await self._connection.execute(update(organizations).where(where).values(changed))
        after = replace(found, **changed)
        await self._enter(after, move, reason, reference, now)
        return after

    async def _enter(self, after: Organization, move: _Move, reason: str, reference: str, now: datetime) -> None:
        await self._connection.execute(
            insert(credit_ledger).values(
                organization_id=after.id,
                amount=move.amount,
                plan_amount=move.plan_amount,
                reason=reason,
                reference=reference,
                balance_after=after.credits_remaining,
                created_at=now,
                mode=move.mode,
                api_key_id=move.api_key_id,
            )
        )

    async def _entered(self, organization_id: str, reason: str, reference: str) -> CreditEntry | None:
        ledger = credit_ledger
        where = (
            ledger.c.organization_id == organization_id,
            ledger.c.reason == reason,
            ledger.c.reference == reference,
        )
        found = await one(self._connection, ledger, *where)
        return None if found is None else CreditEntry(**found)


class SqlApiKeys:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, key: ApiKey) -> None:
        await self._connection.execute(insert(api_keys).values(rows.api_key_row(key)))

    async def get(self, key_id: str) -> ApiKey | None:
        found = await one(self._connection, api_keys, api_keys.c.id == key_id)
        return None if found is None else rows.api_key(found)

    async def by_hash(self, secret_hash: str) -> ApiKey | None:
        found = await one(self._connection, api_keys, api_keys.c.secret_hash == secret_hash)
        return None if found is None else rows.api_key(found)

    async def list(
        self, organization_id: str, page: Page, *, livemode: bool | None = None
    ) -> tuple[list[ApiKey], bool]:
        query = select(api_keys).where(api_keys.c.organization_id == organization_id)
        if livemode is not None:
            query = query.where(api_keys.c.livemode == livemode)
        found, more = await page_of(self._connection, query, api_keys, page)
        return [rows.api_key(row) for row in found], more

    async def living(self, organization_id: str) -> Sequence[ApiKey]:
        table = api_keys
        where = (table.c.organization_id == organization_id, table.c.livemode, table.c.revoked_at.is_(None))
        found = await self._connection.execute(select(table).where(*where))
        return [rows.api_key(row) for row in found.mappings()]

    async def update(self, key: ApiKey) -> None:
        row = rows.api_key_row(key)
        values = {name: row[name] for name in ("name", "scopes", "expires_at", "replaced_by")}
        await self._connection.execute(update(api_keys).where(api_keys.c.id == key.id).values(values))

    async def revoke(self, key_id: str, at: datetime) -> None:
        where = (api_keys.c.id == key_id) & api_keys.c.revoked_at.is_(None)
        await self._connection.execute(update(api_keys).where(where).values(revoked_at=at))

    async def used(self, key_id: str, at: datetime) -> None:
        await self._connection.execute(update(api_keys).where(api_keys.c.id == key_id).values(last_used_at=at))
