"""A statement that was cancelled: its connection closes without a task that somebody would have to wait for."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest
from sqlalchemy import text

from kallglot.store.database import Database


async def working(database: Database, begun: asyncio.Event) -> None:
    async with database.write() as connection:
        begun.set()
        while True:
            await connection.execute(text("SELECT 1"))


@pytest.mark.parametrize("turns", range(12))
async def test_nothing_of_a_cancelled_statement_is_left_behind(empty_database_url: str, turns: int) -> None:
    database = Database(empty_database_url)
    before = asyncio.all_tasks()
    begun = asyncio.Event()
    task = asyncio.create_task(working(database, begun))
    await begun.wait()
    for _ in range(turns):
        await asyncio.sleep(0)
    while not task.done():
        # Who is told to go, and does not go at once, is told again.
        task.cancel()
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    async with database.write() as connection:
        assert (await connection.execute(text("SELECT 2"))).scalar_one() == 2
    await database.close()
    assert asyncio.all_tasks() == before


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_loop_that_ends_with_a_statement_under_way(tmp_path_factory: pytest.TempPathFactory) -> None:
    url = f"sqlite:///{tmp_path_factory.mktemp('ends')}/one.sqlite3"

    async def main() -> None:
        begun = asyncio.Event()

        async def group() -> None:
            # Both are cancelled by the runner, and the group cancels its member once more.
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(working(database, begun))

        database = Database(url)
        left.append(asyncio.create_task(group()))
        await begun.wait()

    left: list[asyncio.Task[None]] = []
    threads = threading.active_count()
    asyncio.run(main())
    gc.collect()
    assert threading.active_count() <= threads + 1
