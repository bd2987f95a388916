"""Idempotency keys: a lease while the request runs, its answer afterwards, encrypted as it may hold a stream token."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import astuple
from datetime import datetime, timedelta
from typing import Any, Final

from cryptography.fernet import Fernet
from sqlalchemy import delete, or_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from kallglot.api.ports.idempotency import IdempotencyScope, IdempotentAnswer
from kallglot.store.paging import one
from kallglot.store.tables.idempotency import idempotency

KEPT: Final = timedelta(hours=24)
_SESSION: Final = re.compile(rb"(?<=\")sess_[0-9A-Z]{26}(?=\")")


class SqlIdempotency:
    def __init__(self, connection: AsyncConnection, cipher: Fernet) -> None:
        self._connection = connection
        self._cipher = cipher

    async def claim(
        self, scope: IdempotencyScope, fingerprint: str, owner: str, now: datetime, lease_until: datetime
    ) -> IdempotentAnswer | None:
        table = idempotency
        fresh = {"fingerprint": fingerprint, "owner": owner, "lease_until": lease_until}
        dialect: Any = sqlite if self._connection.dialect.name == "sqlite" else postgresql
        forgotten = {**fresh, "status": None, "body": None, "completed_at": None, "session_id": None}
        claimed = await self._connection.execute(
            dialect.insert(table)
            .values(scope=_name(scope), organization_id=scope.organization_id, **fresh)
            .on_conflict_do_update(
                index_elements=[table.c.scope],
                set_=forgotten,
                where=or_(
                    table.c.completed_at <= now - KEPT,
                    table.c.completed_at.is_(None) & (table.c.lease_until <= now),
                ),
            )
            .returning(table.c.owner)
        )
        if claimed.scalar_one_or_none() == owner:
            return None
        return await self.look(scope)

    async def complete(self, scope: IdempotencyScope, owner: str, status: int, body: bytes, now: datetime) -> bool:
        done = await self._connection.execute(
            update(idempotency)
            .where(idempotency.c.scope == _name(scope), idempotency.c.owner == owner)
            .values(status=status, body=self._cipher.encrypt(body), completed_at=now, session_id=_session_in(body))
        )
        return done.rowcount == 1

    async def release(self, scope: IdempotencyScope, owner: str) -> None:
        where = (
            (idempotency.c.scope == _name(scope))
            & (idempotency.c.owner == owner)
            & idempotency.c.completed_at.is_(None)
        )
        await self._connection.execute(delete(idempotency).where(where))

    async def abandon(self, process: str) -> None:
        running = idempotency.c.owner.startswith(f"{process}/", autoescape=True)
        await self._connection.execute(delete(idempotency).where(running, idempotency.c.completed_at.is_(None)))

    async def look(self, scope: IdempotencyScope) -> IdempotentAnswer | None:
        row = await one(self._connection, idempotency, idempotency.c.scope == _name(scope))
        if row is None:
            return None
        body = None if row["body"] is None else self._cipher.decrypt(row["body"])
        return IdempotentAnswer(row["fingerprint"], row["status"], body)

    async def purge(self, before: datetime) -> int:
        purged = await self._connection.execute(delete(idempotency).where(idempotency.c.completed_at < before))
        return purged.rowcount


async def forget_session(connection: AsyncConnection, cipher: Fernet, session_id: str) -> None:
    """Answers that tell of a session say from now on that it was deleted; their keys stay taken."""
    answer = json.dumps({"id": session_id, "object": "session", "deleted": True}).encode()
    where = (idempotency.c.session_id == session_id) & idempotency.c.completed_at.is_not(None)
    await connection.execute(update(idempotency).where(where).values(body=cipher.encrypt(answer)))


def _session_in(body: bytes) -> str | None:
    """An answer names its session, if it has one, before anything that a customer wrote."""
    found = _SESSION.search(body)
    return None if found is None else found.group().decode()


def _name(scope: IdempotencyScope) -> str:
    return hashlib.sha256(json.dumps(astuple(scope)).encode()).hexdigest()
