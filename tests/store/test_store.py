"""The same behaviour on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from cryptography.fernet import Fernet

from kallglot.accounts.bootstrap import DEFAULT_CREDITS, ensure_default_organization
from kallglot.accounts.keys import hash_secret, new_secret
from kallglot.accounts.model import SCOPES, ApiKey, Organization, PhoneNumber
from kallglot.accounts.ports import Page
from kallglot.api.ports.idempotency import IdempotencyScope
from kallglot.api.ports.sessions import SessionFilter
from kallglot.clock import FakeClock
from kallglot.errors import KallglotError
from kallglot.ids import new_id
from kallglot.session.model import Participant, Session
from kallglot.store import SqlStore
from kallglot.store.tables.base import metadata

CLOCK = FakeClock()


def organization(credits: int = 10, **changes: object) -> Organization:
    made = Organization(new_id("org_"), "Example", "active", "pro", credits, 0, CLOCK.now())
    return replace(made, **changes)  # type: ignore[arg-type]


def session(organization_id: str, **changes: object) -> Session:
    made = Session(
        id=new_id("sess_"),
        organization_id=organization_id,
        livemode=True,
        status="created",
        mode="bidirectional_translation",
        participants=(Participant("part_c", "customer", "de", "Erika"), Participant("part_a", "agent", None)),
        created_at=CLOCK.now(),
        source_language="de",
        metadata={"ticket": "4711"},
        voice={"de": {"name": "x", "speed": 1.1}},
        routing={"phone_number": "+1"},
    )
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture
async def owner(store: SqlStore) -> Organization:
    made = organization()
    async with store.write() as unit:
        await unit.organizations.add(made)
    return made


async def test_migrations_make_exactly_the_tables_and_run_twice(store: SqlStore) -> None:
    await asyncio.gather(store.start(), store.start())
    async with store.database.engine.connect() as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync, opts={"compare_type": True}), metadata)
        )
    assert differences == []


async def test_a_session_comes_back_as_it_was(store: SqlStore, owner: Organization) -> None:
    made = session(owner.id)
    async with store.write() as unit:
        await unit.sessions.add(made)
    async with store.read() as unit:
        assert await unit.sessions.get(made.id, owner.id, True) == made


async def test_another_organisations_session_does_not_exist(store: SqlStore, owner: Organization) -> None:
    other, made = organization(), session(owner.id)
    async with store.write() as unit:
        await unit.organizations.add(other)
        await unit.sessions.add(made)
    async with store.read() as unit:
        assert await unit.sessions.get(made.id, other.id, True) is None
        assert await unit.sessions.get(made.id, owner.id, False) is None
        assert (await unit.sessions.list(SessionFilter(other.id, True), Page()))[0] == []


async def test_what_fails_is_rolled_back(store: SqlStore, owner: Organization) -> None:
    made = session(owner.id)

    async def fail() -> None:
        async with store.write() as unit:
            await unit.sessions.add(made)
            assert await unit.organizations.take_credit(owner.id, 1, "session", made.id, CLOCK.now())
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError):
        await fail()
    async with store.read() as unit:
        assert await unit.sessions.get(made.id, owner.id, True) is None
        found = await unit.organizations.get(owner.id)
    assert found == owner


async def test_fifty_at_once_take_ten_credits(store: SqlStore, owner: Organization) -> None:
    async def take(n: int) -> bool:
        async with store.write() as unit:
            return await unit.organizations.take_credit(owner.id, 1, "session", f"s{n}", CLOCK.now())

    assert sum(await asyncio.gather(*(take(n) for n in range(50)))) == 10
    async with store.read() as unit:
        found = await unit.organizations.get(owner.id)
    assert found is not None
    assert (found.credits_remaining, found.credits_used) == (0, 10)


async def test_pages_are_newest_first_and_cursors_exclusive(store: SqlStore, owner: Organization) -> None:
    made = [session(owner.id, id=f"sess_{n:02d}") for n in range(5)]
    async with store.write() as unit:
        for one in made:
            await unit.sessions.add(one)

    async def page(**cursor: object) -> tuple[list[str], bool]:
        async with store.read() as unit:
            found, more = await unit.sessions.list(SessionFilter(owner.id, True), Page(**cursor))  # type: ignore[arg-type]
        return [one.id for one in found], more

    assert await page(limit=2) == (["sess_04", "sess_03"], True)
    assert await page(limit=2, starting_after="sess_03") == (["sess_02", "sess_01"], True)
    assert await page(limit=2, starting_after="sess_01") == (["sess_00"], False)
    assert await page(limit=2, ending_before="sess_01") == (["sess_03", "sess_02"], True)
    assert await page(limit=9, ending_before="sess_03") == (["sess_04"], False)
    with pytest.raises(KallglotError) as refused:
        await page(starting_after="sess_99")
    assert (refused.value.code, refused.value.param) == ("invalid_field_value", "starting_after")


async def test_filters(store: SqlStore, owner: Organization) -> None:
    old = session(owner.id, id="sess_1", metadata={"a": "1", "b": "2"}, status="ended")
    new = session(owner.id, id="sess_2", metadata={"a": "1"}, created_at=CLOCK.now() + timedelta(hours=1))
    async with store.write() as unit:
        await unit.sessions.add(old)
        await unit.sessions.add(new)

    async def ids(**where: object) -> list[str]:
        async with store.read() as unit:
            found, _ = await unit.sessions.list(SessionFilter(owner.id, True, **where), Page())  # type: ignore[arg-type]
        return [one.id for one in found]

    assert await ids(metadata={"a": "1"}) == ["sess_2", "sess_1"]
    assert await ids(metadata={"a": "1", "b": "2"}) == ["sess_1"]
    assert await ids(status="ended") == ["sess_1"]
    assert await ids(mode="ai_agent") == []
    assert await ids(created_after=CLOCK.now()) == ["sess_2"]
    assert await ids(created_before=CLOCK.now() + timedelta(hours=1)) == ["sess_1"]
    async with store.write() as unit:
        await unit.sessions.set_metadata("sess_2", {"a": "3"})
        assert await unit.sessions.count_live(owner.id, True) == 1
    assert await ids(metadata={"a": "1"}) == ["sess_1"]


async def test_keys_and_numbers(store: SqlStore, owner: Organization) -> None:
    secret = new_secret(True)
    key = ApiKey("key_1", owner.id, "k", True, SCOPES, hash_secret(secret), secret[-4:], CLOCK.now())
    async with store.write() as unit:
        await unit.api_keys.add(key)
        await unit.phone_numbers.add(PhoneNumber("pn_1", owner.id, "+14155551234", "twilio", True, CLOCK.now()))
    async with store.write() as unit:
        assert await unit.api_keys.by_hash(hash_secret(secret)) == key
        assert await unit.api_keys.by_hash(hash_secret(new_secret(True))) is None
        await unit.api_keys.used("key_1", CLOCK.now())
        await unit.api_keys.revoke("key_1", CLOCK.now())
        await unit.api_keys.revoke("key_1", CLOCK.now() + timedelta(hours=1))
        found = await unit.api_keys.get("key_1")
        assert await unit.phone_numbers.owned(owner.id, "+14155551234")
        assert await unit.phone_numbers.owned("org_other", "+14155551234") is None
        assert await unit.phone_numbers.owned(owner.id, "+14155550000") is None
    assert found is not None
    assert (found.revoked_at, found.last_used_at) == (CLOCK.now(), CLOCK.now())


SCOPE = IdempotencyScope("org_1", True, "POST", "/v1/sessions", "k")


async def claim(store: SqlStore, owner: str, at: float = 0, fingerprint: str = "f") -> object:
    now = CLOCK.now() + timedelta(seconds=at)
    async with store.write() as unit:
        return await unit.idempotency.claim(SCOPE, fingerprint, owner, now, now + timedelta(seconds=60))


async def complete(store: SqlStore, owner: str, at: float = 0) -> bool:
    async with store.write() as unit:
        now = CLOCK.now() + timedelta(seconds=at)
        return await unit.idempotency.complete(SCOPE, owner, 201, b'{"id":1}', now)


async def test_one_of_fifty_gets_the_key(store: SqlStore) -> None:
    found = await asyncio.gather(*(claim(store, f"o{n}") for n in range(50)))
    assert sum(answer is None for answer in found) == 1


async def test_an_answer_is_kept_for_a_day_encrypted(store: SqlStore) -> None:
    assert await claim(store, "one") is None
    running = await claim(store, "two", 1)
    assert (running.fingerprint, running.status, running.body) == ("f", None, None)  # type: ignore[attr-defined]
    assert await complete(store, "one", 2)
    done = await claim(store, "two", 3, "g")
    assert (done.fingerprint, done.status, done.body) == ("f", 201, b'{"id":1}')  # type: ignore[attr-defined]
    async with store.database.read() as connection:
        stored = (await connection.exec_driver_sql("SELECT body FROM idempotency")).scalar_one()
    assert b'"id"' not in bytes(stored)
    assert await claim(store, "two", 24 * 3600 + 3) is None


async def test_a_lease_that_is_over_is_taken_over_and_its_owner_is_told(store: SqlStore) -> None:
    assert await claim(store, "one") is None
    assert await claim(store, "two", 61) is None
    assert not await complete(store, "one", 62)
    assert await complete(store, "two", 62)


async def test_what_ran_in_a_process_that_was_killed_is_free_for_the_next_of_its_name(store: SqlStore) -> None:
    assert await claim(store, "a_%/own_1") is None
    for process, free in (("b", False), ("a_", False), ("axx", False), ("a_%", True)):
        async with store.write() as unit:
            await unit.idempotency.abandon(process)
        async with store.read() as unit:
            assert (await unit.idempotency.look(SCOPE) is None) is free
    assert await claim(store, "a_%/own_2") is None
    assert await complete(store, "a_%/own_2")
    async with store.write() as unit:
        await unit.idempotency.abandon("a_%")
        assert await unit.idempotency.look(SCOPE) is not None


async def test_a_released_key_is_free_and_a_finished_one_cannot_be_released(store: SqlStore) -> None:
    assert await claim(store, "one") is None
    async with store.write() as unit:
        await unit.idempotency.release(SCOPE, "one")
    assert await claim(store, "two") is None
    assert await complete(store, "two")
    async with store.write() as unit:
        await unit.idempotency.release(SCOPE, "two")
        assert await unit.idempotency.look(SCOPE) is not None
        assert await unit.idempotency.purge(CLOCK.now() + timedelta(seconds=1)) == 1


async def test_the_first_start_makes_one_organisation(empty_database_url: str) -> None:
    stores = [SqlStore(empty_database_url, Fernet(Fernet.generate_key())) for _ in range(2)]
    await asyncio.gather(*(one.start() for one in stores))
    try:
        first = [ensure_default_organization(one, bootstrap_key=None, clock=CLOCK) for one in stores]
        (made,) = [secret for secret in await asyncio.gather(*first) if secret is not None]
        assert made.startswith("sk_live_")
        given = new_secret(False)
        assert await ensure_default_organization(stores[0], bootstrap_key=given, clock=CLOCK) is None
        async with stores[0].read() as unit:
            organizations = await unit.organizations.list()
            key = await unit.api_keys.by_hash(hash_secret(given))
        assert [one.credits_remaining for one in organizations] == [DEFAULT_CREDITS]
        assert key is not None
        assert key.livemode is False
    finally:
        for one in stores:
            await one.close()


async def test_a_bootstrap_key_that_is_none_is_refused(store: SqlStore) -> None:
    with pytest.raises(ValueError, match="sk_live_"):
        await ensure_default_organization(store, bootstrap_key="password", clock=CLOCK)
