from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import func, insert, select

from kallglot.accounts.model import Organization
from kallglot.accounts.policy import Retention
from kallglot.clock import FakeClock
from kallglot.ids import ANALYSIS, DELIVERY, ORGANIZATION, RECORDING, SESSION, TURN, new_id
from kallglot.privacy.retention import Keeper
from kallglot.recording.model import Recording
from kallglot.session.model import Participant, Session, Translation, Turn, Usage
from kallglot.session.ports import Unstorable
from kallglot.session.timings import TurnTimes
from kallglot.store import Scrubber, SqlExpiry, SqlJournal, SqlRecordingLedger, SqlStore
from kallglot.store.database import note_purge
from kallglot.store.tables.analyses import analyses
from kallglot.store.tables.base import metadata
from kallglot.store.tables.sessions import turns
from kallglot.store.tables.webhooks import events, webhook_deliveries
from kallglot.webhooks.model import of_session

SAID = "Wiedersehensfreude"


async def organization(store: SqlStore, clock: FakeClock, policy: dict[str, Any] | None = None) -> Organization:
    made = Organization(new_id(ORGANIZATION), "O", "active", "pro", 10, 0, clock.now(), policy=policy)
    async with store.write() as unit:
        await unit.organizations.add(made)
    return made


async def session(
    store: SqlStore, journal: SqlJournal, clock: FakeClock, owner: Organization, *, ended: bool = True, turns: int = 2
) -> Session:
    """With a webhook of its own, that has its events still to come."""
    made = Session(
        new_id(SESSION),
        owner.id,
        True,
        "created",
        "bidirectional_translation",
        (Participant("p", "customer", "de", SAID),),
        clock.now(),
        webhook_url="https://example.com/hook",
        metadata={"word": SAID},
    )
    endpoint = of_session(made)
    assert endpoint is not None
    async with store.write() as unit:
        await unit.sessions.add(made)
        await unit.webhook_endpoints.add(endpoint, None)
    await journal.started(made.id, clock.now())
    for n in range(turns):
        said = Turn(new_id(TURN), made.id, n + 1, "p", "customer", "de", SAID, 0, 1, clock.now())
        await journal.add_turn(replace(said, translations=(Translation("en", SAID),)))
        await journal.add_timings([TurnTimes(said.id, made.id, 0, 1, 1, None, None, 1)])
    async with store.database.write() as connection:
        await connection.execute(
            insert(analyses).values(
                id=new_id(ANALYSIS),
                session_id=made.id,
                organization_id=owner.id,
                livemode=True,
                status="complete",
                profile="p",
                include=["summary"],
                created_at=clock.now(),
                result={"summary": SAID},
                attempts=1,
            )
        )
    if ended:
        await journal.ended(made.id, clock.now(), "completed", Usage(1.0, 1.0, 0.0))
    return made


async def counts(store: SqlStore) -> dict[str, int]:
    async with store.database.read() as connection:
        return {
            name: (await connection.execute(select(func.count()).select_from(table))).scalar_one()
            for name, table in metadata.tables.items()
        }


async def delete(store: SqlStore, session_id: str, now: datetime) -> None:
    async with store.write() as unit:
        await unit.privacy.delete_session(session_id, now)


async def test_a_deleted_session_leaves_ledgers_and_work(
    store: SqlStore, journal: SqlJournal, clock: FakeClock
) -> None:
    owner = await organization(store, clock)
    await session(store, journal, clock, owner)
    before = await counts(store)
    gone = await session(store, journal, clock, owner)
    ledger = SqlRecordingLedger(store.database, clock)
    recording = Recording(new_id(RECORDING), gone.id, owner.id, True, "mixed", "processing", 2, clock.now())
    await ledger.begin([recording])
    async with store.read() as unit:
        assert await unit.privacy.recorded(gone.id)
    await delete(store, gone.id, clock.now())
    after = await counts(store)
    assert after == before | {"removals": 2, "usage_ledger": before["usage_ledger"] + 1}
    assert await ledger.erased(gone.id)
    assert await ledger.removals(clock.now()) == [recording.id]
    # It is rendered at this very moment.
    assert await ledger.update(replace(recording, status="ready", stored=True)) is False
    await ledger.removed(recording.id, clock.now())
    assert await ledger.removals(clock.now()) == []
    clock.advance(6 * 3600)
    assert await ledger.removals(clock.now()) == [recording.id], "one more look, for what was being written"
    await ledger.removed(recording.id, clock.now())
    clock.advance(24 * 3600)
    assert await ledger.removals(clock.now()) == []
    expiry = SqlExpiry(store.database)
    assert await expiry.forget_removals(clock.now() - timedelta(days=60)) == 0
    assert await expiry.forget_removals(clock.now()) == 1
    assert not await ledger.erased(gone.id)


