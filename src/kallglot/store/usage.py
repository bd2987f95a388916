"""What sessions used: the append-only ledger."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ColumnElement, Select, Table, func, literal_column, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from kallglot.accounts import credits
from kallglot.billing.usage import MOST_ROWS, Group, UsageFilter, Used, added_up
from kallglot.session.model import Session
from kallglot.store.tables import credit_ledger, usage_ledger


class SqlUsageLedger:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def enter(self, session: Session) -> None:
        """One line, when the session has ended; a second time changes nothing."""
        assert session.usage is not None
        assert session.ended_at is not None
        dialect = sqlite if self._connection.dialect.name == "sqlite" else postgresql
        await self._connection.execute(
            dialect.insert(usage_ledger)
            .values(
                organization_id=session.organization_id,
                livemode=session.livemode,
                session_id=session.id,
                mode=session.mode,
                api_key_id=session.api_key_id,
                session_ms=round(session.usage.session_seconds * 1000),
                translation_ms=round(session.usage.translation_seconds * 1000),
                ai_agent_ms=round(session.usage.ai_agent_seconds * 1000),
                session_created_at=session.created_at,
                ended_at=session.ended_at,
            )
            .on_conflict_do_nothing()
        )

    async def used(self, where: UsageFilter) -> list[tuple[Group, Used]]:
        """Sessions by when they ended, credits by when they were taken. More than ``MOST_ROWS`` of either are cut."""
        return added_up([*await self._sessions(where), *await self._credits(where)])

    async def _sessions(self, where: UsageFilter) -> list[tuple[Group, Used]]:
        table = usage_ledger
        groups = self._groups(where, table, table.c.ended_at)
        query = select(
            *groups.values(),
            func.count(),
            *(func.sum(column) for column in (table.c.session_ms, table.c.translation_ms, table.c.ai_agent_ms)),
        ).where(
            table.c.organization_id == where.organization_id,
            table.c.livemode.is_(where.livemode),
            table.c.ended_at >= where.start,
            table.c.ended_at < where.end,
        )
        return [
            (Group(**dict(zip(groups, row, strict=False))), Used(*(int(value or 0) for value in row[len(groups) :])))
            for row in await self._grouped(query, groups)
        ]

    async def _credits(self, where: UsageFilter) -> list[tuple[Group, Used]]:
        """Only live keys spend any."""
        if not where.livemode:
            return []
        table = credit_ledger
        groups = self._groups(where, table, table.c.created_at)
        query = select(*groups.values(), func.sum(-table.c.amount)).where(
            table.c.organization_id == where.organization_id,
            table.c.reason.in_((credits.SESSION, credits.ANALYSIS, credits.REFUND)),
            table.c.created_at >= where.start,
            table.c.created_at < where.end,
        )
        return [
            (Group(**dict(zip(groups, row, strict=False))), Used(credits=int(row[-1] or 0)))
            for row in await self._grouped(query, groups)
        ]

    def _groups(self, where: UsageFilter, table: Table, moment: Column[Any]) -> dict[str, ColumnElement[Any]]:
        sqlite_day = func.strftime("%Y-%m-%d", moment)
        day = (
            sqlite_day
            if self._connection.dialect.name == "sqlite"
            else func.to_char(func.timezone("UTC", moment), "YYYY-MM-DD")
        )
        known = {"day": ("day", day), "mode": ("mode", table.c.mode), "api_key": ("api_key_id", table.c.api_key_id)}
        return dict(known[name] for name in where.group_by)

    async def _grouped(self, query: Select[Any], groups: dict[str, ColumnElement[Any]]) -> list[Any]:
        if groups:
            numbers: list[ColumnElement[Any]] = [literal_column(str(number + 1)) for number in range(len(groups))]
            query = query.group_by(*numbers).order_by(*numbers).limit(MOST_ROWS + 1)
        return list(await self._connection.execute(query))
