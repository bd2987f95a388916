"""Connections to carriers. Their secrets are encrypted on the way in and out."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from cryptography.fernet import Fernet
from sqlalchemy import Select, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from kallglot.accounts.ports import Page
from kallglot.carriers.model import Connection
from kallglot.store.paging import page_of
from kallglot.store.tables.accounts import organizations
from kallglot.store.tables.telephony import connections, phone_numbers


class SqlConnections:
    def __init__(self, connection: AsyncConnection, cipher: Fernet) -> None:
        self._connection = connection
        self._cipher = cipher

    async def lock(self, organization_id: str) -> None:
        """SQLite has one writer anyway. The lock lets rows be added that refer to the organisation."""
        query = select(organizations.c.id).where(organizations.c.id == organization_id)
        await self._connection.execute(query.with_for_update(key_share=True))

    async def add(self, one: Connection) -> None:
        if one.default:
            await self._only_default(one)
        await self._connection.execute(insert(connections).values(self._row(one)))

    async def get(self, connection_id: str, organization_id: str, livemode: bool) -> Connection | None:
        return await self._one(
            select(connections).where(
                connections.c.id == connection_id,
                connections.c.organization_id == organization_id,
                connections.c.livemode.is_(livemode),
            )
        )

    async def by_id(self, connection_id: str) -> Connection | None:
        return await self._one(select(connections).where(connections.c.id == connection_id))

    async def list(self, organization_id: str, livemode: bool, page: Page) -> tuple[list[Connection], bool]:
        query = select(connections).where(
            connections.c.organization_id == organization_id, connections.c.livemode.is_(livemode)
        )
        found, more = await page_of(self._connection, query, connections, page)
        return [self._value(row) for row in found], more

    async def default(self, organization_id: str, livemode: bool, carrier: str | None = None) -> Connection | None:
        query = select(connections).where(
            connections.c.organization_id == organization_id,
            connections.c.livemode.is_(livemode),
            connections.c.is_default.is_(True),
            connections.c.active.is_(True),
        )
        if carrier is not None:
            query = query.where(connections.c.carrier == carrier)
        return await self._one(query.order_by(connections.c.id).limit(1))

    async def has_default(self, organization_id: str, livemode: bool, carrier: str) -> bool:
        query = select(connections.c.id).where(
            connections.c.organization_id == organization_id,
            connections.c.livemode.is_(livemode),
            connections.c.is_default.is_(True),
            connections.c.carrier == carrier,
        )
        return (await self._connection.execute(query)).first() is not None

    async def update(self, one: Connection) -> None:
        if one.default:
            await self._only_default(one)
        await self._connection.execute(update(connections).where(connections.c.id == one.id).values(self._row(one)))

    async def delete(self, connection_id: str) -> bool:
        in_use = select(phone_numbers.c.id).where(
            phone_numbers.c.connection_id == connection_id, phone_numbers.c.active.is_(True)
        )
        if (await self._connection.execute(in_use.limit(1))).first() is not None:
            return False
        await self._connection.execute(delete(connections).where(connections.c.id == connection_id))
        return True

    async def _only_default(self, one: Connection) -> None:
        await self._connection.execute(
            update(connections)
            .where(
                connections.c.organization_id == one.organization_id,
                connections.c.livemode.is_(one.livemode),
                connections.c.carrier == one.carrier,
                connections.c.id != one.id,
            )
            .values(is_default=False)
        )

    async def _one(self, query: Select[Any]) -> Connection | None:
        row = (await self._connection.execute(query)).mappings().first()
        return None if row is None else self._value(dict(row))

    def _value(self, row: dict[str, Any]) -> Connection:
        values = dict(row)
        values["default"] = values.pop("is_default")
        values["secrets"] = json.loads(self._cipher.decrypt(values["secrets"]))
        return Connection(**values)

    def _row(self, one: Connection) -> dict[str, Any]:
        values = asdict(one)
        values["is_default"] = values.pop("default")
        values["secrets"] = self._cipher.encrypt(json.dumps(values["secrets"]).encode())
        return values
