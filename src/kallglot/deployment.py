"""What the server and the operator's commands open: the database of a deployment, and its secret."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from kallglot import secrets
from kallglot.accounts.bootstrap import ensure_default_organization
from kallglot.clock import SystemClock
from kallglot.settings import Settings
from kallglot.store import SqlStore


@dataclass(frozen=True, slots=True)
class Deployment:
    """What the server and the operator's commands share: the store, and the secret it encrypts with."""

    settings: Settings
    clock: SystemClock
    master: bytes
    store: SqlStore
    new_secret: str | None
    """The API key that was made on this, the first, start; nowhere else to be had."""


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncGenerator[Deployment]:
    """Migrates the database and makes the default organisation where there is none."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    clock = SystemClock()
    master = secrets.load_master(
        settings.secret_key.get_secret_value() if settings.secret_key else None, settings.data_dir
    )
    store = SqlStore(settings.database, secrets.cipher(master))
    await store.start()
    try:
        given = settings.bootstrap_api_key.get_secret_value() if settings.bootstrap_api_key else None
        made = await ensure_default_organization(store, bootstrap_key=given, clock=clock)
        yield Deployment(settings, clock, master, store, made)
    finally:
        await store.close()
