"""A database that takes what is sent and answers nothing: whoever gives up waiting for it gets away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator

import pytest
from sqlalchemy import text
from tests.postgres import Postgres

from kallglot.store.database import Database

pytestmark = pytest.mark.postgres
Frozen = Callable[[], None]


@pytest.fixture(scope="module")
def postgres() -> Generator[Postgres]:
    server = Postgres()
    yield server
    server.stop()


async def asked(database: Database, freeze: Frozen) -> None:
    """The connection comes out of the pool, and is asked whether it still answers."""
    freeze()
    await database.ping()


async def read(database: Database, freeze: Frozen) -> None:
    async with database.read() as connection:
        await connection.execute(text("SELECT 1"))
        freeze()


async def written(database: Database, freeze: Frozen) -> None:
    async with database.write() as connection:
        await connection.execute(text("SELECT 1"))
        freeze()


async def executed(database: Database, freeze: Frozen) -> None:
    async with database.write() as connection:
        await connection.execute(text("SELECT 1"))
        freeze()
        await connection.execute(text("SELECT 2"))


async def failed(database: Database, freeze: Frozen) -> None:
    async with database.read() as connection:
        await connection.execute(text("SELECT 1"))
        freeze()
        raise ValueError


async def elsewhere(database: Database, freeze: Frozen) -> None:
    """What is waited for when it is given up is not the database."""
    async with database.write() as connection:
        await connection.execute(text("SELECT 1"))
        freeze()
        await asyncio.Event().wait()


@pytest.mark.parametrize("doing", [asked, read, written, executed, failed, elsewhere])
async def test_who_gives_up_gets_away(postgres: Postgres, doing: Callable[[Database, Frozen], Awaitable[None]]) -> None:
    database = Database(await postgres.fresh())
    await database.ping()
    frozen = asyncio.Event()
    freezing = postgres.frozen()

    def freeze() -> None:
        freezing.__enter__()
        frozen.set()

    task = asyncio.ensure_future(doing(database, freeze))
    try:
        await frozen.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not task.done()
        # Once, as a timeout does.
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=10)
        assert done, "it waits for a database that is frozen"
        assert task.cancelled()
    finally:
        freezing.__exit__(None, None, None)
    await database.ping()
    await database.close()
