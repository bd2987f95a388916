"""Calls, connections and numbers as the carriers' side needs them."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.fernet import Fernet

from kallglot.accounts.model import PhoneNumber
from kallglot.carriers.model import Call, Connection
from kallglot.carriers.ports import Change
from kallglot.outbox import Event
from kallglot.store.calls import SqlCallRows
from kallglot.store.connections import SqlConnections
from kallglot.store.database import Database
from kallglot.store.numbers import SqlPhoneNumbers


class SqlCalls:
    """Implements :class:`kallglot.carriers.ports.Calls`; every call is a transaction of its own."""

    def __init__(self, database: Database, cipher: Fernet) -> None:
        self._database = database
        self._cipher = cipher

    async def add(self, call: Call, events: Sequence[Event] = ()) -> Call:
        async with self._database.write() as connection:
            return await SqlCallRows(connection).add(call, events)

    async def get(self, call_id: str) -> Call | None:
        async with self._database.glance() as connection:
            return await SqlCallRows(connection).by_id(call_id)

    async def by_carrier_id(self, carrier: str, carrier_call_id: str) -> Call | None:
        async with self._database.glance() as connection:
            return await SqlCallRows(connection).by_carrier_id(carrier, carrier_call_id)

    async def of_session(self, session_id: str) -> list[Call]:
        async with self._database.glance() as connection:
            return await SqlCallRows(connection).of_session(session_id)

    async def streamed_to(self, process: str) -> list[Call]:
        async with self._database.glance() as connection:
            return await SqlCallRows(connection).streamed_to(process)

    async def live(self, session_id: str) -> list[Call]:
        """Those that are not over, oldest first."""
        async with self._database.glance() as connection:
            return await SqlCallRows(connection).live(session_id)

    async def save(self, call: Call, events: Sequence[Event] = ()) -> None:
        """For whoever is the only one to change the call; else :meth:`change`."""
        async with self._database.write() as connection:
            await SqlCallRows(connection).save(call, events)

    async def change(self, call_id: str, change: Change) -> Call | None:
        async with self._database.write() as connection:
            return await SqlCallRows(connection).change(call_id, change)

    async def connection(self, connection_id: str) -> Connection | None:
        async with self._database.glance() as connection:
            return await SqlConnections(connection, self._cipher).by_id(connection_id)

    async def number(self, number: str, livemode: bool = True) -> PhoneNumber | None:
        async with self._database.glance() as connection:
            return await SqlPhoneNumbers(connection).by_number(number, livemode)

    async def default_connection(
        self, organization_id: str, livemode: bool, carrier: str | None = None
    ) -> Connection | None:
        async with self._database.glance() as connection:
            return await SqlConnections(connection, self._cipher).default(organization_id, livemode, carrier)
