from __future__ import annotations

import logging
import os
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.fernet import Fernet
from moto.server import ThreadedMotoServer
from tests.databases import migrated_sqlite
from tests.store.test_store import organization, session

from kallglot.accounts.ports import Page
from kallglot.clock import FakeClock
from kallglot.recording.model import Recording
from kallglot.recording.recorder import Recorder
from kallglot.recording.shelf import Shelf, open_shelf
from kallglot.session.model import Session, Usage
from kallglot.store import SqlJournal, SqlRecordingLedger, SqlStore

RETENTION_DAYS = 30


def tone(hz: float, seconds: float, rate: int = 8000) -> bytes:
    return np.rint(9000 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype("<i2").tobytes()


@pytest.fixture(scope="module")
def s3_port() -> Iterator[int]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/calls", method="PUT")).close()
    yield port
    server.stop()


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


def s3_url(port: int, bucket: str = "calls", more: str = "") -> str:
    return f"s3://{bucket}/office?endpoint=http://127.0.0.1:{port}&region=us-east-1&allow_http=true{more}"


@dataclass
class Office:
    """A database, a folder, and recorders that come and go over them."""

    store: SqlStore
    journal: SqlJournal
    ledger: SqlRecordingLedger
    folder: Path
    organization_id: str
    clock: FakeClock = field(default_factory=FakeClock)
    recorders: list[Recorder] = field(default_factory=list)

    def recorder(self, shelf: Shelf | None = None, folder: Path | None = None, ledger: Any = None) -> Recorder:
        """As after a start of the process; not running, so that a test does each piece of work when it wants."""
        where = folder or self.folder
        (where / "tracks").mkdir(parents=True, exist_ok=True)
        made = Recorder(ledger or self.ledger, shelf or self.shelf(), where, self.clock, retention_days=RETENTION_DAYS)
        self.recorders.append(made)
        return made

    def shelf(self) -> Shelf:
        return open_shelf(None, self.folder / "shelf")

    async def session(self, **changes: Any) -> Session:
        made = session(
            self.organization_id,
            created_at=self.clock.now(),
            **({"recording": {"enabled": True, "channels": "dual"}} | changes),
        )
        async with self.store.write() as unit:
            await unit.sessions.add(made)
        await self.journal.started(made.id, self.clock.now())
        return replace(made, status="active", started_at=self.clock.now())

    async def taped(
        self, recorder: Recorder, one: Session, *, said: bool = True, heard: bool = True, seconds: float = 1.0
    ) -> None:
        """The customer says 300 Hz and hears 500, the agent says 700 and hears 900."""
        tape = await recorder.begin(one, lambda _: None)
        assert tape is not None
        customer, agent = one.participants
        if said:
            tape.said(customer, 0, tone(300, seconds), 8000)
            tape.said(agent, 0, tone(700, seconds), 8000)
        if heard:
            tape.heard(customer, 0, tone(500, seconds), 8000)
            tape.heard(agent, 0, tone(900, seconds), 8000)
        await tape.close()

    async def ended(self, one: Session, *, after: float = 2.0) -> Session:
        self.clock.advance(after)
        stored = await self.journal.ended(one.id, self.clock.now(), "completed", Usage(after, 0, 0))
        assert stored is not None
        return stored

    async def recorded(self, recorder: Recorder) -> Session:
        one = await self.session()
        await self.taped(recorder, one)
        return await self.ended(one)

    async def of(self, one: Session) -> dict[str, Recording]:
        """Every recording of a session that anybody sees, by channel."""
        async with self.store.read() as unit:
            found, more = await unit.recordings.list(one.id, Page(100))
        assert not more
        by_channel = {recording.channel: recording for recording in found}
        assert len(by_channel) == len(found)
        return dict(by_channel)

    def tracks(self, one: Session) -> Path:
        return self.folder / "tracks" / one.id

    def on_shelf(self) -> list[str]:
        shelf = self.folder / "shelf"
        return sorted(str(path.relative_to(shelf)) for path in shelf.glob("*/*"))

    def pass_days(self, days: float) -> None:
        self.clock.advance(timedelta(days=days).total_seconds())


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    store = SqlStore(migrated_sqlite(tmp_path / "office.sqlite3"), Fernet(Fernet.generate_key()))
    await store.start()
    journal = SqlJournal(store)
    await journal.start()
    owner = organization()
    async with store.write() as unit:
        await unit.organizations.add(owner)
    clock = FakeClock()
    ledger = SqlRecordingLedger(store.database, clock)
    made = Office(store, journal, ledger, tmp_path / "recordings", owner.id, clock=clock)
    yield made
    for recorder in made.recorders:
        await recorder.close()
    await journal.close()
    await store.close()
