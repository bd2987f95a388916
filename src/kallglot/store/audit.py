"""The audit log."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from kallglot.accounts.audit import AuditEntry, AuditFilter
from kallglot.accounts.ports import Page
from kallglot.store.paging import page_of
from kallglot.store.tables.accounts import api_keys, audit_log


class SqlAudit:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, entry: AuditEntry) -> None:
        await self._connection.execute(insert(audit_log).values(asdict(entry)))

    async def list(
        self, organization_id: str, page: Page, where: AuditFilter | None = None
    ) -> tuple[list[AuditEntry], bool]:
        asked = where or AuditFilter()
        table = audit_log
        query = select(table).where(table.c.organization_id == organization_id)
        for name in ("action", "actor", "target"):
            if (value := getattr(asked, name)) is not None:
                query = query.where(table.c[name] == value)
        if asked.created_after is not None:
            query = query.where(table.c.created_at > asked.created_after)
        if asked.created_before is not None:
            query = query.where(table.c.created_at < asked.created_before)
        if asked.by_test_keys:
            test_keys = select(api_keys.c.id).where(
                api_keys.c.organization_id == organization_id, api_keys.c.livemode.is_(False)
            )
            query = query.where(table.c.actor.in_(test_keys))
        found, more = await page_of(self._connection, query, table, page)
        return [AuditEntry(**row) for row in found], more
