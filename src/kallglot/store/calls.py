"""Telephone calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Select, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from kallglot.carriers.model import OVER, Call
from kallglot.carriers.ports import Change
from kallglot.outbox import Event
from kallglot.store.events import SqlEvents
from kallglot.store.tables.telephony import calls


class SqlCallRows:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._events = SqlEvents(connection)

    async def add(self, call: Call, events: Sequence[Event] = ()) -> Call:
        dialect: Any = sqlite if self._connection.dialect.name == "sqlite" else postgresql
        added = await self._connection.execute(
            dialect.insert(calls).values(asdict(call)).on_conflict_do_nothing().returning(calls.c.id)
        )
        if added.scalar_one_or_none() is None:
            known = await self.by_id(call.id) or await self.by_carrier_id(call.carrier, call.carrier_call_id or "")
            assert known is not None
            return known
        await self._events.add(events)
        return call

    async def get(self, call_id: str, organization_id: str, livemode: bool) -> Call | None:
        return await self._one(
            select(calls).where(
                calls.c.id == call_id,
                calls.c.organization_id == organization_id,
                calls.c.livemode.is_(livemode),
            )
        )

    async def by_id(self, call_id: str) -> Call | None:
        return await self._one(select(calls).where(calls.c.id == call_id))

    async def by_carrier_id(self, carrier: str, carrier_call_id: str) -> Call | None:
        return await self._one(
            select(calls).where(calls.c.carrier == carrier, calls.c.carrier_call_id == carrier_call_id)
        )

    async def of_session(self, session_id: str) -> list[Call]:
        return await self._all(select(calls).where(calls.c.session_id == session_id))

    async def newest(self, session_ids: Sequence[str]) -> dict[str, Call]:
        """By session."""
        found = await self._all(select(calls).where(calls.c.session_id.in_(session_ids)))
        return {call.session_id: call for call in sorted(found, key=lambda call: call.created_at)}

    async def live(self, session_id: str) -> list[Call]:
        return await self._all(select(calls).where(calls.c.session_id == session_id, calls.c.status.not_in(OVER)))

    async def streamed_to(self, process: str) -> list[Call]:
        return await self._all(
            select(calls).where(
                calls.c.status == "in_progress",
                calls.c.connection_id.is_not(None),
                calls.c.details["process"].as_string() == process,
            )
        )

    async def save(self, call: Call, events: Sequence[Event] = ()) -> None:
        await self._connection.execute(update(calls).where(calls.c.id == call.id).values(asdict(call)))
        await self._events.add(events)

    async def change(self, call_id: str, change: Change) -> Call | None:
        """On SQLite whoever writes holds back all other writers already."""
        call = await self._one(select(calls).where(calls.c.id == call_id).with_for_update())
        changed = None if call is None else change(call)
        if changed is None:
            return call
        await self.save(*changed)
        return changed[0]

    async def _one(self, query: Select[Any]) -> Call | None:
        row = (await self._connection.execute(query)).mappings().first()
        return None if row is None else Call(**row)  # pyright: ignore[reportArgumentType]

    async def _all(self, query: Select[Any]) -> list[Call]:
        found = await self._connection.execute(query.order_by(calls.c.created_at, calls.c.id))
        return [Call(**row) for row in found.mappings()]  # pyright: ignore[reportArgumentType]
