"""Brings a database to the newest version; safe to run twice, and by two processes at once."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from kallglot.store.database import Database

_LOCK: Final = 0x6B616C6C
MIGRATIONS: Final = Path(__file__).parent / "migrations"


def config() -> Config:
    made = Config()
    made.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return made


async def versions(database: Database) -> tuple[str | None, list[str]]:
    """The version that the database has, None where it has none yet, and those that are known, oldest first."""
    async with database.read() as connection:
        current = await connection.run_sync(lambda one: MigrationContext.configure(one).get_current_revision())
    known = [script.revision for script in ScriptDirectory.from_config(config()).walk_revisions()]
    return current, known[::-1]


async def upgrade(database: Database) -> None:
    engine = create_async_engine(database.url)
    try:
        async with engine.connect() as connection:
            if database.is_sqlite:
                # Alembic's own transaction on SQLite is not exclusive; this one keeps a second process out meanwhile.
                await connection.exec_driver_sql("PRAGMA journal_mode=WAL")
                await connection.exec_driver_sql("PRAGMA busy_timeout=60000")
                await connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            await connection.run_sync(_upgrade)
            await connection.commit()
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    chosen = config()
    chosen.attributes["connection"] = connection
    command.upgrade(chosen, "head")
