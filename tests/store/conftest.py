from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from tests.databases import migrated_sqlite
from tests.postgres import Postgres

from kallglot.clock import FakeClock
from kallglot.store import SqlJournal, SqlStore


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def database_url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if kind == "sqlite":
        return migrated_sqlite(tmp_path / "test.sqlite3")
    return await request.getfixturevalue("postgres").migrated()


@pytest.fixture
async def empty_database_url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if kind == "sqlite":
        return f"sqlite:///{tmp_path / 'test.sqlite3'}"
    return await request.getfixturevalue("postgres").fresh()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[SqlStore]:
    opened = SqlStore(database_url, Fernet(Fernet.generate_key()))
    await opened.start()
    yield opened
    await opened.close()


@pytest.fixture
async def journal(store: SqlStore) -> AsyncIterator[SqlJournal]:
    opened = SqlJournal(store)
    await opened.start()
    yield opened
    await opened.close()
