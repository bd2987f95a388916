from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.fernet import Fernet
from tests.carriers.fakeline import FakeLine
from tests.databases import migrated_sqlite

from kallglot.accounts.bootstrap import ensure_default_organization
from kallglot.accounts.keys import hash_secret, new_secret
from kallglot.accounts.model import SCOPES, ApiKey, Organization
from kallglot.api.server import ApiServices, create_api
from kallglot.carriers.addresses import Addresses
from kallglot.carriers.exchange import Exchange
from kallglot.carriers.lines import Lines
from kallglot.carriers.simulated import SimulatedCarrier
from kallglot.clock import FakeClock
from kallglot.ids import new_id
from kallglot.recording.recorder import Recorder
from kallglot.recording.shelf import open_shelf
from kallglot.session.switchboard import Limits, Switchboard
from kallglot.session.tokens import StreamTokens
from kallglot.speech.registry import EngineRegistry, build_registry
from kallglot.store import SqlCalls, SqlJournal, SqlRecordingLedger, SqlStore

SCRIPT = {"languages": ["de", "en", "es"], "recognition": {"de": ["Guten Tag"], "en": ["Hello"]}}


class NoStreams:
    def has(self, session_id: str, carrier: str, carrier_call_id: str) -> bool:
        return False

    def hang_up(self, session_id: str, carrier: str, carrier_call_id: str) -> bool:
        return False


@dataclass
class Api:
    """The API with a real store, a scripted registry and a clock that stands still."""

    store: SqlStore
    journal: SqlJournal
    clock: FakeClock
    secret: str
    client: httpx.AsyncClient
    board: Switchboard
    registry: EngineRegistry
    services: ApiServices
    recorder: Recorder
    line: FakeLine
    simulated: SimulatedCarrier
    problems: list[str] = field(default_factory=list)
    busy: list[int] = field(default_factory=list)

    async def call(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, **headers: str
    ) -> httpx.Response:
        sent = {"Authorization": f"Bearer {key or self.secret}"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        return await self.client.request(
            method, path, headers=sent, content=None if body is None else json.dumps(body).encode()
        )

    async def create(self, **fields: Any) -> dict[str, Any]:
        body = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en"} | fields
        response = await self.call("POST", "/v1/sessions", body)
        assert response.status_code == 201, response.text
        return response.json()

    async def recorded(self, *, finished: bool = True, key: str | None = None) -> tuple[str, str]:
        """A session with half a second of a customer's voice, and its recording of what was said."""
        body = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en"}
        made = await self.call("POST", "/v1/sessions", body | {"recording": {"enabled": True}}, key=key)
        session = await self.journal.load(made.json()["id"])
        assert session is not None
        await self.journal.started(session.id, self.clock.now())
        tape = await self.recorder.begin(session, lambda _: None)
        assert tape is not None
        tape.said(session.participants[0], 0.0, b"\x00\x10" * 4000, 8000)
        await tape.close()
        if finished:
            self.clock.advance(0.5)
            await self.board.end(session, "completed")
            await self.recorder.finish_ended()
        found = (await self.call("GET", f"/v1/sessions/{session.id}/recordings", key=key)).json()["data"]
        return session.id, next(one["id"] for one in found if one["channel"] == "mixed")

    async def organization(self) -> Organization:
        async with self.store.read() as unit:
            return (await unit.organizations.list())[0]

    async def tenant(self, *, credits: int = 100, plan: str = "pro", status: str = "active") -> str:
        """Another organisation; its key."""
        made = Organization(new_id("org_"), "Other", status, plan, credits, 0, self.clock.now())  # type: ignore[arg-type]
        async with self.store.write() as unit:
            await unit.organizations.add(made)
        return await self.key(made.id)

    async def key(self, organization_id: str | None = None, **changes: Any) -> str:
        livemode = changes.get("livemode", True)
        secret = new_secret(livemode)
        owner = organization_id or (await self.organization()).id
        key = ApiKey(new_id("key_"), owner, "k", livemode, SCOPES, hash_secret(secret), secret[-4:], self.clock.now())
        async with self.store.write() as unit:
            await unit.api_keys.add(replace(key, **changes))
        return secret


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    clock = FakeClock()
    store = SqlStore(migrated_sqlite(tmp_path / "api.sqlite3"), Fernet(Fernet.generate_key()))
    await store.start()
    journal = SqlJournal(store)
    await journal.start()
    script = tmp_path / "script.json"
    script.write_text(json.dumps(SCRIPT), encoding="utf-8")
    registry = build_registry(recognition_processes=1, scripted=script, models_dir=None)
    await registry.start()
    secret = await ensure_default_organization(store, bootstrap_key=None, clock=clock)
    assert secret is not None
    folder = tmp_path / "recordings"
    ledger = SqlRecordingLedger(store.database, clock)
    recorder = Recorder(ledger, open_shelf(None, folder / "shelf"), folder, clock, retention_days=30)
    (folder / "tracks").mkdir()
    board = Switchboard(journal, registry, clock, Limits(), recorder=recorder)
    problems: list[str] = []
    busy: list[int] = []
    line = FakeLine()
    calls = SqlCalls(store.database, store.cipher)
    tokens = StreamTokens(b"0" * 32, clock)
    simulated = SimulatedCarrier(board, sleep=lambda _: asyncio.sleep(0.001))
    addresses = Addresses("http://testserver", "ws://testserver")
    exchange = Exchange(calls, board, NoStreams(), Lines(lambda _: line), simulated, tokens, addresses, clock)
    simulated.tells(exchange.told_of)
    board.on_ended = exchange.session_ended
    services = ApiServices(
        store=store,
        sessions=board,
        languages=registry,
        clock=clock,
        tokens=tokens,
        base_url="http://testserver",
        stream_base_url="ws://testserver",
        recordings=recorder,
        exchange=exchange,
        max_body_bytes=65_536,
        readiness=lambda: problems,
        admission=lambda: busy[0] if busy else None,
    )
    transport = httpx.ASGITransport(app=create_api(services), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        yield Api(
            store, journal, clock, secret, client, board, registry, services, recorder, line, simulated, problems, busy
        )
    await simulated.close()
    await board.close()
    await recorder.close()
    await registry.close()
    await journal.close()
    await store.close()
