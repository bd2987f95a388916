"""Analyses: as the API keeps and reads them, and as the queue of those who make them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import case, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from kallglot.accounts import credits
from kallglot.accounts.ports import Page
from kallglot.analysis.model import Analysis
from kallglot.analysis.notices import over
from kallglot.analysis.ports import Claimed
from kallglot.store.accounts import SqlOrganizations
from kallglot.store.database import Database
from kallglot.store.events import SqlEvents
from kallglot.store.paging import one, page_of
from kallglot.store.tables.analyses import analyses
from kallglot.store.tables.sessions import sessions, turns

_RUNNERS: Final = ("attempts", "lease_owner", "lease_until")
_TURNS_AT_ONCE: Final = 200
"""Rows that are turned into values in one go, while audio waits."""


class SqlAnalyses:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, analysis: Analysis) -> None:
        values = {**asdict(analysis), "include": list(analysis.include), "attempts": 0}
        await self._connection.execute(insert(analyses).values(values))

    async def get(self, analysis_id: str, organization_id: str, livemode: bool) -> Analysis | None:
        found = await one(
            self._connection,
            analyses,
            analyses.c.id == analysis_id,
            analyses.c.organization_id == organization_id,
            analyses.c.livemode.is_(livemode),
        )
        return None if found is None else _analysis(found)

    async def list(self, session_id: str, page: Page) -> tuple[list[Analysis], bool]:
        query = select(analyses).where(analyses.c.session_id == session_id)
        found, more = await page_of(self._connection, query, analyses, page)
        return [_analysis(row) for row in found], more


class SqlAnalysisQueue:
    """Implements :class:`kallglot.analysis.ports.Queue`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(
        self, owner: str, now: datetime, until: datetime, limit: int, besides: Collection[str]
    ) -> list[Claimed]:
        table = analyses
        free = or_(table.c.lease_until.is_(None), table.c.lease_until <= now, table.c.lease_owner == owner)
        query = (
            select(table.c.id)
            .where(table.c.status == "processing", free, table.c.id.not_in(list(besides)))
            .order_by(table.c.id)
            .limit(limit)
        )
        # Most looks find nothing, and need not wait for who writes.
        async with self._database.read() as connection:
            if (await connection.execute(query)).first() is None:
                return []
        async with self._database.write() as connection:
            ids = list((await connection.execute(query.with_for_update(skip_locked=True))).scalars())
            if not ids:
                return []
            taken = {"lease_owner": owner, "lease_until": until, "attempts": table.c.attempts + 1}
            await connection.execute(update(table).where(table.c.id.in_(ids)).values(taken))
            rows = await connection.execute(select(table).where(table.c.id.in_(ids)).order_by(table.c.id))
            return [Claimed(_analysis(row), row["attempts"]) for row in rows.mappings()]

    async def prolong(self, ids: Collection[str], owner: str, until: datetime) -> set[str]:
        table = analyses
        ours = table.c.id.in_(ids) & (table.c.lease_owner == owner) & (table.c.status == "processing")
        async with self._database.write() as connection:
            prolonged = await connection.execute(
                update(table).where(ours).values(lease_until=until).returning(table.c.id)
            )
            return set(prolonged.scalars())

    async def conversation(self, session_id: str) -> dict[str, Any] | None:
        """As :class:`kallglot.analysis.spoken.Conversation` reads it, and encoded by who asks: a value for each turn of
        a long call would hold up the event loop."""
        table = turns
        columns = (
            table.c.id,
            table.c.sequence,
            table.c.participant_id,
            table.c.speaker,
            table.c.language,
            table.c.text,
            table.c.start_ms,
            table.c.end_ms,
            table.c.translations,
        )
        async with self._database.read() as connection:
            session = await one(connection, sessions, sessions.c.id == session_id)
            if session is None:
                return None
            said: list[dict[str, Any]] = []
            while True:
                after = said[-1]["sequence"] if said else 0
                some = (
                    select(*columns)
                    .where(table.c.session_id == session_id, table.c.sequence > after)
                    .order_by(table.c.sequence)
                    .limit(_TURNS_AT_ONCE)
                )
                found = [dict(row) for row in (await connection.execute(some)).mappings()]
                said.extend(found)
                if len(found) < _TURNS_AT_ONCE:
                    break
        languages: dict[str, str] = {}
        for participant in session["participants"]:
            if participant["language"]:
                languages.setdefault(participant["role"], participant["language"])
        return {"turns": said, "languages": languages, "recorded": bool(session["recording"].get("enabled"))}

    async def complete(self, analysis_id: str, owner: str, result: Mapping[str, Any], now: datetime) -> bool:
        async with self._database.write() as connection:
            return await self._end(connection, analysis_id, owner, "completed", dict(result), None, now)

    async def fail(self, analysis_id: str, owner: str, error: str, now: datetime) -> bool:
        async with self._database.write() as connection:
            return await self._end(connection, analysis_id, owner, "failed", None, error, now)

    async def postpone(self, analysis_id: str, owner: str, until: datetime) -> None:
        table = analyses
        ours = (table.c.id == analysis_id) & (table.c.lease_owner == owner) & (table.c.status == "processing")
        async with self._database.write() as connection:
            await connection.execute(update(table).where(ours).values(lease_owner=None, lease_until=until))

    async def give_up(self, owner: str, ids: Collection[str]) -> None:
        if not ids:
            return
        table = analyses
        ours = table.c.id.in_(ids) & (table.c.lease_owner == owner) & (table.c.status == "processing")
        attempts = case((table.c.attempts > 0, table.c.attempts - 1), else_=0)
        async with self._database.write() as connection:
            free = {"lease_owner": None, "lease_until": None, "attempts": attempts}
            await connection.execute(update(table).where(ours).values(free))

    async def waiting(self) -> int:
        async with self._database.read() as connection:
            counted = await connection.execute(
                select(func.count()).select_from(analyses).where(analyses.c.status == "processing")
            )
            return counted.scalar_one()

    async def _end(
        self,
        connection: AsyncConnection,
        analysis_id: str,
        owner: str,
        status: Literal["completed", "failed"],
        result: dict[str, Any] | None,
        error: str | None,
        now: datetime,
    ) -> bool:
        table = analyses
        # The session first, as whoever deletes it does: the two would wait for each other.
        of = select(table.c.session_id).where(table.c.id == analysis_id).scalar_subquery()
        locked = select(sessions.c.id).where(sessions.c.id == of).with_for_update(read=True, key_share=True)
        if (await connection.execute(locked)).first() is None:
            return False
        ours = (table.c.id == analysis_id) & (table.c.lease_owner == owner) & (table.c.status == "processing")
        values = {
            "status": status,
            "result": result,
            "error": error,
            "completed_at": now,
            "lease_owner": None,
            "lease_until": None,
        }
        row = (await connection.execute(update(table).where(ours).values(values).returning(table))).mappings().first()
        if row is None:
            return False
        ended = replace(_analysis(row), status=status, completed_at=now)
        if status == "failed":
            await SqlOrganizations(connection).refund(ended.organization_id, credits.ANALYSIS, ended.id, now)
        await SqlEvents(connection).add([over(ended)])
        return True


def _analysis(row: Mapping[Any, Any]) -> Analysis:
    values: dict[str, Any] = {name: value for name, value in row.items() if name not in _RUNNERS}
    values["include"] = tuple(values["include"])
    return Analysis(**values)
