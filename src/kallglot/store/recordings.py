"""Recordings: as the API reads them, and as the recorder keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from kallglot.accounts.policy import Retention, retention
from kallglot.accounts.ports import Page
from kallglot.api import news
from kallglot.clock import Clock
from kallglot.recording.model import Recording
from kallglot.session.model import Session
from kallglot.store import rows
from kallglot.store.accounts import SqlOrganizations
from kallglot.store.database import Database
from kallglot.store.events import SqlEvents
from kallglot.store.paging import one, page_of
from kallglot.store.tables.recordings import recordings, removals
from kallglot.store.tables.sessions import sessions

LAST_LOOK: Final = timedelta(hours=6)
"""After a deletion: a recording that was being made at that moment has reached its shelf by then, or never does."""


class SqlRecordings:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def list(self, session_id: str, page: Page) -> tuple[list[Recording], bool]:
        query = select(recordings).where(recordings.c.session_id == session_id, recordings.c.deleted.is_(False))
        found, more = await page_of(self._connection, query, recordings, page)
        return [Recording(**row) for row in found], more

    async def get(self, recording_id: str, organization_id: str, livemode: bool) -> Recording | None:
        found = await one(
            self._connection,
            recordings,
            recordings.c.id == recording_id,
            recordings.c.organization_id == organization_id,
            recordings.c.livemode.is_(livemode),
            recordings.c.deleted.is_(False),
        )
        return None if found is None else Recording(**found)


class SqlRecordingLedger:
    """Implements :class:`kallglot.recording.ports.RecordingLedger`; every call is a transaction of its own."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def begin(self, some: Sequence[Recording]) -> None:
        dialect: Any = sqlite if self._database.is_sqlite else postgresql
        known = [recordings.c.session_id, recordings.c.channel]
        statement = dialect.insert(recordings).on_conflict_do_nothing(index_elements=known)
        async with self._database.write() as connection:
            await connection.execute(statement, [asdict(recording) for recording in some])

    async def of_session(self, session_id: str) -> list[Recording]:
        query = (
            select(recordings)
            .where(recordings.c.session_id == session_id, recordings.c.deleted.is_(False))
            .order_by(recordings.c.id)
        )
        async with self._database.read() as connection:
            return [Recording(**row) for row in (await connection.execute(query)).mappings()]

    async def unfinished(self) -> list[Session]:
        waiting = select(recordings.c.session_id).where(recordings.c.status == "processing")
        query = select(sessions).where(sessions.c.id.in_(waiting), sessions.c.status == "ended").order_by(sessions.c.id)
        async with self._database.read() as connection:
            return [rows.session(row) for row in (await connection.execute(query)).mappings()]

    async def update(self, recording: Recording) -> bool:
        """Customers are told of one that was being processed and is not any more."""
        changed = recordings.c.id == recording.id
        async with self._database.write() as connection:
            told = None if recording.deleted else news.recording_done(recording, self._clock.now())
            if told is not None:
                # The session first, as whoever deletes it does: two who wait for each other wait for ever.
                of = select(sessions.c.id).where(sessions.c.id == recording.session_id)
                await connection.execute(of.with_for_update(read=True, key_share=True))
                before = await connection.execute(select(recordings.c.status).where(changed).with_for_update())
                if before.scalar_one_or_none() == "processing":
                    await SqlEvents(connection).add([told])
            kept = await connection.execute(update(recordings).where(changed).values(asdict(recording)))
        return kept.rowcount > 0

    async def kept_days(self, organization_id: str) -> float | None:
        async with self._database.read() as connection:
            found = await SqlOrganizations(connection).get(organization_id)
        return retention(None if found is None else found.policy, Retention()).recordings_days

    async def removals(self, now: datetime, limit: int = 100) -> list[str]:
        due = (removals.c.id != removals.c.session_id) & (removals.c.due_at <= now)
        query = select(removals.c.id).where(due).order_by(removals.c.due_at).limit(limit)
        async with self._database.read() as connection:
            return list((await connection.execute(query)).scalars())

    async def removed(self, recording_id: str, now: datetime) -> None:
        this = removals.c.id == recording_id
        async with self._database.write() as connection:
            again = removals.c.created_at > now - LAST_LOOK
            await connection.execute(update(removals).where(this, again).values(due_at=now + LAST_LOOK))
            await connection.execute(delete(removals).where(this, ~again))

    async def erased(self, session_id: str) -> bool:
        async with self._database.read() as connection:
            return await one(connection, removals, removals.c.id == session_id) is not None

    async def unshelved(self, recording_id: str) -> None:
        async with self._database.write() as connection:
            await connection.execute(update(recordings).where(recordings.c.id == recording_id).values(stored=False))

    async def overdue(self, now: datetime, limit: int = 100) -> list[Recording]:
        expired = recordings.c.stored.is_(True) & (recordings.c.expires_at <= now)
        query = select(recordings).where(or_(expired, recordings.c.deleted.is_(True))).order_by(recordings.c.id)
        async with self._database.read() as connection:
            return [Recording(**row) for row in (await connection.execute(query.limit(limit))).mappings()]

    async def stored(self, some_ids: Sequence[str]) -> set[str]:
        query = select(recordings.c.id).where(
            recordings.c.id.in_(some_ids), recordings.c.stored.is_(True), recordings.c.deleted.is_(False)
        )
        async with self._database.read() as connection:
            return set((await connection.execute(query)).scalars())

    async def remove(self, recording_id: str) -> None:
        async with self._database.write() as connection:
            await connection.execute(delete(recordings).where(recordings.c.id == recording_id))
