"""Events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from kallglot.accounts.ports import Page
from kallglot.api.ports.events import EventFilter
from kallglot.ids import DELIVERY, new_id
from kallglot.outbox import Event
from kallglot.store.database import note_deliveries
from kallglot.store.paging import page_of
from kallglot.store.tables.webhooks import events, webhook_deliveries, webhook_endpoints
from kallglot.store.webhooks import endpoint


class SqlEvents:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, some: Sequence[Event]) -> None:
        if not some:
            return
        await self._connection.execute(insert(events), [asdict(one) for one in some])
        tenants = {(one.organization_id, one.livemode) for one in some}
        deliveries: list[dict[str, Any]] = [
            {
                "id": new_id(DELIVERY),
                "endpoint_id": endpoint_id,
                "event_id": event.id,
                "status": "pending",
                "attempts": 0,
                "next_attempt_at": event.created_at,
                "created_at": event.created_at,
                "log": [],
            }
            for tenant in tenants
            for event, endpoint_id in await self._receivers(tenant, some)
        ]
        if deliveries:
            await self._connection.execute(insert(webhook_deliveries), deliveries)
            note_deliveries(self._connection)

    async def _receivers(self, tenant: tuple[str, bool], some: Sequence[Event]) -> list[tuple[Event, str]]:
        """A session's own endpoint gets that session's events, the organisation's all others, each those it wants."""
        table = webhook_endpoints
        sessions = {one.session_id for one in some if one.session_id is not None}
        # One that is being deleted must not fail the transaction that tells of something else.
        found = await self._connection.execute(
            select(table)
            .where(
                table.c.organization_id == tenant[0],
                table.c.livemode.is_(tenant[1]),
                or_(table.c.session_id.is_(None), table.c.session_id.in_(sessions)),
            )
            .order_by(table.c.id)
            .with_for_update(read=True, key_share=True)
        )
        known = [endpoint(row) for row in found.mappings()]
        own = {one.session_id for one in known if one.session_id is not None}
        return [
            (event, one.id)
            for event in some
            if (event.organization_id, event.livemode) == tenant
            for one in known
            if one.session_id == (event.session_id if event.session_id in own else None)
            and one.enabled
            and one.wants(event.type)
        ]

    async def list(self, where: EventFilter, page: Page) -> tuple[list[Event], bool]:
        query = select(events).where(
            events.c.organization_id == where.organization_id, events.c.livemode.is_(where.livemode)
        )
        if where.type is not None:
            query = query.where(events.c.type == where.type)
        if where.session_id is not None:
            query = query.where(events.c.session_id == where.session_id)
        if where.created_after is not None:
            query = query.where(events.c.created_at > where.created_after)
        if where.created_before is not None:
            query = query.where(events.c.created_at < where.created_before)
        found, more = await page_of(self._connection, query, events, page)
        return [Event(**row) for row in found], more
