"""The audit log."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from kallglot.accounts.audit import AuditEntry
from kallglot.accounts.ports import Page
from kallglot.store.paging import page_of
from kallglot.store.tables import audit_log


class SqlAudit:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, entry: AuditEntry) -> None:
        await self._connection.execute(insert(audit_log).values(asdict(entry)))

    async def list(self, organization_id: str, page: Page) -> tuple[list[AuditEntry], bool]:
        query = select(audit_log).where(audit_log.c.organization_id == organization_id)
        found, more = await page_of(self._connection, query, audit_log, page)
        return [AuditEntry(**row) for row in found], more
