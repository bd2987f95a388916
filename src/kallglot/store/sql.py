"""The store: transactions, and the repositories that work inside them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from cryptography.fernet import Fernet
from sqlalchemy.ext.asyncio import AsyncConnection

from kallglot.store.accounts import SqlApiKeys, SqlOrganizations
from kallglot.store.analyses import SqlAnalyses
from kallglot.store.audit import SqlAudit
from kallglot.store.calls import SqlCallRows
from kallglot.store.connections import SqlConnections
from kallglot.store.database import Database
from kallglot.store.events import SqlEvents
from kallglot.store.idempotency import SqlIdempotency
from kallglot.store.ledgers import SqlLedgers
from kallglot.store.migrate import upgrade
from kallglot.store.numbers import SqlPhoneNumbers
from kallglot.store.payments import SqlPayments
from kallglot.store.privacy import SqlPrivacy
from kallglot.store.recordings import SqlRecordings
from kallglot.store.sessions import SqlSessions, SqlTurns
from kallglot.store.usage import SqlUsageLedger
from kallglot.store.webhook_log import SqlWebhookLog
from kallglot.store.webhooks import SqlWebhookEndpoints


class SqlUnitOfWork:
    def __init__(self, connection: AsyncConnection, cipher: Fernet) -> None:
        self.organizations = SqlOrganizations(connection)
        self.api_keys = SqlApiKeys(connection)
        self.sessions = SqlSessions(connection)
        self.turns = SqlTurns(connection)
        self.recordings = SqlRecordings(connection)
        self.connections = SqlConnections(connection, cipher)
        self.phone_numbers = SqlPhoneNumbers(connection)
        self.calls = SqlCallRows(connection)
        self.analyses = SqlAnalyses(connection)
        self.audit = SqlAudit(connection)
        self.usage = SqlUsageLedger(connection)
        self.ledgers = SqlLedgers(connection)
        self.payments = SqlPayments(connection)
        self.events = SqlEvents(connection)
        self.webhook_endpoints = SqlWebhookEndpoints(connection, cipher)
        self.webhook_log = SqlWebhookLog(connection)
        self.idempotency = SqlIdempotency(connection, cipher)
        self.privacy = SqlPrivacy(connection, cipher)


class SqlStore:
    """``database`` is a URL as people write them; ``cipher`` encrypts what is secret at rest."""

    def __init__(self, database: str, cipher: Fernet) -> None:
        self.database = Database(database)
        self.cipher = cipher

    async def start(self) -> None:
        await upgrade(self.database)

    async def close(self) -> None:
        await self.database.close()

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[SqlUnitOfWork]:
        async with self.database.read() as connection:
            yield SqlUnitOfWork(connection, self.cipher)

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[SqlUnitOfWork]:
        async with self.database.write() as connection:
            yield SqlUnitOfWork(connection, self.cipher)

    async def ping(self) -> None:
        await self.database.ping()
