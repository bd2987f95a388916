"""Events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from kallglot.accounts.ports import Page
from kallglot.api.ports import EventFilter
from kallglot.outbox import Event
from kallglot.store.paging import page_of
from kallglot.store.tables import events


class SqlEvents:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, some: Sequence[Event]) -> None:
        if some:
            await self._connection.execute(insert(events), [asdict(one) for one in some])

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