async def test_late_words_of_a_deleted_session_are_refused(
    store: SqlStore, journal: SqlJournal, clock: FakeClock
) -> None:
    owner = await organization(store, clock)
    gone = await session(store, journal, clock, owner)
    await delete(store, gone.id, clock.now())
    with pytest.raises(Unstorable):
        await journal.add_turn(Turn(new_id(TURN), gone.id, 9, "p", "customer", "de", SAID, 0, 1, clock.now()))
    assert (await counts(store))["turns"] == 0


async def test_stored_answers_tell_of_a_deletion_and_of_nothing_else(
    store: SqlStore, journal: SqlJournal, clock: FakeClock
) -> None:
    from kallglot.api.ports.idempotency import IdempotencyScope

    owner = await organization(store, clock)
    gone, other = [await session(store, journal, clock, owner) for _ in range(2)]
    now = clock.now()

    def scope(key: str) -> IdempotencyScope:
        return IdempotencyScope(owner.id, True, "POST", "/v1/sessions", key)

    for key, body in (
        ("a", f'{{"id": "{gone.id}", "name": "{SAID}", "note": "{other.id}"}}'),
        ("b", f'{{"id": "{other.id}", "note": "{gone.id}"}}'),
        ("c", '{"id": "key_1"}'),
    ):
        async with store.write() as unit:
            assert await unit.idempotency.claim(scope(key), "f", "o", now, now + timedelta(minutes=1)) is None
            assert await unit.idempotency.complete(scope(key), "o", 201, body.encode(), now)
    await delete(store, gone.id, now)
    async with store.read() as unit:
        answers = [await unit.idempotency.look(scope(key)) for key in "abc"]
    bodies = [one.body.decode() for one in answers if one is not None and one.body is not None]
    assert bodies[0] == f'{{"id": "{gone.id}", "object": "session", "deleted": true}}'
    assert other.id in bodies[1]
    assert bodies[2] == '{"id": "key_1"}'


async def test_retention_by_organization(store: SqlStore, journal: SqlJournal, clock: FakeClock) -> None:
    short = await organization(store, clock, {"retention": {"transcripts_days": 2, "events_days": 5}})
    long = await organization(store, clock)
    sessions = {owner.id: [await session(store, journal, clock, owner) for _ in range(12)] for owner in (short, long)}
    live = await session(store, journal, clock, short, ended=False)
    keeper = Keeper(SqlExpiry(store.database), Retention(None, 30, 10), clock)
    clock.advance(2 * 86400)
    await keeper.look()
    async with store.read() as unit:
        assert len(await unit.turns.list(sessions[short.id][0].id)) == 2, "not before its time is over"
    clock.advance(60)
    await keeper.look()
    async with store.read() as unit:
        for one in sessions[short.id]:
            found = await unit.sessions.get(one.id, short.id, True)
            assert found is not None
            assert found.transcript_deleted_at == clock.now()
            assert await unit.turns.list(one.id) == []
            assert await unit.turns.timings(one.id) == []
            assert await unit.privacy.analyses(one.id) == []
        for one in (live, *sessions[long.id]):
            assert len(await unit.turns.list(one.id)) == 2
    async with store.database.read() as connection:
        kinds = await connection.execute(
            select(events.c.type, func.count()).where(events.c.organization_id == short.id).group_by(events.c.type)
        )
        told = {row[0]: row[1] for row in kinds}
    assert told["transcript.segment"] == 2, "those of the live session"
    assert told["session.ended"] == 12


async def test_events_that_are_still_to_be_delivered_wait(
    store: SqlStore, journal: SqlJournal, clock: FakeClock
) -> None:
    owner = await organization(store, clock, {"retention": {"events_days": 1}})
    await session(store, journal, clock, owner)
    keeper = Keeper(SqlExpiry(store.database), Retention(None, 30, 30), clock)
    clock.advance(86400 + 1)
    before = await counts(store)
    assert before["webhook_deliveries"] == before["events"] > 0
    await keeper.look()
    assert await counts(store) == before
    table = webhook_deliveries
    async with store.database.write() as connection:
        first = (await connection.execute(select(table.c.id).order_by(table.c.sequence).limit(1))).scalar_one()
        await connection.execute(table.update().where(table.c.id != first).values(status="delivered"))
    await asyncio.gather(keeper.look(), keeper.look())
    after = await counts(store)
    assert (after["events"], after["webhook_deliveries"]) == (1, 1)
    assert after["turns"] == before["turns"]
    assert first.startswith(DELIVERY)


