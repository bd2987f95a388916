"""Cursor pages: newest first, by id, which sorts by time."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from kallglot.accounts.ports import Page
from kallglot.errors import KallglotError


async def page_of(
    connection: AsyncConnection, query: Select[Any], table: Table, page: Page
) -> tuple[list[dict[str, Any]], bool]:
    """One page of ``query`` and whether there is more in its direction. Raises ``invalid_field_value`` for a cursor
    that is not in the list."""
    backwards = page.ending_before is not None
    for name, cursor in (("starting_after", page.starting_after), ("ending_before", page.ending_before)):
        if cursor is None:
            continue
        known = await connection.execute(query.where(table.c.id == cursor).with_only_columns(table.c.id))
        if known.first() is None:
            raise KallglotError("invalid_field_value", f"{name} names no object of this list: {cursor}.", param=name)
        query = query.where(table.c.id < cursor if name == "starting_after" else table.c.id > cursor)
    order = table.c.id.asc() if backwards else table.c.id.desc()
    found = await connection.execute(query.order_by(order).limit(page.limit + 1))
    rows = [dict(row) for row in found.mappings()]
    more = len(rows) > page.limit
    rows = rows[: page.limit]
    return (rows[::-1] if backwards else rows), more


async def one(connection: AsyncConnection, table: Table, *where: Any) -> dict[str, Any] | None:
    found = (await connection.execute(select(table).where(*where))).mappings().first()
    return None if found is None else dict(found)
