"""Connections, numbers, calls and events as they are kept, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from alembic import command
from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy import Connection as Sync
from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import create_async_engine
from tests.store.test_store import organization, session

from kallglot.accounts.model import Organization, PhoneNumber
from kallglot.accounts.ports import Page
from kallglot.api.ports.events import EventFilter
from kallglot.carriers.model import Call, Connection
from kallglot.clock import FakeClock
from kallglot.errors import KallglotError
from kallglot.ids import CALL, CONNECTION, EVENT, PHONE_NUMBER, new_id
from kallglot.outbox import Event
from kallglot.session.model import Session
from kallglot.store import SqlCalls, SqlStore
from kallglot.store.database import Database
from kallglot.store.migrate import config
from kallglot.store.tables.sessions import sessions
from kallglot.store.tables.telephony import connections

NOW = FakeClock().now()
NUMBER = "+14155551234"


@pytest.fixture
async def owner(store: SqlStore) -> Organization:
    return await added_owner(store)


@pytest.fixture
async def of(store: SqlStore, owner: Organization) -> Session:
    made = session(owner.id)
    async with store.write() as unit:
        await unit.sessions.add(made)
    return made


@pytest.fixture
def calls(store: SqlStore) -> SqlCalls:
    return SqlCalls(store.database, store.cipher)


async def added_owner(store: SqlStore) -> Organization:
    made = organization()
    async with store.write() as unit:
        await unit.organizations.add(made)
    return made


def connection(owner: Organization, **changes: Any) -> Connection:
    made = Connection(
        new_id(CONNECTION),
        owner.id,
        "twilio",
        "Twilio",
        NOW,
        settings={"account_sid": "AC1", "require_signature": True},
        secrets={"auth_token": "geheimnis", "shared_keys": {"k": "verborgen"}},
    )
    return replace(made, **changes)


async def added(store: SqlStore, owner: Organization, **changes: Any) -> Connection:
    made = connection(owner, **changes)
    async with store.write() as unit:
        await unit.connections.add(made)
    return made


def number(owner: Organization, **changes: Any) -> PhoneNumber:
    return replace(PhoneNumber(new_id(PHONE_NUMBER), owner.id, NUMBER, "twilio", True, NOW), **changes)


def call(one: Session, **changes: Any) -> Call:
    made = Call(new_id(CALL), one.id, one.organization_id, one.livemode, "twilio", "inbound", "queued", NOW)
    return replace(made, **changes)


def event(one: Session, **changes: Any) -> Event:
    body = {"data": {"n": 1}, "session_id": one.id, "provider": {"type": "twilio"}}
    made = Event(
        new_id(EVENT), one.organization_id, one.livemode, one.id, "session.provider.connected", body, one.created_at
    )
    return replace(made, **changes)


async def events(store: SqlStore, one: Session, page: Page = Page(), **where: Any) -> list[str]:  # noqa: B008
    async with store.read() as unit:
        found, _ = await unit.events.list(EventFilter(one.organization_id, one.livemode, **where), page)
    return [event.id for event in found]


async def test_a_connection_comes_back_as_it_was_and_its_secrets_are_kept_encrypted(
    store: SqlStore, owner: Organization, calls: SqlCalls
) -> None:
    made = await added(store, owner)
    async with store.read() as unit:
        assert await unit.connections.get(made.id, owner.id, True) == made
        assert await unit.connections.by_id(made.id) == made
    assert await calls.connection(made.id) == made
    changed = replace(made, secrets={"auth_token": "neues-geheimnis"}, name="Zwei", active=False)
    async with store.write() as unit:
        await unit.connections.update(changed)
    assert await calls.connection(made.id) == changed
    async with store.database.read() as raw:
        row = (await raw.execute(select(connections))).mappings().one()
    kept = bytes(row["secrets"])
    assert b"auth_token" not in kept
    assert b"geheimnis" not in kept + str(dict(row)).encode()
    assert b"neues-geheimnis" in store.cipher.decrypt(kept)
    assert "geheimnis" not in repr(made)


async def test_another_key_reads_no_secret(store: SqlStore, owner: Organization) -> None:
    made = await added(store, owner)
    with pytest.raises(InvalidToken):
        await SqlCalls(store.database, Fernet(Fernet.generate_key())).connection(made.id)


async def test_a_connection_is_its_owners_alone(store: SqlStore, owner: Organization) -> None:
    other = await added_owner(store)
    live, trial = await added(store, owner), await added(store, owner, livemode=False)
    async with store.read() as unit:
        assert await unit.connections.get(live.id, other.id, True) is None
        assert await unit.connections.get(live.id, owner.id, False) is None
        assert await unit.connections.by_id("pcon_none") is None
        assert await unit.connections.list(owner.id, True, Page()) == ([live], False)
        assert await unit.connections.list(owner.id, False, Page()) == ([trial], False)
        assert await unit.connections.list(other.id, True, Page()) == ([], False)
        with pytest.raises(KallglotError):
            await unit.connections.list(owner.id, True, Page(starting_after=trial.id))


async def test_connections_are_paged_newest_first(store: SqlStore, owner: Organization) -> None:
    made = [await added(store, owner, id=f"pcon_{n}") for n in range(3)]
    async with store.read() as unit:
        assert await unit.connections.list(owner.id, True, Page(2)) == ([made[2], made[1]], True)
        after = Page(2, starting_after=made[1].id)
        assert await unit.connections.list(owner.id, True, after) == ([made[0]], False)


async def test_one_default_for_each_mode_and_carrier(store: SqlStore, owner: Organization, calls: SqlCalls) -> None:
    other = await added_owner(store)
    first = await added(store, owner, id="pcon_1", default=True)
    second = await added(store, owner, id="pcon_2", default=True)
    telnyx = await added(store, owner, id="pcon_3", default=True, carrier="telnyx")
    trial = await added(store, owner, id="pcon_4", default=True, livemode=False)
    stranger = await added(store, other, id="pcon_0", default=True)
    first = replace(first, default=False)
    assert await calls.connection(first.id) == first
    assert await calls.default_connection(owner.id, True) == second
    assert await calls.default_connection(owner.id, True, "telnyx") == telnyx
    assert await calls.default_connection(owner.id, False) == trial
    async with store.write() as unit:
        await unit.connections.update(replace(first, default=True))
    assert await calls.default_connection(owner.id, True, "twilio") == replace(first, default=True)
    assert await calls.connection(second.id) == replace(second, default=False)
    async with store.write() as unit:
        await unit.connections.update(replace(first, default=True, active=False))
        assert await unit.connections.has_default(owner.id, True, "twilio")
        assert not await unit.connections.has_default(owner.id, False, "telnyx")
    assert await calls.default_connection(owner.id, True) == telnyx
    assert await calls.default_connection(other.id, True) == stranger
    assert await calls.default_connection(owner.id, False, "telnyx") is None


async def test_many_who_want_to_be_the_default_at_once(store: SqlStore, owner: Organization) -> None:
    made = [await added(store, owner) for _ in range(8)]

    async def prefer(one: Connection) -> None:
        async with store.write() as unit:
            await unit.connections.lock(owner.id)
            await unit.connections.update(replace(one, default=True))

    await asyncio.gather(*(prefer(one) for one in made for _ in range(3)))
    async with store.read() as unit:
        found, _ = await unit.connections.list(owner.id, True, Page())
    assert sum(one.default for one in found) == 1


async def test_a_connection_that_active_numbers_use_stays(store: SqlStore, owner: Organization) -> None:
    made = await added(store, owner)
    used = number(owner, connection_id=made.id)
    async with store.write() as unit:
        assert await unit.phone_numbers.add(used)
        assert not await unit.connections.delete(made.id)
        assert await unit.connections.get(made.id, owner.id, True) == made
        await unit.phone_numbers.update(replace(used, active=False))
        assert await unit.connections.delete(made.id)
        assert await unit.connections.get(made.id, owner.id, True) is None
        left = await unit.phone_numbers.get(used.id, owner.id, True)
        await unit.phone_numbers.delete(used.id)
        assert await unit.phone_numbers.get(used.id, owner.id, True) is None
    assert left == replace(used, active=False, connection_id=None)


async def test_no_number_is_given_to_a_connection_that_goes(store: SqlStore, owner: Organization) -> None:
    made = [await added(store, owner) for _ in range(6)]

    async def remove(one: Connection) -> None:
        async with store.write() as unit:
            await unit.connections.lock(owner.id)
            await unit.connections.delete(one.id)

    async def use(one: Connection, n: int) -> None:
        async with store.write() as unit:
            await unit.connections.lock(owner.id)
            if await unit.connections.get(one.id, owner.id, True) is not None:
                await unit.phone_numbers.add(number(owner, number=f"+1415555000{n}", connection_id=one.id))

    await asyncio.gather(*(work for n, one in enumerate(made) for work in (use(one, n), remove(one))))
    async with store.read() as unit:
        numbers, _ = await unit.phone_numbers.list(owner.id, True, Page())
        left, _ = await unit.connections.list(owner.id, True, Page())
    assert {one.connection_id for one in numbers} == {one.id for one in left}


async def test_numbers(store: SqlStore, owner: Organization, calls: SqlCalls) -> None:
    other = await added_owner(store)
    policy = {"mode": "bidirectional_translation", "source_language": "de", "metadata": {"a": "b"}}
    made = number(owner, label="Empfang", policy=policy)
    trial = number(other, livemode=False)
    async with store.write() as unit:
        assert await unit.phone_numbers.add(made)
        assert not await unit.phone_numbers.add(number(other))
        assert not await unit.phone_numbers.add(number(owner))
        assert await unit.phone_numbers.add(trial)
    async with store.read() as unit:
        assert await unit.phone_numbers.get(made.id, owner.id, True) == made
        assert await unit.phone_numbers.get(made.id, other.id, True) is None
        assert await unit.phone_numbers.get(made.id, owner.id, False) is None
        assert await unit.phone_numbers.list(owner.id, True, Page()) == ([made], False)
        assert await unit.phone_numbers.list(owner.id, False, Page()) == ([], False)
        assert await unit.phone_numbers.owned(owner.id, NUMBER) == made
        assert await unit.phone_numbers.owned(owner.id, NUMBER, False) == made
        assert await unit.phone_numbers.owned(other.id, NUMBER) is None
        assert await unit.phone_numbers.owned(other.id, NUMBER, False) == trial
    assert await calls.number(NUMBER) == made
    assert await calls.number(NUMBER, False) == trial
    assert await calls.number("+14155550000") is None
    async with store.write() as unit:
        await unit.phone_numbers.update(replace(made, active=False))
    assert await calls.number(NUMBER) is None


async def test_a_number_is_registered_once_however_many_try(store: SqlStore, owner: Organization) -> None:
    async def add() -> bool:
        async with store.write() as unit:
            return await unit.phone_numbers.add(number(owner))

    assert sum(await asyncio.gather(*(add() for _ in range(10)))) == 1


async def test_a_call_comes_back_as_it_was(store: SqlStore, of: Session, calls: SqlCalls) -> None:
    made = call(
        of,
        direction="outbound",
        status="in_progress",
        connection_id="pcon_gone",
        carrier_call_id="CA1",
        from_=NUMBER,
        to="+14155550000",
        participant_id="part_c",
        answered_at=NOW,
        ended_at=NOW,
        hangup_cause="normal",
        answered_by="human",
        held=True,
        muted=True,
        order=3,
        details={"timeout_seconds": 30},
    )
    assert await calls.add(made, [event(of)]) == made
    assert await calls.get(made.id) == made
    assert await calls.by_carrier_id("twilio", "CA1") == made
    assert await calls.by_carrier_id("telnyx", "CA1") is None
    assert await calls.get("call_none") is None
    async with store.read() as unit:
        assert await unit.calls.get(made.id, of.organization_id, True) == made
        assert await unit.calls.get(made.id, of.organization_id, False) is None
        assert await unit.calls.get(made.id, "org_other", True) is None
    assert len(await events(store, of)) == 1


async def test_calls_of_a_session_and_those_that_are_not_over(store: SqlStore, of: Session, calls: SqlCalls) -> None:
    other = session(of.organization_id)
    async with store.write() as unit:
        await unit.sessions.add(other)
    first = await calls.add(call(of, id="call_1", status="completed"))
    second = await calls.add(call(of, id="call_2", status="ringing"))
    await calls.add(call(other, id="call_3"))
    assert await calls.of_session(of.id) == [first, second]
    assert await calls.live(of.id) == [second]


async def test_a_webhook_that_comes_twice_makes_one_call(store: SqlStore, of: Session, calls: SqlCalls) -> None:
    some = [call(of, carrier_call_id="CA1") for _ in range(10)]
    found = await asyncio.gather(*(calls.add(one, [event(of)]) for one in some))
    assert len({one.id for one in found}) == 1
    assert len(await events(store, of)) == 1
    assert await calls.of_session(of.id) == [found[0]]
    await calls.add(call(of))
    await calls.add(call(of))
    assert len(await calls.of_session(of.id)) == 3


async def test_a_call_is_stored_with_its_events_or_not_at_all(store: SqlStore, of: Session, calls: SqlCalls) -> None:
    made = await calls.add(call(of))
    known = event(of)
    ringing = replace(made, status="ringing")
    await calls.save(ringing, [known])
    assert await calls.get(made.id) == ringing
    with pytest.raises(Exception, match=r"(?i)unique"):
        await calls.save(replace(made, status="completed"), [event(of), known])
    assert await calls.get(made.id) == ringing
    assert await events(store, of) == [known.id]


async def test_fifty_changes_at_once_are_all_kept(store: SqlStore, of: Session, calls: SqlCalls) -> None:
    made = await calls.add(call(of))

    def count(n: int) -> Any:
        def change(current: Call) -> tuple[Call, Sequence[Event]]:
            seen = [*current.details.get("seen", []), n]
            return replace(current, order=current.order + 1, details={"seen": seen}), [event(of)]

        return change

    answers = await asyncio.gather(*(calls.change(made.id, count(n)) for n in range(50)))
    found = await calls.get(made.id)
    assert found is not None
    assert found.order == 50
    assert sorted(found.details["seen"]) == list(range(50))
    assert {answer.order for answer in answers if answer is not None} == set(range(1, 51))
    assert len(await events(store, of, Page(100))) == 50


async def test_a_change_that_is_none_and_one_that_fails(store: SqlStore, of: Session, calls: SqlCalls) -> None:
    made = await calls.add(call(of))
    assert await calls.change(made.id, lambda _: None) == made
    assert await calls.change("call_none", lambda current: (current, [])) is None

    def fail(current: Call) -> tuple[Call, Sequence[Event]]:
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError):
        await calls.change(made.id, fail)
    assert await calls.get(made.id) == made
    assert await events(store, of) == []


async def test_events_by_type_session_and_time(store: SqlStore, of: Session) -> None:
    later = NOW + timedelta(seconds=1)
    made = [
        event(of, id="evt_1"),
        event(of, id="evt_2", type="session.provider.failed", created_at=later),
        event(of, id="evt_3", session_id=None, type="webhook_endpoint.disabled", body={"data": {}}),
        event(of, id="evt_4", livemode=False),
    ]
    async with store.write() as unit:
        await unit.events.add(made)
        await unit.events.add([])
    assert await events(store, of) == ["evt_3", "evt_2", "evt_1"]
    assert await events(store, of, Page(1, starting_after="evt_3")) == ["evt_2"]
    assert await events(store, of, type="session.provider.failed") == ["evt_2"]
    assert await events(store, of, session_id=of.id) == ["evt_2", "evt_1"]
    assert await events(store, of, created_after=NOW) == ["evt_2"]
    assert await events(store, of, created_before=later) == ["evt_3", "evt_1"]
    async with store.read() as unit:
        assert await unit.events.list(EventFilter(of.organization_id, False), Page()) == ([made[3]], False)
        assert await unit.events.list(EventFilter("org_other", True), Page()) == ([], False)
    with pytest.raises(KallglotError):
        await events(store, of, Page(starting_after="evt_4"))


async def test_numbers_and_sessions_of_the_version_before_stay(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    engine = create_async_engine(database.url)

    def to_0002(sync: Sync) -> None:
        chosen = config()
        chosen.attributes["connection"] = sync
        command.upgrade(chosen, "0002")

    owner = organization()
    one = session(owner.id)
    async with engine.begin() as raw:
        await raw.run_sync(to_0002)
    async with engine.begin() as raw:
        values = {name: getattr(owner, name) for name in owner.__dataclass_fields__}
        await raw.execute(
            text(
                "INSERT INTO organizations (id, name, status, plan, credits_remaining, credits_used, created_at) VALUES"
                " (:id, :name, :status, :plan, :credits_remaining, :credits_used, :created_at)"
            ),
            values,
        )
        adding = "INSERT INTO phone_numbers (id, organization_id, number, carrier, active, created_at) VALUES"
        for n, active in ((1, True), (2, False)):
            given = {"id": f"pn_{n}", "owner": owner.id, "number": f"+1415555000{n}", "active": active, "at": NOW}
            await raw.execute(text(f"{adding} (:id, :owner, :number, 'twilio', :active, :at)"), given)
        row = {
            "id": one.id,
            "organization_id": owner.id,
            "livemode": True,
            "status": "created",
            "mode": one.mode,
            "participants": [],
            "created_at": NOW,
            "recording": {},
            "transcription": {},
            "translation": {},
        }
        await raw.execute(insert(sessions).values(row))
    await engine.dispose()
    await database.close()
    store = SqlStore(empty_database_url, Fernet(Fernet.generate_key()))
    await store.start()
    try:
        calls = SqlCalls(store.database, store.cipher)
        kept = PhoneNumber("pn_1", owner.id, "+14155550001", "twilio", True, NOW)
        async with store.write() as unit:
            assert await unit.phone_numbers.owned(owner.id, "+14155550001") == kept
            assert await unit.phone_numbers.get("pn_2", owner.id, True) == replace(
                kept, id="pn_2", number="+14155550002", active=False
            )
            assert not await unit.phone_numbers.add(number(owner, number="+14155550001"))
            assert await unit.phone_numbers.add(number(owner, number="+14155550001", livemode=False))
        made = await calls.add(call(one), [event(one)])
        assert await calls.of_session(one.id) == [made]
    finally:
        await store.close()
