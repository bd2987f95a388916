"""Events are written in the transaction of what they report, once, with a delivery for each who wants them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import delete, select
from tests.store.test_journal import turn
from tests.store.test_store import organization, session

from kallglot.accounts.audit import AuditEntry
from kallglot.accounts.model import Organization
from kallglot.accounts.ports import Page
from kallglot.api import news
from kallglot.api.ports.events import EventFilter
from kallglot.clock import FakeClock
from kallglot.ids import AUDIT, EVENT, RECORDING, WEBHOOK_ENDPOINT, new_id
from kallglot.outbox import Event
from kallglot.recording.model import Recording
from kallglot.session.model import Session, Usage
from kallglot.session.ports import Unstorable
from kallglot.store import SqlJournal, SqlRecordingLedger, SqlStore
from kallglot.store.audit import SqlAudit
from kallglot.store.tables.ledgers import usage_ledger
from kallglot.store.tables.webhooks import webhook_deliveries, webhook_endpoints
from kallglot.webhooks.model import Endpoint, of_session

CLOCK = FakeClock()
USED = Usage(12.5, 3.25, 0.0)


@pytest.fixture
async def owner(store: SqlStore) -> Organization:
    made = organization()
    async with store.write() as unit:
        await unit.organizations.add(made)
    return made


async def keep(store: SqlStore, made: Session) -> Session:
    """As the API does when a session is created."""
    async with store.write() as unit:
        await unit.sessions.add(made)
        own = of_session(made)
        if own is not None:
            await unit.webhook_endpoints.add(own, None)
        await unit.events.add([news.session_created(made)])
    return made


async def endpoint(store: SqlStore, owner: Organization, *events: str, **changes: Any) -> Endpoint:
    made = Endpoint(new_id(WEBHOOK_ENDPOINT), owner.id, True, "https://example.com/hook", events or ("*",), CLOCK.now())
    made = replace(made, **changes)
    async with store.write() as unit:
        await unit.webhook_endpoints.add(made, "whsec_c2VjcmV0")
    return made


async def tell_and_fail(store: SqlStore, made: Session) -> None:
    async with store.write() as unit:
        await unit.events.add([news.session_created(made)])
        raise RuntimeError


async def told(store: SqlStore, of: Session) -> list[Event]:
    """Oldest first."""
    async with store.read() as unit:
        where = EventFilter(of.organization_id, of.livemode, session_id=of.id)
        found, _ = await unit.events.list(where, Page(limit=100))
    return found[::-1]


async def kinds(store: SqlStore, of: Session) -> list[str]:
    return [one.type for one in await told(store, of)]


async def delivered_to(store: SqlStore, to: Endpoint) -> list[str]:
    """The ids of the events on their way to it, in order."""
    query = select(webhook_deliveries.c.event_id).where(webhook_deliveries.c.endpoint_id == to.id)
    async with store.database.read() as connection:
        found = await connection.execute(query.order_by(webhook_deliveries.c.sequence))
        return list(found.scalars())


async def test_a_session_is_told_of_from_beginning_to_end(
    store: SqlStore, journal: SqlJournal, owner: Organization
) -> None:
    made = await keep(store, session(owner.id))
    await journal.started(made.id, CLOCK.now())
    await asyncio.gather(*(journal.add_turn(turn(made.id, number)) for number in (1, 2, 3)))
    await journal.ended(made.id, CLOCK.now(), "completed", USED)
    found = await told(store, made)
    assert [one.type for one in found] == [
        "session.created",
        "session.started",
        *["transcript.segment"] * 3,
        "session.ended",
        "transcript.ready",
    ]
    segments = [one.body["data"] for one in found[2:5]]
    assert [one["sequence"] for one in segments] == [1, 2, 3]
    assert segments[0]["text"] == "Grüße\u2028😀"
    assert segments[0]["translation"] == {"language": "en", "text": "Greetings"}
    ended = found[5].body["data"]
    assert (ended["status"], ended["usage"]["session_seconds"], ended["stream"]) == ("ended", 12.5, None)
    assert ended["duration"] == ended["duration_seconds"]
    assert found[6].body["data"]["metadata"] == {
        "total_turns": 3,
        "duration_seconds": ended["duration"],
        "languages_detected": ["de"],
    }


async def test_what_happens_twice_is_told_once(store: SqlStore, journal: SqlJournal, owner: Organization) -> None:
    made = await keep(store, session(owner.id))
    to = await endpoint(store, owner)
    await asyncio.gather(*(journal.started(made.id, CLOCK.now()) for _ in range(3)))
    await asyncio.gather(*(journal.add_turn(turn(made.id, 1)) for _ in range(3)))
    await journal.add_turn(turn(made.id, 1))
    await asyncio.gather(*(journal.ended(made.id, CLOCK.now(), "completed", USED) for _ in range(3)))
    found = await told(store, made)
    assert [one.type for one in found][1:] == [
        "session.started",
        "transcript.segment",
        "session.ended",
        "transcript.ready",
    ]
    assert await delivered_to(store, to) == [one.id for one in found[1:]]
    async with store.database.read() as connection:
        lines = (await connection.execute(select(usage_ledger))).mappings().all()
    assert [(line["session_id"], line["session_ms"], line["translation_ms"]) for line in lines] == [
        (made.id, 12_500, 3_250)
    ]


async def test_what_is_not_kept_is_not_told(store: SqlStore, journal: SqlJournal, owner: Organization) -> None:
    made = await keep(store, session(owner.id))
    await journal.add_turn(turn(made.id, 1))
    with pytest.raises(Unstorable):
        await journal.add_turn(turn(made.id, 1, "turn_other"))
    with pytest.raises(RuntimeError):
        await tell_and_fail(store, made)
    assert await kinds(store, made) == ["session.created", "transcript.segment"]


async def test_a_session_that_was_never_heard_has_no_transcript_to_be_told_of(
    store: SqlStore, journal: SqlJournal, owner: Organization
) -> None:
    made = await keep(store, session(owner.id))
    await journal.ended(made.id, CLOCK.now(), "timeout", Usage(0, 0, 0))
    assert await kinds(store, made) == ["session.created", "session.ended"]


async def test_each_endpoint_gets_what_it_wants(store: SqlStore, journal: SqlJournal, owner: Organization) -> None:
    everything = await endpoint(store, owner)
    ends = await endpoint(store, owner, "session.ended", "recording.ready")
    off = await endpoint(store, owner, enabled=False)
    testing = await endpoint(store, owner, livemode=False)
    made = await keep(store, session(owner.id))
    await journal.ended(made.id, CLOCK.now(), "timeout", Usage(0, 0, 0))
    created, ended = await told(store, made)
    assert await delivered_to(store, everything) == [created.id, ended.id]
    assert await delivered_to(store, ends) == [ended.id]
    assert await delivered_to(store, off) == await delivered_to(store, testing) == []


async def test_another_organisation_hears_nothing(store: SqlStore, journal: SqlJournal, owner: Organization) -> None:
    stranger = organization()
    async with store.write() as unit:
        await unit.organizations.add(stranger)
    theirs = await endpoint(store, stranger)
    ours = await endpoint(store, owner)
    made = await keep(store, session(owner.id))
    other = await keep(store, session(stranger.id))
    assert await delivered_to(store, theirs) == [one.id for one in await told(store, other)]
    assert await delivered_to(store, ours) == [one.id for one in await told(store, made)]
    both = [
        Event(new_id(EVENT), one.organization_id, True, one.id, "recording.ready", {"data": {}}, CLOCK.now())
        for one in (made, other)
    ]
    async with store.write() as unit:
        await unit.events.add(both)
    assert (await delivered_to(store, ours))[1:] == [both[0].id]
    assert (await delivered_to(store, theirs))[1:] == [both[1].id]


async def test_a_sessions_own_address_gets_its_events_and_nobody_elses(
    store: SqlStore, journal: SqlJournal, owner: Organization
) -> None:
    shared = await endpoint(store, owner)
    asked = session(owner.id, webhook_url="https://example.com/mine")
    async with store.write() as unit:
        await unit.sessions.add(asked)
        own = of_session(asked)
        assert own is not None
        await unit.webhook_endpoints.add(own, None)
        await unit.events.add([news.session_created(asked)])
    other = await keep(store, session(owner.id))
    await journal.ended(asked.id, CLOCK.now(), "timeout", Usage(0, 0, 0))
    assert await delivered_to(store, own) == [one.id for one in await told(store, asked)]
    assert await delivered_to(store, shared) == [one.id for one in await told(store, other)]


async def test_a_recording_is_told_of_when_it_is_done(
    store: SqlStore, journal: SqlJournal, owner: Organization
) -> None:
    made = await keep(store, session(owner.id))
    ledger = SqlRecordingLedger(store.database, CLOCK)
    recording = Recording(new_id(RECORDING), made.id, owner.id, True, "mixed", "processing", 2, CLOCK.now())
    lost = replace(recording, id=new_id(RECORDING), channel="heard")
    await ledger.begin([recording, lost])
    ready = replace(recording, status="ready", duration_seconds=2.0, size=9, stored=True)
    await ledger.update(ready)
    await ledger.update(replace(ready, stored=False))
    await ledger.update(replace(lost, status="failed"))
    await ledger.update(replace(lost, status="failed", deleted=True))
    found = await told(store, made)
    assert [one.type for one in found] == ["session.created", "recording.ready", "recording.failed"]
    assert found[1].body["data"]["id"] == recording.id
    assert found[1].body["data"]["duration"] == 2.0


async def test_whoever_delivers_is_woken_by_what_was_committed_and_by_nothing_else(
    store: SqlStore, owner: Organization
) -> None:
    woken: list[None] = []
    store.database.on_deliveries = lambda: woken.append(None)
    await keep(store, session(owner.id))
    assert not woken
    await endpoint(store, owner)
    made = await keep(store, session(owner.id))
    assert len(woken) == 1
    with pytest.raises(RuntimeError):
        await tell_and_fail(store, made)
    async with store.write() as unit:
        await unit.organizations.rename(owner.id, "Other")
    assert len(woken) == 1


async def test_an_endpoint_that_is_deleted_meanwhile_fails_nothing_else(
    store: SqlStore, journal: SqlJournal, owner: Organization
) -> None:
    made = await keep(store, session(owner.id))
    gone = await endpoint(store, owner)

    async def remove() -> None:
        async with store.database.write() as connection:
            await connection.execute(delete(webhook_endpoints).where(webhook_endpoints.c.id == gone.id))

    await asyncio.gather(*(journal.add_turn(turn(made.id, number)) for number in range(1, 20)), remove())
    assert len(await told(store, made)) == 20
    assert await delivered_to(store, gone) == []


async def test_a_session_and_an_endpoint_that_is_deleted_do_not_wait_for_each_other(
    store: SqlStore, owner: Organization
) -> None:
    """Whoever creates locks the organisation and then looks at endpoints; whoever deletes does it the other way."""
    if store.database.is_sqlite:
        pytest.skip("SQLite has one writer")
    gone = await endpoint(store, owner)
    locked, deleted = asyncio.Event(), asyncio.Event()

    async def create() -> None:
        async with store.write() as unit:
            await unit.sessions.count_live(owner.id, True)
            await unit.organizations.lock(owner.id)
            locked.set()
            await deleted.wait()
            made = session(owner.id)
            await unit.sessions.add(made)
            await unit.events.add([news.session_created(made)])

    async def remove() -> None:
        async with store.database.write() as connection:
            await connection.execute(delete(webhook_endpoints).where(webhook_endpoints.c.id == gone.id))
            deleted.set()
            await locked.wait()
            entry = AuditEntry(new_id(AUDIT), owner.id, "operator", "webhook_endpoint.deleted", CLOCK.now())
            await SqlAudit(connection).add(entry)

    async with asyncio.timeout(30):
        await asyncio.gather(create(), remove())