async def test_several_keepers_at_once_and_more_than_a_batch(
    store: SqlStore, journal: SqlJournal, clock: FakeClock
) -> None:
    owner = await organization(store, clock)
    for _ in range(25):
        await session(store, journal, clock, owner, turns=1)
    async with store.database.write() as connection:
        await connection.execute(webhook_deliveries.update().values(status="delivered"))
    clock.advance(3 * 86400)
    keeper = Keeper(SqlExpiry(store.database), Retention(1, 30, 1), clock)
    await asyncio.gather(*(keeper.look() for _ in range(4)))
    await keeper.look()
    after = await counts(store)
    assert (after["turns"], after["turn_timings"], after["analyses"], after["events"]) == (0, 0, 0, 0)
    assert after["sessions"] == after["usage_ledger"] == 25


async def test_an_organizations_days_for_recordings(store: SqlStore, clock: FakeClock) -> None:
    ledger = SqlRecordingLedger(store.database, clock)
    own = await organization(store, clock, {"retention": {"recordings_days": 3.5}})
    assert await ledger.kept_days(own.id) == 3.5
    assert await ledger.kept_days((await organization(store, clock)).id) is None
    assert await ledger.kept_days("org_none") is None


def words_on_disk(folder: Path) -> dict[str, int]:
    return {one.name: one.read_bytes().count(SAID.encode()) for one in folder.iterdir() if one.is_file()}


async def test_nothing_of_deleted_sessions_is_left_in_sqlites_files(tmp_path: Path, clock: FakeClock) -> None:
    store = SqlStore(f"sqlite:///{tmp_path / 'kept.sqlite3'}", Fernet(Fernet.generate_key()))
    await store.start()
    journal = SqlJournal(store)
    await journal.start()
    try:
        at = [0.0]
        scrubber = Scrubber(store.database, now=lambda: at[0])
        assert await scrubber.scrub()
        owner = await organization(store, clock)
        made = [await session(store, journal, clock, owner, turns=30) for _ in range(20)]
        for n, one in enumerate(made):
            if n % 2:
                await delete(store, one.id, clock.now())
            else:
                await SqlExpiry(store.database).expire_transcripts(owner.id, clock.now(), clock.now(), 1)
        for one in made[::2]:
            await delete(store, one.id, clock.now())
        assert sum(words_on_disk(tmp_path).values()) > 0, "the log has it yet"
        async with store.database.engine.connect() as reader:
            await reader.exec_driver_sql("BEGIN")
            await reader.execute(select(func.count()).select_from(turns))
            assert not await scrubber.scrub(), "somebody reads what was"
        at[0] += 60
        assert await Scrubber(store.database, now=lambda: at[0]).scrub(), "the next process does it as well"
        assert sum(words_on_disk(tmp_path).values()) == 0, words_on_disk(tmp_path)
        assert await scrubber.scrub()
    finally:
        await journal.close()
        await store.close()


async def scrubbed(tmp_path: Path) -> SqlStore:
    """With something that was deleted."""
    store = SqlStore(f"sqlite:///{tmp_path / 'kept.sqlite3'}", Fernet(Fernet.generate_key()))
    await store.start()
    async with store.database.write() as connection:
        note_purge(connection)
    return store


async def test_a_disk_without_room_is_not_filled(tmp_path: Path) -> None:
    store = await scrubbed(tmp_path)
    size = (tmp_path / "kept.sqlite3").stat().st_size
    assert not await Scrubber(store.database, free=lambda _: 3 * size - 1).scrub()
    assert await Scrubber(store.database, free=lambda _: 3 * size + 4096 * 64).scrub()
    await store.close()


async def test_what_fails_is_not_tried_again_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, at, asked = await scrubbed(tmp_path), [0.0], [0]

    def free(_: Path) -> int:
        asked[0] += 1
        return 1 << 40

    scrubber = Scrubber(store.database, free=free, now=lambda: at[0])
    with monkeypatch.context() as patched:
        patched.setattr("kallglot.store.scrubbing.REWRITE", "VACUUM INTO '/nowhere/at/all'")
        assert not await scrubber.scrub()
    looked = asked[0]
    assert not await scrubber.scrub()
    at[0] += 3599
    assert not await scrubber.scrub()
    assert asked[0] == looked
    at[0] += 1
    assert await scrubber.scrub()
    await store.close()


async def test_a_large_file_waits_for_the_last_session(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kallglot.store.scrubbing.SMALL_BYTES", 0)
    store = await scrubbed(tmp_path)
    journal = SqlJournal(store)
    owner = await organization(store, clock)
    await journal.start()
    waiting = await session(store, journal, clock, owner, ended=False)
    scrubber = Scrubber(store.database)
    assert not await scrubber.scrub()
    await journal.ended(waiting.id, clock.now(), "timeout", Usage(0, 0, 0))
    assert await scrubber.scrub()
    monkeypatch.setattr("kallglot.store.scrubbing.LARGE_BYTES", 0)
    async with store.database.write() as connection:
        note_purge(connection)
    assert not await Scrubber(store.database).scrub(), "too large for ever"
    await journal.close()
    await store.close()
