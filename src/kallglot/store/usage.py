"""What sessions used: the append-only ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, Table, func, literal_column, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from kallglot.accounts import credits
from kallglot.billing.usage import MOST_ROWS, EngineGroup, Group, UsageFilter, Used, added_up
from kallglot.session.model import Session
from kallglot.store.tables.ledgers import credit_ledger, engine_ledger, usage_ledger


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

    async def enter_engines(self, session: Session, used: Mapping[tuple[str, str], tuple[int, int]]) -> None:
        """A line for each kind and engine, when the session has ended; a second time changes nothing."""
        if not used:
            return
        dialect = sqlite if self._connection.dialect.name == "sqlite" else postgresql
        lines = [
            {
                "organization_id": session.organization_id,
                "livemode": session.livemode,
                "session_id": session.id,
                "mode": session.mode,
                "api_key_id": session.api_key_id,
                "kind": kind,
                "engine": engine,
                "audio_ms": ms,
                "characters": characters,
                "ended_at": session.ended_at,
            }
            for (kind, engine), (ms, characters) in used.items()
        ]
        await self._connection.execute(dialect.insert(engine_ledger).on_conflict_do_nothing(), lines)

    async def engines(self, where: UsageFilter) -> list[EngineGroup]:
        """What engines did for sessions by when these ended; more than ``MOST_ROWS`` are cut."""
        table = engine_ledger
        groups = self._groups(where, table, table.c.ended_at)
        by: dict[str, ColumnElement[Any]] = {**groups, "kind": table.c.kind, "engine": table.c.engine}
        query = select(
            *by.values(),
            func.count(),
            func.sum(table.c.audio_ms),
            func.sum(table.c.characters),
        ).where(
            table.c.organization_id == where.organization_id,
            table.c.livemode.is_(where.livemode),
            table.c.ended_at >= where.start,
            table.c.ended_at < where.end,
        )
        found: list[EngineGroup] = []
        for row in await self._grouped(query, by):
            *grouped, kind, engine, sessions, ms, characters = row
            group = Group(**dict(zip(groups, grouped, strict=True)))
            found.append(EngineGroup(group, kind, engine, int(sessions), int(ms or 0), int(characters or 0)))
        return found

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
