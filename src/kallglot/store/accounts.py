"""Organisations with their credits, API keys."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from kallglot.accounts.model import ApiKey, Organization, OrganizationStatus
from kallglot.api.ports import Page
from kallglot.store import rows
from kallglot.store.paging import one, page_of
from kallglot.store.tables import api_keys, credit_ledger, organizations


class SqlOrganizations:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, organization: Organization) -> None:
        values = {name: getattr(organization, name) for name in organization.__dataclass_fields__}
        await self._connection.execute(insert(organizations).values(values))

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

    async def take_credit(self, organization_id: str, amount: int, reason: str, reference: str) -> bool:
        table = organizations
        taken = await self._connection.execute(
            update(table)
            .where(table.c.id == organization_id, table.c.credits_remaining >= amount)
            .values(credits_remaining=table.c.credits_remaining - amount, credits_used=table.c.credits_used + amount)
            .returning(table.c.credits_remaining)
        )
        balance = taken.scalar_one_or_none()
        if balance is None:
            return False
        await self._enter(organization_id, -amount, reason, reference, balance)
        return True

    async def grant_credits(self, organization_id: str, amount: int, reason: str, reference: str) -> None:
        granted = await self._connection.execute(
            update(organizations)
            .where(organizations.c.id == organization_id)
            .values(credits_remaining=organizations.c.credits_remaining + amount)
            .returning(organizations.c.credits_remaining)
        )
        await self._enter(organization_id, amount, reason, reference, granted.scalar_one())

    async def _enter(self, organization_id: str, amount: int, reason: str, reference: str, balance: int) -> None:
        await self._connection.execute(
            insert(credit_ledger).values(
                organization_id=organization_id,
                amount=amount,
                reason=reason,
                reference=reference,
                balance_after=balance,
                created_at=datetime.now(UTC),
            )
        )


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

    async def list(self, organization_id: str, page: Page) -> tuple[list[ApiKey], bool]:
        query = select(api_keys).where(api_keys.c.organization_id == organization_id)
        found, more = await page_of(self._connection, query, api_keys, page)
        return [rows.api_key(row) for row in found], more

    async def revoke(self, key_id: str, at: datetime) -> None:
        where = (api_keys.c.id == key_id) & api_keys.c.revoked_at.is_(None)
        await self._connection.execute(update(api_keys).where(where).values(revoked_at=at))

    async def used(self, key_id: str, at: datetime) -> None:
        await self._connection.execute(update(api_keys).where(api_keys.c.id == key_id).values(last_used_at=at))
