"""The connection to SQLite or PostgreSQL, by one URL; transactions that behave the same on both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import event, make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import StaticPool

_DELIVERIES: Final = "kallglot deliveries"


def note_deliveries(connection: AsyncConnection) -> None:
    """This transaction leaves something to be delivered."""
    connection.info[_DELIVERIES] = True


class Database:
    """``sqlite:///path`` or ``postgresql://user:password@host/name``.

    SQLite has one writer: writers queue on a lock of ours, in order, so that none ever sees "database is locked" from
    this process; another process's writer is waited for.
    """

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        if self.is_sqlite:
            parsed = parsed.set(drivername="sqlite+aiosqlite")
            if parsed.database and parsed.database != ":memory:":
                Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        elif parsed.get_backend_name() == "postgresql":
            parsed = parsed.set(drivername="postgresql+asyncpg")
        else:
            raise ValueError(f"expected a sqlite:// or postgresql:// database, got {parsed.get_backend_name()}://")
        self.url = parsed
        self.on_deliveries: Callable[[], None] = lambda: None
        """Called after a transaction that left something to be delivered."""
        self._write_lock = asyncio.Lock()
        options: dict[str, Any] = {}
        if self.is_sqlite:
            options = {"connect_args": {"timeout": 30}, "pool_size": 8}
            if parsed.database in (None, "", ":memory:"):
                options = {"poolclass": StaticPool}
        else:
            options = {"pool_size": 10, "max_overflow": 10, "pool_pre_ping": True}
        # What people said is in the parameters; it has no business in a log line about a failed statement.
        self.engine: AsyncEngine = create_async_engine(parsed, hide_parameters=True, **options)
        if self.is_sqlite:
            _prepare_sqlite(self.engine)

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        async with self.engine.connect() as connection:
            if self.is_sqlite:
                await connection.exec_driver_sql("BEGIN")
            yield connection
            await connection.rollback()

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncConnection]:
        async with self._transaction() as connection:
            connection.info.pop(_DELIVERIES, None)
            yield connection
            told = connection.info.pop(_DELIVERIES, False)
        if told:
            self.on_deliveries()

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[AsyncConnection]:
        if not self.is_sqlite:
            async with self.engine.begin() as connection:
                yield connection
            return
        async with self._write_lock, self.engine.connect() as connection:
            await connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                await connection.rollback()
                raise
            await connection.commit()

    async def ping(self) -> None:
        async with self.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        await self.engine.dispose()


def _prepare_sqlite(engine: AsyncEngine) -> None:
    """WAL, so that readers never wait; and no BEGIN by the driver, which would begin by reading and then write."""

    @event.listens_for(engine.sync_engine, "connect")
    def on_connect(connection: Any, _: Any) -> None:  # pyright: ignore[reportUnusedFunction]
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=30000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
