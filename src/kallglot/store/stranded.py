"""What waits for endpoints that were disabled, and what is left of deleted ones: taken away a piece at a time, for
SQLite's other writers wait for each."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from kallglot.store.tables.webhooks import webhook_deliveries, webhook_endpoints

AT_ONCE: Final = 2000
"""Deliveries in one transaction."""


async def fail_some(connection: AsyncConnection, endpoint_id: str, now: datetime) -> int:
    """Of what waits for an endpoint, where it is disabled: it may be enabled meanwhile. How many."""
    table = webhook_deliveries
    disabled = select(webhook_endpoints.c.id).where(webhook_endpoints.c.id == endpoint_id, ~webhook_endpoints.c.enabled)
    some = (
        select(table.c.sequence)
        .where(table.c.endpoint_id.in_(disabled), table.c.status == "pending")
        .order_by(table.c.sequence)
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    done = await connection.execute(
        update(table)
        .where(table.c.sequence.in_(some.scalar_subquery()))
        .values(status="failed", completed_at=now, next_attempt_at=None)
    )
    return done.rowcount


async def remove_some(connection: AsyncConnection, endpoint_id: str) -> int:
    """Of the deliveries of an endpoint that was deleted, and itself when there are none left. How many rows."""
    table, ends = webhook_deliveries, webhook_endpoints
    some = (
        select(table.c.sequence)
        .where(table.c.endpoint_id == endpoint_id)
        .order_by(table.c.id)
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    done = await connection.execute(delete(table).where(table.c.sequence.in_(some.scalar_subquery())))
    if done.rowcount:
        return done.rowcount
    left = select(table.c.sequence).where(table.c.endpoint_id == endpoint_id).exists()
    done = await connection.execute(delete(ends).where(ends.c.id == endpoint_id, ends.c.deleted, ~left))
    return done.rowcount
