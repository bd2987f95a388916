"""Databases that are at the newest version already: migrating a new one takes most of a short test's time."""

from __future__ import annotations

import asyncio
import functools
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from cryptography.fernet import Fernet

from kallglot.store import SqlStore

_NAME: Final = "template.sqlite3"


def migrated_sqlite(path: Path) -> str:
    """The URL of a new database at ``path``."""
    shutil.copy(Path(_template().name) / _NAME, path)
    return f"sqlite:///{path}"


async def migrate(url: str) -> None:
    store = SqlStore(url, Fernet(Fernet.generate_key()))
    await store.start()
    await store.close()


@functools.cache
def _template() -> tempfile.TemporaryDirectory[str]:
    """A folder with a migrated database, there as long as this process."""
    folder = tempfile.TemporaryDirectory(prefix="kallglot-template-")
    # In a thread: whoever asks has a loop that runs.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(migrate(f"sqlite:///{folder.name}/{_NAME}"))).result()
    return folder
