"""Recordings as they are kept, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.store.test_store import organization, session

from kallglot.accounts.model import Organization
from kallglot.accounts.ports import Page
from kallglot.clock import FakeClock
from kallglot.errors import KallglotError
from kallglot.ids import RECORDING, new_id
from kallglot.recording.model import Recording
from kallglot.session.model import Session, Usage
from kallglot.store import SqlJournal, SqlRecordingLedger, SqlStore

NOW = FakeClock().now()


@pytest.fixture
async def owner(store: SqlStore) -> Organization:
    return await added_owner(store)


async def added_owner(store: SqlStore) -> Organization:
    made = organization()
    async with store.write() as unit:
        await unit.organizations.add(made)
    return made


async def added(store: SqlStore, owner: Organization, **changes: Any) -> Session:
    made = session(owner.id, **changes)
    async with store.write() as unit:
        await unit.sessions.add(made)
    return made


@pytest.fixture
def ledger(store: SqlStore, clock: FakeClock) -> SqlRecordingLedger:
    return SqlRecordingLedger(store.database, clock)


def both(of: Session, **changes: Any) -> list[Recording]:
    made = [
        Recording(new_id(RECORDING), of.id, of.organization_id, of.livemode, channel, "processing", 2, of.created_at)
        for channel in ("mixed", "heard")
    ]
    return [replace(one, **changes) for one in made]


async def ended(journal: SqlJournal, one: Session, at: datetime = NOW) -> None:
    await journal.ended(one.id, at, "completed", Usage(1, 0, 0))


async def listed(store: SqlStore, session_id: str, page: Page = Page()) -> tuple[list[Recording], bool]:  # noqa: B008
    async with store.read() as unit:
        return await unit.recordings.list(session_id, page)


async def test_a_recording_comes_back_as_it_was_kept(
    store: SqlStore, ledger: SqlRecordingLedger, owner: Organization
) -> None:
    one = await added(store, owner)
    mixed, heard = both(one)
    await ledger.begin([mixed, heard])
    assert await ledger.of_session(one.id) == [mixed, heard]
    done = replace(
        mixed,
        status="ready",
        duration_seconds=3599.125,
        size=2**33,
        sample_rate_hz=16000,
        expires_at=NOW + timedelta(days=30),
        stored=True,
    )
    await ledger.update(done)
    assert await ledger.of_session(one.id) == [done, heard]
    async with store.read() as unit:
        assert await unit.recordings.get(mixed.id, owner.id, True) == done


async def test_a_session_that_comes_back_to_life_keeps_its_recordings(
    store: SqlStore, ledger: SqlRecordingLedger, owner: Organization
) -> None:
    one = await added(store, owner)
    first = both(one)
    await ledger.begin(first)
    await asyncio.gather(*(ledger.begin(both(one)) for _ in range(5)))
    assert await ledger.of_session(one.id) == first


async def test_many_that_begin_at_once_begin_once(
    store: SqlStore, ledger: SqlRecordingLedger, owner: Organization
) -> None:
    one = await added(store, owner)
    await asyncio.gather(*(ledger.begin(both(one)) for _ in range(8)))
    assert [recording.channel for recording in await ledger.of_session(one.id)] == ["mixed", "heard"]


async def test_unfinished_are_ended_sessions_with_something_to_be_made(
    store: SqlStore, ledger: SqlRecordingLedger, owner: Organization, journal: SqlJournal
) -> None:
    live, over, half, done, silent = [await added(store, owner) for _ in range(5)]
    for one in (live, over, half, done):
        await ledger.begin(both(one))
    for one in (over, half, done, silent):
        await ended(journal, one)
    await ledger.update(replace((await ledger.of_session(half.id))[0], status="ready", stored=True))
    for recording in await ledger.of_session(done.id):
        await ledger.update(replace(recording, status="failed"))
    found = await ledger.unfinished()
    assert [one.id for one in found] == [over.id, half.id]
    assert found[0].ended_at == NOW
    await ended(journal, live)
    assert [one.id for one in await ledger.unfinished()] == [live.id, over.id, half.id]


async def test_overdue_are_expired_and_deleted_ones_with_files(
    store: SqlStore, ledger: SqlRecordingLedger, owner: Organization
) -> None:
    kept, expired, gone, failed, deleted = [await added(store, owner) for _ in range(5)]
    ready = {"status": "ready", "stored": True}
    for one, changes in (
        (kept, {**ready, "expires_at": NOW + timedelta(seconds=1)}),
        (expired, {**ready, "expires_at": NOW}),
        (gone, {**ready, "expires_at": NOW, "stored": False}),
        (failed, {"status": "failed", "stored": True, "expires_at": NOW - timedelta(days=1)}),
        (deleted, {**ready, "expires_at": NOW + timedelta(days=1), "deleted": True}),
    ):
        await ledger.begin(both(one, **changes)[:1])
    found = await ledger.overdue(NOW)
    assert [one.session_id for one in found] == [expired.id, failed.id, deleted.id]
    assert [one.session_id for one in await ledger.overdue(NOW, limit=2)] == [expired.id, failed.id]
    for one in found:
        await ledger.remove(one.id)
    assert await ledger.overdue(NOW) == []
    assert [one.session_id for one in await ledger.overdue(NOW + timedelta(seconds=1))] == [kept.id]


async def test_stored_are_those_with_files_that_are_not_deleted(
    store: SqlStore, ledger: SqlRecordingLedger, owner: Organization
) -> None:
    one, other = await added(store, owner), await added(store, owner)
    ready, waiting = both(one)
    deleted, expired = both(other, status="ready", stored=True)
    await ledger.begin([replace(ready, status="ready", stored=True), waiting])
    await ledger.begin([replace(deleted, deleted=True), replace(expired, stored=False)])
    asked = [ready.id, waiting.id, deleted.id, expired.id, "rec_none"]
    assert await ledger.stored(asked) == {ready.id}
    assert await ledger.stored([]) == set()


async def test_a_deleted_recording_is_seen_by_nobody_and_removed_twice(
    store: SqlStore, ledger: SqlRecordingLedger, owner: Organization
) -> None:
    one = await added(store, owner)
    mixed, heard = both(one, status="ready", stored=True)
    await ledger.begin([mixed, heard])
    await ledger.update(replace(mixed, deleted=True))
    assert await ledger.of_session(one.id) == [heard]
    assert await listed(store, one.id) == ([heard], False)
    async with store.read() as unit:
        assert await unit.recordings.get(mixed.id, owner.id, True) is None
    await ledger.remove(mixed.id)
    await ledger.remove(mixed.id)
    assert await ledger.overdue(NOW) == []


async def test_a_recording_is_its_owners_alone(
    store: SqlStore, ledger: SqlRecordingLedger, owner: Organization
) -> None:
    other = await added_owner(store)
    one = await added(store, owner)
    trial = await added(store, owner, livemode=False)
    (mixed, _), (tried, _) = both(one), both(trial)
    await ledger.begin([mixed])
    await ledger.begin([tried])
    async with store.read() as unit:
        assert await unit.recordings.get(mixed.id, owner.id, True) == mixed
        assert await unit.recordings.get(mixed.id, other.id, True) is None
        assert await unit.recordings.get(mixed.id, owner.id, False) is None
        assert await unit.recordings.get(tried.id, owner.id, False) == tried
        assert await unit.recordings.get("rec_none", owner.id, True) is None


async def test_paging_runs_from_the_newest_both_ways(
    store: SqlStore, ledger: SqlRecordingLedger, owner: Organization
) -> None:
    one = await added(store, owner)
    mixed, heard = both(one)
    await ledger.begin([mixed, heard])
    assert await listed(store, one.id) == ([heard, mixed], False)
    assert await listed(store, one.id, Page(1)) == ([heard], True)
    assert await listed(store, one.id, Page(1, starting_after=heard.id)) == ([mixed], False)
    assert await listed(store, one.id, Page(5, ending_before=mixed.id)) == ([heard], False)
    with pytest.raises(KallglotError):
        await listed(store, one.id, Page(5, starting_after="rec_none"))
    await ledger.update(replace(heard, deleted=True))
    with pytest.raises(KallglotError):
        await listed(store, one.id, Page(5, starting_after=heard.id))
