"""A statement that was cancelled: its connection is closed by the time that the database is."""

from __future__ import annotations

import asyncio

from sqlalchemy import text

from kallglot.store.database import Database


async def test_nothing_of_a_cancelled_statement_is_left_behind(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    before = asyncio.all_tasks()
    begun = asyncio.Event()

    async def work() -> None:
        async with database.engine.connect() as connection:
            begun.set()
            while True:
                await connection.execute(text("SELECT 1"))

    task = asyncio.create_task(work())
    await begun.wait()
    for _ in range(3):
        await asyncio.sleep(0)
    while not task.done():
        # Who is told to go, and does not go at once, is told again.
        task.cancel()
        await asyncio.sleep(0)
    await database.close()
    assert asyncio.all_tasks() == before
