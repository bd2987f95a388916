"""Overwriting what SQLite leaves of deleted rows: pages of its log, and copies that its trees leave behind where rows
were moved, which ``secure_delete`` does not know of. On PostgreSQL its own vacuum does it.

Both need the one writer that a SQLite file has. So a file is rewritten rarely, a large one only while no session waits
for anything, and none at all where the disk could not hold it three times over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from kallglot.store.database import BUSY_MS, Database
from kallglot.store.tables.sessions import sessions

log = logging.getLogger(__name__)

SMALL_BYTES: Final = 32 * 1024 * 1024
LARGE_BYTES: Final = 256 * 1024 * 1024
"""A file up to the first is rewritten while there are sessions, one up to the second while there are none."""
REWRITE_SECONDS: Final = 60.0
AFTER_FAILURE_SECONDS: Final = 3600.0
IMPATIENT_MS: Final = 200
LOOK_SECONDS: Final = 5.0
ROOM: Final = 3
REWRITE: Final = "VACUUM"


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free


class Scrubber:
    """``free`` gives the bytes that a folder's disk has left, ``now`` seconds by a clock that only goes forward."""

    def __init__(
        self, database: Database, *, free: Callable[[Path], int] = _free, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._free = free
        self._now = now
        self._log_holds = database.file is not None
        self._not_before = 0.0
        database.on_purge = self._purged

    async def run(self) -> None:
        while self._database.file is not None:
            try:
                await self.scrub()
            except DBAPIError as error:
                log.warning("what was deleted could not be overwritten: %s", type(error).__name__)
            await asyncio.sleep(LOOK_SECONDS)

    async def scrub(self) -> bool:
        """False where something is left for another time."""
        if self._database.file is None:
            return True
        async with self._database.alone() as connection:
            await connection.exec_driver_sql(f"PRAGMA busy_timeout={IMPATIENT_MS}")
            try:
                holds = await self._rewritten(connection, self._database.file)
                if self._log_holds:
                    busy = (await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")).one()[0]
                    self._log_holds = bool(busy)
            finally:
                # Whoever stops us has stopped the connection, too.
                with contextlib.suppress(Exception):
                    await connection.exec_driver_sql(f"PRAGMA busy_timeout={BUSY_MS}")
        return not (self._log_holds or holds)

    async def _rewritten(self, connection: AsyncConnection, file: Path) -> bool:
        """Whether the file still holds something."""
        if not (await connection.exec_driver_sql("PRAGMA user_version")).scalar_one():
            return False
        if self._now() < self._not_before or not await self._may(connection, file):
            return True
        self._not_before = self._now() + AFTER_FAILURE_SECONDS
        try:
            await connection.exec_driver_sql(REWRITE)
        except DBAPIError as error:
            if "locked" in str(error.orig):
                self._not_before = self._now() + REWRITE_SECONDS
            log.info("what was deleted is overwritten later: %s", error.orig)
            return True
        await connection.exec_driver_sql("PRAGMA user_version = 0")
        self._not_before = self._now() + REWRITE_SECONDS
        self._log_holds = True
        return False

    async def _may(self, connection: AsyncConnection, file: Path) -> bool:
        size = (await asyncio.to_thread(file.stat)).st_size
        if size > SMALL_BYTES:
            waiting = await connection.execute(select(sessions.c.id).where(sessions.c.status != "ended").limit(1))
            if size > LARGE_BYTES or waiting.first() is not None:
                return False
        room = [await asyncio.to_thread(self._free, folder) for folder in (file.parent, Path(tempfile.gettempdir()))]
        return min(room) >= ROOM * size

    def _purged(self) -> None:
        self._log_holds = True
