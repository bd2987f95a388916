"""Deleting: a session with everything that tells of it, transcripts and events whose time is over."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from cryptography.fernet import Fernet
from sqlalchemy import delete, exists, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from kallglot.accounts import credits
from kallglot.accounts.model import Organization
from kallglot.store.accounts import SqlOrganizations
from kallglot.store.database import Database, note_purge
from kallglot.store.idempotency import forget_session
from kallglot.store.tables.analyses import analyses
from kallglot.store.tables.recordings import recordings, removals
from kallglot.store.tables.sessions import sessions, turn_timings, turns
from kallglot.store.tables.webhooks import events, webhook_deliveries

TELLING: Final = ("transcript.%", "analysis.%")
"""Events that carry what was said, or what was made of it."""


class SqlPrivacy:
    def __init__(self, connection: AsyncConnection, cipher: Fernet) -> None:
        self._connection = connection
        self._cipher = cipher

    async def lock(self, session_id: str) -> str | None:
        """The status of a session that stays as it is until the transaction ends; None where there is none."""
        query = select(sessions.c.status).where(sessions.c.id == session_id).with_for_update()
        return (await self._connection.execute(query)).scalar_one_or_none()

    async def recorded(self, session_id: str) -> bool:
        """Whether there is a recording, or going to be."""
        query = select(recordings.c.id).where(recordings.c.session_id == session_id, recordings.c.deleted.is_(False))
        return (await self._connection.execute(query.limit(1))).first() is not None

    async def delete_session(self, session_id: str, now: datetime) -> None:
        """Its rows are gone with this transaction; its files are left as work. The ledgers and the audit log keep what
        they have of it, and an analysis that was under way is paid back."""
        await _pay_back(self._connection, [session_id], now)
        found = await self._connection.execute(select(recordings.c.id).where(recordings.c.session_id == session_id))
        work = [session_id, *found.scalars()]
        await self._connection.execute(
            insert(removals),
            [{"id": one, "session_id": session_id, "created_at": now, "due_at": now} for one in work],
        )
        await forget_session(self._connection, self._cipher, session_id)
        await self._connection.execute(delete(sessions).where(sessions.c.id == session_id))
        note_purge(self._connection)

    async def analyses(self, session_id: str) -> list[dict[str, Any]]:
        """Oldest first, as they are kept but for what only their runner needs."""
        table = analyses
        columns = (
            table.c.id,
            table.c.session_id,
            table.c.status,
            table.c.profile,
            table.c.include,
            table.c.result,
            table.c.error,
            table.c.created_at,
            table.c.completed_at,
        )
        query = select(*columns).where(table.c.session_id == session_id).order_by(table.c.id)
        return [dict(row) for row in (await self._connection.execute(query)).mappings()]


class SqlExpiry:
    """Implements :class:`kallglot.privacy.ports.Expiry`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def organizations(self) -> list[Organization]:
        async with self._database.read() as connection:
            return await SqlOrganizations(connection).list()

    async def expire_transcripts(self, organization_id: str, ended_before: datetime, now: datetime, most: int) -> int:
        async with self._database.write() as connection:
            over = await connection.execute(
                select(sessions.c.id)
                .where(
                    sessions.c.organization_id == organization_id,
                    sessions.c.ended_at < ended_before,
                    sessions.c.status == "ended",
                    sessions.c.transcript_deleted_at.is_(None),
                )
                .order_by(sessions.c.ended_at)
                .limit(most)
                .with_for_update(skip_locked=True)
            )
            some = list(over.scalars())
            if some:
                await _expire(connection, some, now)
        return len(some)

    async def expire_events(self, organization_id: str, before: datetime, most: int) -> int:
        pending = exists().where(webhook_deliveries.c.event_id == events.c.id, webhook_deliveries.c.status == "pending")
        async with self._database.write() as connection:
            over = await connection.execute(
                select(events.c.id)
                .where(events.c.organization_id == organization_id, events.c.created_at < before, ~pending)
                .order_by(events.c.created_at)
                .limit(most)
                .with_for_update(skip_locked=True)
            )
            some = list(over.scalars())
            if some:
                await connection.execute(delete(events).where(events.c.id.in_(some)))
                note_purge(connection)
        return len(some)

    async def forget_removals(self, before: datetime) -> int:
        async with self._database.write() as connection:
            gone = await connection.execute(
                delete(removals).where(removals.c.id == removals.c.session_id, removals.c.created_at < before)
            )
        return gone.rowcount


async def _expire(connection: AsyncConnection, some: Sequence[str], now: datetime) -> None:
    await _pay_back(connection, some, now)
    await connection.execute(delete(turn_timings).where(turn_timings.c.session_id.in_(some)))
    await connection.execute(delete(turns).where(turns.c.session_id.in_(some)))
    await connection.execute(delete(analyses).where(analyses.c.session_id.in_(some)))
    for kind in TELLING:
        await connection.execute(delete(events).where(events.c.session_id.in_(some), events.c.type.like(kind)))
    await connection.execute(update(sessions).where(sessions.c.id.in_(some)).values(transcript_deleted_at=now))
    note_purge(connection)


async def _pay_back(connection: AsyncConnection, some: Sequence[str], now: datetime) -> None:
    """What was taken for analyses of these sessions that will not be. The sessions' rows are locked, as by whoever
    begins or ends one: only then the organisation's."""
    table = analyses
    lost = select(table.c.organization_id, table.c.id).where(
        table.c.session_id.in_(some), table.c.status == "processing", table.c.livemode.is_(True)
    )
    for owner, analysis_id in (await connection.execute(lost.order_by(table.c.id))).all():
        await SqlOrganizations(connection).refund(owner, credits.ANALYSIS, analysis_id, now)
