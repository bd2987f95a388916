"""The connection to SQLite or PostgreSQL, by one URL; transactions that behave the same on both."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import event, make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import StaticPool
from sqlalchemy.util import await_only

CLOSING_SECONDS: Final = 0.5
_DELIVERIES: Final = "kallglot deliveries"
_PURGES: Final = "kallglot purges"
BUSY_MS: Final = 30_000
PURGED: Final = "PRAGMA user_version = 1"
"""In the file itself: there are deleted rows in it that were not overwritten yet, whoever looks next."""


def note_deliveries(connection: AsyncConnection) -> None:
    """This transaction leaves something to be delivered."""
    connection.info[_DELIVERIES] = True


def note_purge(connection: AsyncConnection) -> None:
    """This transaction deleted what nobody is to read again."""
    connection.info[_PURGES] = True


class ReadOnly(Exception):
    """The database takes nothing."""


@dataclass(slots=True)
class Writes:
    """Transactions that write: how many were begun, how long they waited to begin, and how many wait
    now."""

    begun: int = 0
    waited_s: float = 0.0
    waiting: int = 0

    @contextmanager
    def turn(self) -> Generator[Callable[[], None]]:
        """Whoever waits says when they wait no more."""
        since, over = time.monotonic(), False
        self.waiting += 1

        def begun() -> None:
            nonlocal over
            over = True
            self.waiting -= 1
            self.begun += 1
            self.waited_s += time.monotonic() - since

        try:
            yield begun
        finally:
            if not over:
                self.waiting -= 1


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
        self.writes = Writes()
        self.file = Path(parsed.database) if self.is_sqlite and parsed.database not in (None, "", ":memory:") else None
        self.on_purge: Callable[[], None] = lambda: None
        """Called after a transaction that deleted what nobody is to read again."""
        options: dict[str, Any] = {}
        if self.is_sqlite:
            options = {"connect_args": {"timeout": 30, "factory": _File}, "pool_size": 8}
            if parsed.database in (None, "", ":memory:"):
                options = {"poolclass": StaticPool}
        else:
            options = {"pool_size": 10, "max_overflow": 10, "pool_pre_ping": True}
        # What people said is in the parameters; it has no business in a log line about a failed statement.
        self.engine: AsyncEngine = create_async_engine(parsed, hide_parameters=True, **options)
        self._stopping: set[asyncio.Future[Any]] = set()
        """Connections that are closed once their last statement is through."""
        self.engine.dialect.do_terminate = self._stop
        if self.is_sqlite:
            _prepare_sqlite(self.engine)
            self.engine.dialect.do_rollback = _roll_back
        else:
            self.engine.dialect.do_ping = _ping
            # To take leave means to wait for the other side.
            self.engine.dialect.do_close = self._stop

    @asynccontextmanager
    async def _connected(self) -> AsyncGenerator[AsyncConnection]:
        """A connection with nothing under way when it is let go: to let go of one that has a transaction cannot be
        cancelled, and a database that is frozen would hold whoever tries."""
        async with self.engine.connect() as connection:
            try:
                yield connection
            except asyncio.CancelledError:
                await (connection.rollback() if self.is_sqlite else connection.invalidate())
                raise
            except BaseException:
                await connection.rollback()
                raise

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        async with self._connected() as connection:
            if self.is_sqlite:
                await connection.exec_driver_sql("BEGIN")
            yield connection
            await connection.rollback()

    @asynccontextmanager
    async def glance(self) -> AsyncGenerator[AsyncConnection]:
        """For one statement that reads: it needs no transaction, and is one trip instead of three."""
        async with self._connected() as connection:
            yield connection if self.is_sqlite else await connection.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncConnection]:
        async with self._transaction() as connection:
            connection.info.pop(_DELIVERIES, None)
            connection.info.pop(_PURGES, None)
            yield connection
            told = connection.info.pop(_DELIVERIES, False)
            purged = connection.info.pop(_PURGES, False)
            if purged and self.file is not None:
                await connection.exec_driver_sql(PURGED)
        if purged:
            self.on_purge()
        if told:
            self.on_deliveries()

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[AsyncConnection]:
        alone = self._write_lock if self.is_sqlite else nullcontext()
        with self.writes.turn() as begun:
            async with alone, self._connected() as connection:
                if self.is_sqlite:
                    await connection.exec_driver_sql("BEGIN IMMEDIATE")
                begun()
                yield connection
                await connection.commit()

    @asynccontextmanager
    async def alone(self) -> AsyncGenerator[AsyncConnection]:
        """No transaction, and no other of this process writes meanwhile."""
        async with self._write_lock, self.engine.connect() as connection:
            yield connection

    async def ping(self) -> None:
        """Raises where it does not answer, or cannot be written to."""
        async with self.read() as connection:
            if self.is_sqlite:
                await connection.execute(text("SELECT 1"))
            elif (await connection.exec_driver_sql("SHOW transaction_read_only")).scalar_one() == "on":
                raise ReadOnly("readonly database")

    async def close(self) -> None:
        await self.engine.dispose()
        if self._stopping:
            await asyncio.wait(self._stopping, timeout=CLOSING_SECONDS)

    def _stop(self, dbapi_connection: Any) -> None:
        """What the pool asks for when a statement was cancelled. The dialects close it by a task of its own, which
        nobody waits for who is cancelled twice; neither driver needs one."""
        driver = dbapi_connection.driver_connection
        if not self.is_sqlite:
            driver.terminate()
            return
        stopped: asyncio.Future[Any] | None = driver.stop()
        if stopped is not None:
            self._stopping.add(stopped)
            stopped.add_done_callback(self._stopping.discard)


def _ping(dbapi_connection: Any) -> bool:
    """Whether a connection that comes out of the pool still answers, by one trip. The dialect's own takes three, and
    after one that was cancelled waits for a ROLLBACK: who asks a database that is frozen would never get away."""
    try:
        await_only(dbapi_connection.driver_connection.execute("SELECT 1"))
    except Exception as error:
        dbapi_connection._handle_exception(error)
    return True


def _roll_back(dbapi_connection: Any) -> None:
    """The driver's thread need not be asked where there is nothing to be rolled back."""
    if dbapi_connection.driver_connection.in_transaction:
        dbapi_connection.rollback()


class _File(sqlite3.Connection):
    def close(self) -> None:
        """Of a statement that was cancelled somebody may hold the cursor yet, with which the transaction would live on
        (https://sqlite.org/c3ref/close.html)."""
        if self.in_transaction:
            self.rollback()
        super().close()


def _prepare_sqlite(engine: AsyncEngine) -> None:
    """WAL, so that readers never wait; deleted rows overwritten; and no BEGIN by the driver, which would begin by
    reading and then write."""
    pragmas = (
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
        "secure_delete=ON",
        f"busy_timeout={BUSY_MS}",
    )

    @event.listens_for(engine.sync_engine, "connect")
    def on_connect(connection: Any, _: Any) -> None:  # pyright: ignore[reportUnusedFunction]
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
