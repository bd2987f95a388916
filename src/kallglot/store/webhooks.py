"""Webhook endpoints and what is signed with. Secrets are encrypted on the way in and out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from cryptography.fernet import Fernet
from sqlalchemy import Table, case, func, insert, literal, null, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from kallglot.accounts.ports import Page
from kallglot.store.database import note_deliveries
from kallglot.store.paging import one, page_of
from kallglot.store.stranded import fail_some
from kallglot.store.tables.accounts import organizations
from kallglot.store.tables.base import Moment
from kallglot.store.tables.webhooks import webhook_endpoints
from kallglot.webhooks.model import DisabledReason, Endpoint, Secrets
from kallglot.webhooks.ports import Target
from kallglot.webhooks.schedule import WELL

FIELDS = tuple(Endpoint.__dataclass_fields__)


def endpoint(row: Mapping[Any, Any]) -> Endpoint:
    values = {name: row[name] for name in FIELDS}
    values["events"] = tuple(values["events"])
    return Endpoint(**values)


def endpoint_secrets(row: Mapping[Any, Any], cipher: Fernet) -> Secrets | None:
    """Of a row of the endpoints; None where the organisation's stand for it."""
    return signing(row, lambda token: cipher.decrypt(token).decode(), "")


async def organization_secrets(connection: AsyncConnection, cipher: Fernet, organization_id: str) -> Secrets | None:
    """What is signed with where a session has its own ``webhook_url``; None until the first is needed."""
    row = await one(connection, organizations, organizations.c.id == organization_id)
    return None if row is None else signing(row, lambda token: cipher.decrypt(token).decode(), "webhook_")


