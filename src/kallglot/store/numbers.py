"""Phone numbers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from kallglot.accounts.model import PhoneNumber
from kallglot.accounts.ports import Page
from kallglot.store.paging import one, page_of
from kallglot.store.tables.telephony import phone_numbers


class SqlPhoneNumbers:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, number: PhoneNumber) -> bool:
        dialect: Any = sqlite if self._connection.dialect.name == "sqlite" else postgresql
        added = await self._connection.execute(
            dialect.insert(phone_numbers)
            .values(asdict(number))
            .on_conflict_do_nothing(index_elements=[phone_numbers.c.number, phone_numbers.c.livemode])
            .returning(phone_numbers.c.id)
        )
        return added.scalar_one_or_none() is not None

    async def get(self, number_id: str, organization_id: str, livemode: bool) -> PhoneNumber | None:
        found = await one(
            self._connection,
            phone_numbers,
            phone_numbers.c.id == number_id,
            phone_numbers.c.organization_id == organization_id,
            phone_numbers.c.livemode.is_(livemode),
        )
        return None if found is None else PhoneNumber(**found)

    async def list(self, organization_id: str, livemode: bool, page: Page) -> tuple[list[PhoneNumber], bool]:
        query = select(phone_numbers).where(
            phone_numbers.c.organization_id == organization_id, phone_numbers.c.livemode.is_(livemode)
        )
        found, more = await page_of(self._connection, query, phone_numbers, page)
        return [PhoneNumber(**row) for row in found], more

    async def update(self, number: PhoneNumber) -> None:
        where = phone_numbers.c.id == number.id
        await self._connection.execute(update(phone_numbers).where(where).values(asdict(number)))

    async def delete(self, number_id: str) -> None:
        await self._connection.execute(delete(phone_numbers).where(phone_numbers.c.id == number_id))

    async def by_number(self, number: str, livemode: bool) -> PhoneNumber | None:
        found = await one(
            self._connection,
            phone_numbers,
            phone_numbers.c.number == number,
            phone_numbers.c.livemode.is_(livemode),
            phone_numbers.c.active.is_(True),
        )
        return None if found is None else PhoneNumber(**found)

    async def owned(self, organization_id: str, number: str, livemode: bool = True) -> PhoneNumber | None:
        for mode in (True,) if livemode else (False, True):
            found = await self.by_number(number, mode)
            if found is not None and found.organization_id == organization_id:
                return found
        return None
