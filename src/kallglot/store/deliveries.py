"""Deliveries on their way, and the leases of those who bring them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any, Final

from cryptography.fernet import Fernet
from sqlalchemy import Boolean, bindparam, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from kallglot.outbox import Event
from kallglot.store.database import Database
from kallglot.store.events import SqlEvents
from kallglot.store.stranded import fail_some, remove_some
from kallglot.store.tables.accounts import organizations
from kallglot.store.tables.base import Document, Moment
from kallglot.store.tables.webhooks import events, webhook_deliveries, webhook_endpoints
from kallglot.store.webhooks import endpoint, organization_secrets, signing
from kallglot.webhooks.model import Attempt, Secrets, told_of_disabled
from kallglot.webhooks.ports import Backlog, Candidate, Due, Settled, Target
from kallglot.webhooks.signatures import new_secret

KEPT_ATTEMPTS: Final = 16
_ORGANIZATIONS_SECRETS: Final = ("webhook_secret", "previous_webhook_secret", "previous_webhook_secret_until")
_MOST_KNOWN: Final = 4096

# Endpoints that have anything pending, one index lookup each: one of them may have a hundred thousand.
_WAITING: Final = """
    WITH RECURSIVE waiting(id) AS (
        SELECT (SELECT endpoint_id FROM webhook_deliveries WHERE status = 'pending' ORDER BY endpoint_id LIMIT 1)
        UNION ALL
        SELECT (SELECT endpoint_id FROM webhook_deliveries WHERE status = 'pending' AND endpoint_id > waiting.id
                ORDER BY endpoint_id LIMIT 1)
        FROM waiting WHERE waiting.id IS NOT NULL
    )"""

_CANDIDATES: Final = text(f"""{_WAITING}
    SELECT found.*, row_number() OVER (PARTITION BY organization_id ORDER BY first, id) AS turn FROM (
        SELECT one.id, one.organization_id, one.failures,
               (SELECT next_attempt_at FROM webhook_deliveries WHERE status = 'pending' AND endpoint_id = one.id
                ORDER BY next_attempt_at LIMIT 1) AS first
        FROM waiting JOIN webhook_endpoints AS one ON one.id = waiting.id
        WHERE one.enabled AND (one.failures > 0) = :ill
          AND (one.resting_until IS NULL OR one.resting_until <= :now)
          AND (one.lease_until IS NULL OR one.lease_until <= :now OR one.lease_owner = :runner)
          AND EXISTS (SELECT 1 FROM webhook_deliveries WHERE status = 'pending' AND endpoint_id = one.id
                      AND next_attempt_at <= :now)) AS found
    ORDER BY turn, first LIMIT :most""").bindparams(bindparam("now", type_=Moment), bindparam("ill", type_=Boolean))

_STRANDED: Final = text(f"""{_WAITING}
    SELECT one.id FROM waiting JOIN webhook_endpoints AS one ON one.id = waiting.id
    WHERE NOT one.enabled AND NOT one.deleted LIMIT 100""")

_DELETED: Final = text("SELECT id FROM webhook_endpoints WHERE deleted LIMIT 100")


def _due(found: str) -> Any:
    statement = text(f"SELECT one.sequence, one.id, one.endpoint_id, one.event_id, one.attempts, one.log {found}")
    return statement.bindparams(bindparam("now", type_=Moment)).columns(log=Document)


# SQLite would rather sort all that is due than read it in order; the plus keeps it from the index by time.
_DUE_SQLITE: Final = _due("""
    FROM json_each(:ids) AS asked
    CROSS JOIN webhook_endpoints AS receiver ON receiver.id = asked.value AND receiver.enabled
    CROSS JOIN webhook_deliveries AS one ON one.sequence IN (
        SELECT sequence FROM webhook_deliveries
        WHERE status = 'pending' AND endpoint_id = asked.value AND +next_attempt_at <= :now
        ORDER BY sequence LIMIT :most)
    ORDER BY one.sequence""")
# PostgreSQL would look for what such a list holds in the whole table.
_DUE_POSTGRESQL: Final = _due("""
    FROM unnest(CAST(:ids AS varchar[])) AS asked(value)
    JOIN webhook_endpoints AS receiver ON receiver.id = asked.value AND receiver.enabled
    CROSS JOIN LATERAL (
        SELECT * FROM webhook_deliveries
        WHERE status = 'pending' AND endpoint_id = asked.value AND next_attempt_at <= :now
        ORDER BY sequence LIMIT :most) AS one
    ORDER BY one.sequence""")

_SETTLE: Final = (
    update(webhook_deliveries)
    .where(
        webhook_deliveries.c.sequence == bindparam("of"),
        webhook_deliveries.c.id == bindparam("named"),
        webhook_deliveries.c.status == "pending",
    )
    .values(
        status=bindparam("status"),
        attempts=bindparam("attempts"),
        next_attempt_at=bindparam("next_attempt_at"),
        completed_at=bindparam("completed_at"),
        log=bindparam("log"),
    )
)


class SqlDeliveries:
    def __init__(self, database: Database, cipher: Fernet) -> None:
        self._database = database
        self._cipher = cipher
        self._known: dict[bytes, str] = {}

    async def candidates(self, runner: str, now: datetime, limit: int) -> list[Candidate]:
        async with self._database.read() as connection:
            # Each kind by itself, so that a thousand that fail hide none that does not.
            found = [
                row
                for ill in (False, True)
                for row in await connection.execute(
                    _CANDIDATES, {"runner": runner, "now": now, "most": limit, "ill": ill}
                )
            ]
        found.sort(key=lambda row: (row.turn, row.first))
        return [Candidate(row.id, row.organization_id, row.failures) for row in found]

    async def lease(self, endpoint_ids: Collection[str], runner: str, now: datetime, until: datetime) -> set[str]:
        if not endpoint_ids:
            return set()
        table = webhook_endpoints
        free = or_(table.c.lease_until.is_(None), table.c.lease_until <= now, table.c.lease_owner == runner)
        # Locked in the order of their ids, as everybody does; what somebody else is changing is left to the next time,
        # but whoever is adding deliveries changes nothing.
        ours = (
            select(table.c.id)
            .where(table.c.id.in_(endpoint_ids), free)
            .order_by(table.c.id)
            .with_for_update(skip_locked=True, key_share=True)
        )
        async with self._database.write() as connection:
            ids = list((await connection.execute(ours)).scalars())
            if ids:
                taken = update(table).where(table.c.id.in_(ids)).values(lease_owner=runner, lease_until=until)
                await connection.execute(taken)
        return set(ids)

    async def release(self, runner: str, endpoint_ids: Collection[str] | None = None) -> None:
        table = webhook_endpoints
        statement = update(table).where(table.c.lease_owner == runner).values(lease_owner=None, lease_until=None)
        if endpoint_ids is not None:
            statement = statement.where(table.c.id.in_(endpoint_ids))
        async with self._database.write() as connection:
            await connection.execute(statement)

    async def targets(self, endpoint_ids: Collection[str]) -> dict[str, Target]:
        if not endpoint_ids:
            return {}
        table, owner = webhook_endpoints, organizations
        query = (
            select(
                table, owner.c.webhook_secret, owner.c.previous_webhook_secret, owner.c.previous_webhook_secret_until
            )
            .join(owner, owner.c.id == table.c.organization_id)
            .where(table.c.id.in_(endpoint_ids), ~table.c.deleted)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        without = {row["organization_id"] for row in rows if row["secret"] is None and row["webhook_secret"] is None}
        if without:
            await self._give_secrets(without)
            async with self._database.read() as connection:
                rows = (await connection.execute(query)).mappings().all()
        return {row["id"]: Target(endpoint(row), self._secrets(row)) for row in rows}

    async def organization_secrets(self, organization_id: str) -> Secrets:
        """Made where there are none yet."""
        while True:
            async with self._database.read() as connection:
                found = await organization_secrets(connection, self._cipher, organization_id)
            if found is not None:
                return found
            await self._give_secrets([organization_id])

    async def due(self, asked: Mapping[str, int], now: datetime) -> dict[str, list[Due]]:
        found: dict[str, list[Due]] = {endpoint_id: [] for endpoint_id in asked}
        of: dict[int, list[str]] = defaultdict(list)
        for endpoint_id, most in asked.items():
            of[most].append(endpoint_id)
        statement = _DUE_SQLITE if self._database.is_sqlite else _DUE_POSTGRESQL
        async with self._database.read() as connection:
            for most, ids in of.items():
                given = json.dumps(ids) if self._database.is_sqlite else ids
                for row in await connection.execute(statement, {"ids": given, "now": now, "most": most}):
                    log = tuple(_attempt(one) for one in row.log)
                    found[row.endpoint_id].append(
                        Due(row.sequence, row.id, row.endpoint_id, row.event_id, row.attempts, log)
                    )
        return found

    async def events(self, ids: Collection[str]) -> list[Event]:
        async with self._database.read() as connection:
            found = await connection.execute(select(events).where(events.c.id.in_(ids)))
            return [Event(**row) for row in found.mappings()]

    async def settle(self, some: Sequence[Settled], runner: str, now: datetime) -> set[str]:
        if not some:
            return set()
        fatal = sorted((one for one in some if one.disable is not None), key=lambda one: one.due.endpoint_id)
        health = {one.due.endpoint_id: (one.health, one.url) for one in some if one.health is not None}
        disabled: set[str] = set()
        table = webhook_endpoints
        async with self._database.write() as connection:
            # In the order in which everybody locks: deliveries by their sequence, then endpoints.
            await connection.execute(_SETTLE, [_result(one) for one in sorted(some, key=lambda one: one.due.sequence)])
            for endpoint_id, (found, url) in sorted(health.items()):
                # What an old address answered says nothing of the new one.
                mine = (table.c.id == endpoint_id) & (table.c.lease_owner == runner) & (table.c.url == url)
                await connection.execute(update(table).where(mine).values(**asdict(found)))
            for one in fatal:
                if await self._disable(connection, one, now):
                    disabled.add(one.due.endpoint_id)
        return disabled

    async def sweep(self, now: datetime) -> int:
        async with self._database.read() as connection:
            stranded = list((await connection.execute(_STRANDED)).scalars())
            deleted = list((await connection.execute(_DELETED)).scalars())
        done = 0
        for endpoint_id in stranded:
            async with self._database.write() as connection:
                done += await fail_some(connection, endpoint_id, now)
        for endpoint_id in deleted:
            async with self._database.write() as connection:
                done += await remove_some(connection, endpoint_id)
        return done

    async def backlog(self, now: datetime) -> Backlog:
        table, ends = webhook_deliveries, webhook_endpoints
        pending = table.c.status == "pending"
        of_enabled = table.c.endpoint_id.in_(select(ends.c.id).where(ends.c.enabled))
        async with self._database.read() as connection:
            count, oldest = (
                await connection.execute(
                    select(func.count(), func.min(table.c.next_attempt_at)).where(pending, of_enabled)
                )
            ).one()
            resting = await connection.execute(
                select(func.count()).where(ends.c.enabled, ends.c.resting_until > now).select_from(ends)
            )
            return Backlog(count, oldest if oldest is not None and oldest <= now else None, resting.scalar_one())

    async def _disable(self, connection: AsyncConnection, one: Settled, now: datetime) -> bool:
        """Not where it has another address meanwhile, or was disabled before."""
        table, endpoint_id = webhook_endpoints, one.due.endpoint_id
        changed = await connection.execute(
            update(table)
            .where(table.c.id == endpoint_id, table.c.enabled, table.c.url == one.url)
            .values(enabled=False, disabled_at=now, disabled_reason=one.disable)
        )
        if not changed.rowcount or one.disable is None:
            return False
        if one.otherwise_at is not None:
            await connection.execute(_SETTLE, [_result(replace(one, otherwise_at=None))])
        row = (await connection.execute(select(table).where(table.c.id == endpoint_id))).mappings().one()
        await fail_some(connection, endpoint_id, now)
        await SqlEvents(connection).add([told_of_disabled(endpoint(row), one.disable, now)])
        return True

    async def _give_secrets(self, organization_ids: Collection[str]) -> None:
        """To organisations that have none: whoever comes first wins."""
        table = organizations
        async with self._database.write() as connection:
            for organization_id in sorted(organization_ids):
                secret = self._cipher.encrypt(new_secret().encode())
                await connection.execute(
                    update(table)
                    .where(table.c.id == organization_id, table.c.webhook_secret.is_(None))
                    .values(webhook_secret=secret)
                )

    def _secrets(self, row: Mapping[Any, Any]) -> Secrets:
        found = signing(row, self._clear, "") or signing(row, self._clear, "webhook_")
        assert found is not None
        return found

    def _clear(self, token: bytes) -> str:
        known = self._known.get(token)
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[token] = self._cipher.decrypt(token).decode()
        return known


def _attempt(document: Mapping[str, Any]) -> Attempt:
    values = dict(document)
    values["at"] = datetime.fromisoformat(values["at"])
    return Attempt(**values)


def _result(one: Settled) -> dict[str, Any]:
    log = [*one.due.log, one.attempt][-KEPT_ATTEMPTS:]
    ended = one.attempt.at + timedelta(milliseconds=one.attempt.duration_ms)
    return {
        "of": one.due.sequence,
        "named": one.due.id,
        "status": one.status if one.otherwise_at is None else "pending",
        "attempts": one.due.attempts + 1,
        "next_attempt_at": one.otherwise_at or one.next_attempt_at,
        "completed_at": None if one.status == "pending" or one.otherwise_at is not None else ended,
        "log": [_written(attempt) for attempt in log],
    }


def _written(one: Attempt) -> dict[str, Any]:
    return {**{name: getattr(one, name) for name in one.__dataclass_fields__}, "at": one.at.isoformat()}