class SqlWebhookEndpoints:
    """Endpoints of sessions are added here, and are none of the rest's business."""

    def __init__(self, connection: AsyncConnection, cipher: Fernet) -> None:
        self._connection = connection
        self._cipher = cipher

    async def lock(self, organization_id: str) -> None:
        """SQLite has one writer anyway. The lock lets rows be added that refer to the organisation."""
        query = select(organizations.c.id).where(organizations.c.id == organization_id)
        await self._connection.execute(query.with_for_update(key_share=True))

    async def add(self, endpoint: Endpoint, secret: str | None) -> None:
        values = {name: getattr(endpoint, name) for name in FIELDS}
        values["events"] = list(endpoint.events)
        values["secret"] = None if secret is None else self._cipher.encrypt(secret.encode())
        await self._connection.execute(insert(webhook_endpoints).values(values))

    async def count(self, organization_id: str, livemode: bool) -> int:
        query = select(func.count()).select_from(webhook_endpoints).where(*_shared(organization_id, livemode))
        return int((await self._connection.execute(query)).scalar_one())

    async def get(self, endpoint_id: str, organization_id: str, livemode: bool, *, hold: bool = False) -> Target | None:
        query = select(webhook_endpoints).where(
            webhook_endpoints.c.id == endpoint_id, *_shared(organization_id, livemode)
        )
        if hold:
            query = query.with_for_update(read=True, key_share=True)
        row = (await self._connection.execute(query)).mappings().first()
        return None if row is None else self._target(row)

    async def list(self, organization_id: str, livemode: bool, page: Page) -> tuple[list[Target], bool]:
        query = select(webhook_endpoints).where(*_shared(organization_id, livemode))
        found, more = await page_of(self._connection, query, webhook_endpoints, page)
        return [self._target(row) for row in found], more

    async def change(self, endpoint_id: str, changes: Mapping[str, Any]) -> None:
        values = dict(changes)
        if "events" in values:
            values["events"] = list(values["events"])
        if "url" in values:
            # What is known of the old address says nothing of the new one.
            moved = webhook_endpoints.c.url != values["url"]
            for name, well in asdict(WELL).items():
                kept = webhook_endpoints.c[name]
                values[name] = case((moved, null() if well is None else well), else_=kept)
            note_deliveries(self._connection)
        if values:
            where = webhook_endpoints.c.id == endpoint_id
            await self._connection.execute(update(webhook_endpoints).where(where).values(values))

    async def enable(self, endpoint_id: str) -> bool:
        table = webhook_endpoints
        where = (table.c.id == endpoint_id) & ~table.c.enabled & ~table.c.deleted
        values = {"enabled": True, "disabled_at": None, "disabled_reason": None, **asdict(WELL)}
        done = await self._connection.execute(update(webhook_endpoints).where(where).values(values))
        return done.rowcount == 1

    async def disable(self, endpoint_id: str, reason: DisabledReason, now: datetime) -> bool:
        await self._lock(endpoint_id)
        where = (webhook_endpoints.c.id == endpoint_id) & webhook_endpoints.c.enabled
        values = {"enabled": False, "disabled_at": now, "disabled_reason": reason}
        done = await self._connection.execute(update(webhook_endpoints).where(where).values(values))
        if done.rowcount != 1:
            return False
        await fail_some(self._connection, endpoint_id, now)
        return True

    async def fail_stranded(self, endpoint_id: str, now: datetime) -> int:
        return await fail_some(self._connection, endpoint_id, now)

    async def delete(self, endpoint_id: str) -> None:
        await self._lock(endpoint_id)
        gone = update(webhook_endpoints).where(webhook_endpoints.c.id == endpoint_id)
        await self._connection.execute(gone.values(deleted=True, enabled=False))

    async def rotate(self, endpoint_id: str, secret: str, previous_until: datetime | None) -> None:
        await self._rotate(webhook_endpoints, endpoint_id, "", secret, previous_until)

    async def organization_secrets(self, organization_id: str) -> Secrets | None:
        return await organization_secrets(self._connection, self._cipher, organization_id)

    async def rotate_organization(self, organization_id: str, secret: str, previous_until: datetime | None) -> None:
        await self._rotate(organizations, organization_id, "webhook_", secret, previous_until)

    async def _rotate(self, table: Table, of: str, infix: str, secret: str, previous_until: datetime | None) -> None:
        """In one statement, so that of two at once none is forgotten: the one's secret is the other's previous one."""
        current = table.c[f"{infix}secret"]
        kept = until = None
        if previous_until is not None:
            kept, until = current, case((current.is_not(None), literal(previous_until, Moment)))
        values = {
            f"{infix}secret": self._cipher.encrypt(secret.encode()),
            f"previous_{infix}secret": kept,
            f"previous_{infix}secret_until": until,
        }
        await self._connection.execute(update(table).where(table.c.id == of).values(values))

    async def _lock(self, endpoint_id: str) -> None:
        """Waits for whoever is adding deliveries to it; nobody adds any more. Whoever settles locks deliveries first:
        no delivery may be waited for from here."""
        await self._connection.execute(
            select(webhook_endpoints.c.id).where(webhook_endpoints.c.id == endpoint_id).with_for_update()
        )

    def _target(self, row: Mapping[Any, Any]) -> Target:
        secrets = endpoint_secrets(row, self._cipher)
        if secrets is None:
            raise LookupError(f"{row['id']} has no secret")
        return Target(endpoint(row), secrets)


def _shared(organization_id: str, livemode: bool) -> tuple[Any, ...]:
    table = webhook_endpoints
    return (
        table.c.organization_id == organization_id,
        table.c.livemode.is_(livemode),
        table.c.session_id.is_(None),
        ~table.c.deleted,
    )


def signing(row: Mapping[Any, Any], clear: Callable[[bytes], str], infix: str) -> Secrets | None:
    """``infix`` is empty for an endpoint's own, ``webhook_`` for an organisation's; ``clear`` decrypts."""
    current, previous = row[f"{infix}secret"], row[f"previous_{infix}secret"]
    if current is None:
        return None
    return Secrets(clear(current), None if previous is None else clear(previous), row[f"previous_{infix}secret_until"])
