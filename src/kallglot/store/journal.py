"""The history of live sessions. Turns that come at about the same time share a transaction."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, case, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from kallglot.api import news
from kallglot.billing.usage import used_by
from kallglot.session.model import EndReason, Participant, Session, Status, Turn, Usage
from kallglot.session.ports import Unstorable
from kallglot.session.state import before
from kallglot.session.timings import TurnTimes
from kallglot.speech.used import EngineUse
from kallglot.store import rows
from kallglot.store.calls import SqlCallRows
from kallglot.store.events import SqlEvents
from kallglot.store.paging import one
from kallglot.store.sessions import SqlTurns
from kallglot.store.sql import SqlStore
from kallglot.store.tables.sessions import sessions, turn_timings, turns
from kallglot.store.usage import SqlUsageLedger

MAX_BATCH: Final = 256
MAX_WAITING: Final = 4096


class SqlJournal:
    """One writer task commits turns: what arrives while a transaction runs goes into the next."""

    def __init__(self, store: SqlStore) -> None:
        self._database = store.database
        self._waiting: asyncio.Queue[tuple[Turn, asyncio.Future[None]] | None] = asyncio.Queue(MAX_WAITING)
        self._writer: asyncio.Task[None] | None = None
        self.batches = 0
        """Transactions that stored turns."""
        self.stored = 0
        """Turns, in these."""

    @property
    def waiting_turns(self) -> int:
        """Given and not yet being stored."""
        return self._waiting.qsize()

    async def start(self) -> None:
        self._writer = asyncio.create_task(self._write_forever(), name="journal")

    async def close(self) -> None:
        """Finishes what was accepted."""
        if self._writer is not None:
            await self._waiting.put(None)
            await self._writer
            self._writer = None

    async def add_turn(self, turn: Turn) -> None:
        if self._writer is None:
            raise RuntimeError("the journal is not running")
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await self._waiting.put((turn, durable))
        await durable

    async def add_uses(self, uses: Mapping[str, tuple[EngineUse, ...]]) -> None:
        async with self._database.write() as connection:
            for turn_id, some in uses.items():
                await connection.execute(update(turns).where(turns.c.id == turn_id).values(engines=rows.uses(some)))

    async def add_timings(self, times: Sequence[TurnTimes]) -> None:
        dialect: Any = sqlite if self._database.is_sqlite else postgresql
        statement = dialect.insert(turn_timings)
        statement = statement.on_conflict_do_update(
            index_elements=[turn_timings.c.turn_id], set_={"times": statement.excluded.times}
        )
        async with self._database.write() as connection:
            await connection.execute(statement, [rows.times_row(one) for one in times])

    async def load(self, session_id: str) -> Session | None:
        async with self._database.glance() as connection:
            found = await one(connection, sessions, sessions.c.id == session_id)
        return None if found is None else rows.session(found)

    async def turns(self, session_id: str) -> list[Turn]:
        async with self._database.glance() as connection:
            return await SqlTurns(connection).list(session_id)

    async def connecting(self, session_id: str) -> None:
        async with self._database.write() as connection:
            await self._set(connection, session_id, status=_at_least("connecting"), deadline_at=None)

    async def started(self, session_id: str, at: datetime) -> None:
        where = (sessions.c.id == session_id) & (sessions.c.status != "ended") & sessions.c.started_at.is_(None)
        async with self._database.write() as connection:
            first = await connection.execute(
                update(sessions).where(where).values(status=_at_least("active"), started_at=at)
            )
            if first.rowcount:
                found = rows.session(await self._found(connection, session_id))
                newest = await SqlCallRows(connection).newest([session_id])
                await SqlEvents(connection).add([news.session_started(found, newest.get(session_id), at)])
            else:
                await self._forward(connection, session_id, "active")

    async def waiting(self, session_id: str, deadline: datetime) -> None:
        async with self._database.write() as connection:
            await self._set(connection, session_id, deadline_at=deadline)

    async def participants(self, session_id: str, participants: Sequence[Participant]) -> None:
        async with self._database.write() as connection:
            await self._set(connection, session_id, participants=rows.participants(list(participants)))

    async def ending(self, session_id: str) -> None:
        async with self._database.write() as connection:
            await self._forward(connection, session_id, "ending")

    async def ended(
        self, session_id: str, at: datetime, reason: EndReason, usage: Usage, besides: Sequence[EngineUse] = ()
    ) -> Session | None:
        """What it used goes into the ledger, and customers are told, once: when it ends."""
        async with self._database.write() as connection:
            changed = await connection.execute(
                update(sessions)
                .where(sessions.c.id == session_id, sessions.c.status.in_(before("ended")))
                .values(
                    status="ended",
                    ended_at=at,
                    end_reason=reason,
                    deadline_at=None,
                    session_seconds=usage.session_seconds,
                    translation_seconds=usage.translation_seconds,
                    ai_agent_seconds=usage.ai_agent_seconds,
                )
            )
            found = await one(connection, sessions, sessions.c.id == session_id)
            session = None if found is None else rows.session(found)
            if session is not None and changed.rowcount:
                await SqlUsageLedger(connection).enter(session)
                newest = await SqlCallRows(connection).newest([session_id])
                turns = await SqlTurns(connection).list(session_id)
                await SqlUsageLedger(connection).enter_engines(session, used_by(turns, besides))
                told = news.session_ended(session, newest.get(session_id), turns, at)
                await SqlEvents(connection).add(told)
        return session

    async def overdue(self, now: datetime, limit: int = 100) -> list[Session]:
        query = (
            select(sessions)
            .where(sessions.c.status.in_(before("ended")), sessions.c.deadline_at <= now)
            .order_by(sessions.c.deadline_at)
            .limit(limit)
        )
        async with self._database.glance() as connection:
            return [rows.session(row) for row in (await connection.execute(query)).mappings()]

    async def orphaned(self, deadline: datetime) -> int:
        async with self._database.write() as connection:
            found = await connection.execute(
                update(sessions)
                .where(sessions.c.status.in_(before("ended")), sessions.c.deadline_at.is_(None))
                .values(deadline_at=deadline)
            )
        return found.rowcount

    async def _forward(self, connection: AsyncConnection, session_id: str, status: Status) -> None:
        where = (sessions.c.id == session_id) & sessions.c.status.in_(before(status))
        await connection.execute(update(sessions).where(where).values(status=status))

    async def _set(self, connection: AsyncConnection, session_id: str, **values: Any) -> None:
        where = (sessions.c.id == session_id) & (sessions.c.status != "ended")
        await connection.execute(update(sessions).where(where).values(**values))

    async def _write_forever(self) -> None:
        running = True
        while running:
            batch = [await self._waiting.get()]
            while len(batch) < MAX_BATCH and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            running = None not in batch
            await self._write([entry for entry in batch if entry is not None])

    async def _write(self, batch: list[tuple[Turn, asyncio.Future[None]]]) -> None:
        if not batch:
            return
        try:
            await self._insert([turn for turn, _ in batch])
        except Exception as failure:
            if len(batch) > 1:
                # One turn that cannot be stored must not take its neighbours of other sessions with it.
                for entry in batch:
                    await self._write([entry])
                return
            # What the driver says of it may hold what was said in the turn.
            refused = isinstance(failure, DataError | IntegrityError)
            error = Unstorable(type(failure.orig).__name__) if refused else failure
            with contextlib.suppress(asyncio.InvalidStateError):
                batch[0][1].set_exception(error)
        else:
            self.batches += 1
            self.stored += len(batch)
            for _, durable in batch:
                if not durable.done():
                    durable.set_result(None)

    async def _insert(self, some: list[Turn]) -> None:
        dialect: Any = sqlite if self._database.is_sqlite else postgresql
        statement = dialect.insert(turns).on_conflict_do_nothing(index_elements=[turns.c.id]).returning(turns.c.id)
        async with self._database.write() as connection:
            added = set((await connection.execute(statement, [rows.turn_row(turn) for turn in some])).scalars())
            owners = await connection.execute(
                select(sessions.c.id, sessions.c.organization_id, sessions.c.livemode).where(
                    sessions.c.id.in_({turn.session_id for turn in some})
                )
            )
            of = {row.id: (row.organization_id, row.livemode) for row in owners}
            new = {turn.id: turn for turn in some if turn.id in added}
            told = [news.transcript_segment(turn, *of[turn.session_id]) for turn in new.values()]
            await SqlEvents(connection).add(told)

    async def _found(self, connection: AsyncConnection, session_id: str) -> Any:
        found = await one(connection, sessions, sessions.c.id == session_id)
        assert found is not None
        return found


def _at_least(status: Status) -> ColumnElement[str]:
    return case((sessions.c.status.in_(before(status)), status), else_=sessions.c.status)
