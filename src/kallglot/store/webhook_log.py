"""What became of deliveries, for those who look after them; :mod:`kallglot.store.deliveries` is for who brings them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from kallglot.accounts.ports import Page
from kallglot.api.ports.webhooks import Dispatch
from kallglot.outbox import Event
from kallglot.store.database import note_deliveries
from kallglot.store.paging import page_of
from kallglot.store.tables.webhooks import events, webhook_deliveries, webhook_endpoints
from kallglot.store.webhooks import endpoint
from kallglot.webhooks.model import Attempt, Delivery, DeliveryStatus

_FIELDS = tuple(Delivery.__dataclass_fields__)


class SqlWebhookLog:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, delivery: Delivery, sample: Event | None = None) -> None:
        if sample is not None:
            await self._connection.execute(insert(events).values(asdict(sample)))
        values: dict[str, Any] = {name: getattr(delivery, name) for name in _FIELDS}
        values["log"] = []
        await self._connection.execute(insert(webhook_deliveries).values(values))
        note_deliveries(self._connection)

    async def get(
        self, delivery_id: str, organization_id: str, livemode: bool, *, hold: bool = False
    ) -> Dispatch | None:
        table = webhook_endpoints
        query = (
            select(webhook_deliveries)
            .join(table, table.c.id == webhook_deliveries.c.endpoint_id)
            .where(
                webhook_deliveries.c.id == delivery_id,
                table.c.organization_id == organization_id,
                table.c.livemode.is_(livemode),
                ~table.c.deleted,
            )
        )
        if hold:
            query = query.with_for_update(read=True, key_share=True, of=table)
        row = (await self._connection.execute(query)).mappings().first()
        return next(iter(await self._dispatches([dict(row)])), None) if row is not None else None

    async def list(
        self, endpoint_id: str, page: Page, status: DeliveryStatus | None = None, type: str | None = None
    ) -> tuple[list[Dispatch], bool]:
        table = webhook_deliveries
        query = select(table).where(table.c.endpoint_id == endpoint_id)
        if status is not None:
            query = query.where(table.c.status == status)
        if type is not None:
            query = query.where(
                select(events.c.id).where(events.c.id == table.c.event_id, events.c.type == type).exists()
            )
        found, more = await page_of(self._connection, query, table, page)
        return await self._dispatches(found), more

    async def _dispatches(self, found: list[dict[str, Any]]) -> list[Dispatch]:
        """Without those whose event or endpoint was deleted meanwhile."""
        if not found:
            return []
        told = await self._connection.execute(select(events).where(events.c.id.in_({row["event_id"] for row in found})))
        by_id = {row["id"]: Event(**row) for row in told.mappings()}
        table = webhook_endpoints
        ends = select(table).where(table.c.id.in_({row["endpoint_id"] for row in found}), ~table.c.deleted)
        to = {row["id"]: endpoint(row) for row in (await self._connection.execute(ends)).mappings()}
        return [
            Dispatch(_delivery(row), by_id[row["event_id"]], to[row["endpoint_id"]])
            for row in found
            if row["event_id"] in by_id and row["endpoint_id"] in to
        ]


def _delivery(row: Mapping[Any, Any]) -> Delivery:
    values: dict[str, Any] = {name: row[name] for name in _FIELDS}
    values["log"] = tuple(_attempt(one) for one in values["log"])
    return Delivery(**values)


def _attempt(document: Mapping[str, Any]) -> Attempt:
    values: dict[str, Any] = {**document, "at": datetime.fromisoformat(document["at"])}
    return Attempt(**values)
