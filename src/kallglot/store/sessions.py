"""Sessions and their turns, as the API reads and writes them."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from kallglot.accounts.ports import Page
from kallglot.api.ports.sessions import SessionFilter
from kallglot.session.model import Session, Turn
from kallglot.session.timings import TurnTimes
from kallglot.store import rows
from kallglot.store.paging import one, page_of
from kallglot.store.tables.accounts import organizations
from kallglot.store.tables.sessions import session_metadata, sessions, turn_timings, turns


class SqlSessions:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, session: Session) -> None:
        await self._connection.execute(insert(sessions).values(rows.session_row(session)))
        await self._index_metadata(session.id, session.metadata)

    async def get(self, session_id: str, organization_id: str, livemode: bool) -> Session | None:
        found = await one(
            self._connection,
            sessions,
            sessions.c.id == session_id,
            sessions.c.organization_id == organization_id,
            sessions.c.livemode.is_(livemode),
        )
        return None if found is None else rows.session(found)

    async def list(self, where: SessionFilter, page: Page) -> tuple[list[Session], bool]:
        table = sessions
        query = select(table).where(
            table.c.organization_id == where.organization_id, table.c.livemode.is_(where.livemode)
        )
        if where.status is not None:
            query = query.where(table.c.status == where.status)
        if where.mode is not None:
            query = query.where(table.c.mode == where.mode)
        if where.created_after is not None:
            query = query.where(table.c.created_at > where.created_after)
        if where.created_before is not None:
            query = query.where(table.c.created_at < where.created_before)
        for key, value in (where.metadata or {}).items():
            tagged = select(session_metadata.c.session_id).where(
                session_metadata.c.key == key, session_metadata.c.value == value
            )
            query = query.where(table.c.id.in_(tagged))
        found, more = await page_of(self._connection, query, table, page)
        return [rows.session(row) for row in found], more

    async def set_metadata(self, session_id: str, metadata: Mapping[str, str] | None) -> None:
        value = None if metadata is None else dict(metadata)
        await self._connection.execute(update(sessions).where(sessions.c.id == session_id).values(metadata=value))
        await self._connection.execute(delete(session_metadata).where(session_metadata.c.session_id == session_id))
        await self._index_metadata(session_id, metadata)

    async def count_live(self, organization_id: str, livemode: bool) -> int:
        """The organisation's row is locked until the transaction ends, so that two creations at once cannot both be the
        last that the plan allows; SQLite has one writer anyway."""
        await self._connection.execute(
            select(organizations.c.id).where(organizations.c.id == organization_id).with_for_update(key_share=True)
        )
        counted = await self._connection.execute(
            select(func.count())
            .select_from(sessions)
            .where(
                sessions.c.organization_id == organization_id,
                sessions.c.livemode.is_(livemode),
                sessions.c.status != "ended",
            )
        )
        return counted.scalar_one()

    async def _index_metadata(self, session_id: str, metadata: Mapping[str, str] | None) -> None:
        if metadata:
            values = [{"session_id": session_id, "key": key, "value": value} for key, value in metadata.items()]
            await self._connection.execute(insert(session_metadata), values)


class SqlTurns:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def list(self, session_id: str) -> list[Turn]:
        query = select(turns).where(turns.c.session_id == session_id).order_by(turns.c.sequence)
        return [rows.turn(row) for row in (await self._connection.execute(query)).mappings()]

    async def timings(self, session_id: str) -> list[TurnTimes]:
        query = (
            select(turn_timings.c.times)
            .join(turns, turns.c.id == turn_timings.c.turn_id)
            .where(turn_timings.c.session_id == session_id)
            .order_by(turns.c.sequence)
        )
        return [rows.times(times) for times in (await self._connection.execute(query)).scalars()]
