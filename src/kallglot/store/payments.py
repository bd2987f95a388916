"""What payment providers told."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from kallglot.billing.notices import Notice
from kallglot.store.tables.ledgers import payments

_LONGEST_OUTCOME: Final = 200


class SqlPayments:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def enter(self, notice: Notice, provider: str, now: datetime) -> bool:
        dialect: Any = sqlite if self._connection.dialect.name == "sqlite" else postgresql
        entered = await self._connection.execute(
            dialect.insert(payments)
            .values(
                id=notice.id,
                provider=provider,
                type=notice.type,
                outcome="",
                created_at=now,
                customer=notice.customer,
            )
            .on_conflict_do_nothing()
            .returning(payments.c.id)
        )
        return entered.scalar_one_or_none() is not None

    async def settle(self, event_id: str, outcome: str, organization_id: str | None) -> None:
        await self._set(event_id, outcome=outcome[:_LONGEST_OUTCOME], organization_id=organization_id, notice=None)

    async def keep_waiting(self, notice: Notice, outcome: str) -> None:
        await self._set(notice.id, outcome=outcome[:_LONGEST_OUTCOME], notice=notice.document())

    async def waiting(self, customer: str) -> list[Notice]:
        query = select(payments.c.notice).where(payments.c.customer == customer, payments.c.notice.is_not(None))
        found = [Notice.of(document) for document in (await self._connection.execute(query)).scalars()]
        return sorted(found, key=lambda notice: notice.created)

    async def lock_customer(self, customer: str) -> None:
        if self._connection.dialect.name == "postgresql":
            await self._connection.execute(
                text("SELECT pg_advisory_xact_lock(hashtextextended(:customer, 0))"), {"customer": customer}
            )

    async def _set(self, event_id: str, **values: Any) -> None:
        await self._connection.execute(update(payments).where(payments.c.id == event_id).values(values))
