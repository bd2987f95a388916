"""Webhook endpoints, their secrets and the log of deliveries, on both databases, also two at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.event import listens_for
from sqlalchemy.event import remove as remove_listener
from tests.store.test_store import organization, session

from kallglot.accounts.model import Organization
from kallglot.accounts.ports import Page
from kallglot.api import news, samples
from kallglot.clock import FakeClock
from kallglot.ids import DELIVERY, EVENT, WEBHOOK_ENDPOINT, new_id
from kallglot.outbox import Event
from kallglot.store import SqlStore, stranded
from kallglot.store.deliveries import SqlDeliveries
from kallglot.store.tables.accounts import organizations
from kallglot.store.tables.webhooks import webhook_deliveries, webhook_endpoints
from kallglot.store.webhooks import organization_secrets
from kallglot.webhooks.model import Attempt, Delivery, Endpoint, of_session
from kallglot.webhooks.ports import Settled, Target
from kallglot.webhooks.schedule import Health
from kallglot.webhooks.signatures import new_secret

CLOCK = FakeClock()
NOW = CLOCK.now()
LATER = NOW + timedelta(hours=24)


@pytest.fixture
async def owner(store: SqlStore) -> Organization:
    made = organization()
    async with store.write() as unit:
        await unit.organizations.add(made)
    return made


async def kept(store: SqlStore, owner: Organization, **changes: Any) -> tuple[Endpoint, str]:
    """An endpoint and its secret."""
    made = Endpoint(new_id(WEBHOOK_ENDPOINT), owner.id, True, "https://example.com/hook", ("*",), NOW)
    made, secret = replace(made, **changes), new_secret()
    async with store.write() as unit:
        await unit.webhook_endpoints.add(made, secret)
    return made, secret


async def found(store: SqlStore, one: Endpoint) -> Target:
    async with store.read() as unit:
        known = await unit.webhook_endpoints.get(one.id, one.organization_id, one.livemode)
    assert known is not None
    return known


def event(owner: Organization, **changes: Any) -> Event:
    made = Event(new_id(EVENT), owner.id, True, None, "recording.ready", {"data": {"n": 1}}, NOW)
    return replace(made, **changes)


async def tell(store: SqlStore, *some: Event) -> None:
    async with store.write() as unit:
        await unit.events.add(some)


async def statuses(store: SqlStore, one: Endpoint) -> list[str]:
    query = select(webhook_deliveries.c.status).where(webhook_deliveries.c.endpoint_id == one.id)
    async with store.database.read() as connection:
        return list((await connection.execute(query.order_by(webhook_deliveries.c.sequence))).scalars())


async def test_an_endpoint_is_kept_as_it_was_and_its_secret_encrypted(store: SqlStore, owner: Organization) -> None:
    one, secret = await kept(store, owner, events=("session.ended",), description="Büro")
    known = await found(store, one)
    assert known.endpoint == one
    assert known.secrets.valid(NOW) == (secret,)
    async with store.database.read() as connection:
        row = (await connection.execute(select(webhook_endpoints))).mappings().one()
    assert secret.encode() not in row["secret"]
    assert store.cipher.decrypt(row["secret"]).decode() == secret


async def test_those_of_others_and_of_sessions_are_not_found(store: SqlStore, owner: Organization) -> None:
    stranger = organization()
    asked = session(owner.id, webhook_url="https://example.com/own")
    own = of_session(asked)
    assert own is not None
    async with store.write() as unit:
        await unit.organizations.add(stranger)
        await unit.sessions.add(asked)
        await unit.webhook_endpoints.add(own, None)
    one, _ = await kept(store, owner)
    test, _ = await kept(store, owner, livemode=False)
    theirs, _ = await kept(store, stranger)
    async with store.read() as unit:
        ends = unit.webhook_endpoints
        assert await ends.get(own.id, owner.id, True) is None
        assert await ends.get(one.id, stranger.id, True) is None
        assert await ends.get(one.id, owner.id, False) is None
        for who, livemode, expected in ((owner, True, one), (owner, False, test), (stranger, True, theirs)):
            listed, more = await ends.list(who.id, livemode, Page())
            assert ([each.endpoint for each in listed], more) == ([expected], False)
            assert await ends.count(who.id, livemode) == 1


async def test_rotating_twice_at_once_forgets_neither(store: SqlStore, owner: Organization) -> None:
    one, _ = await kept(store, owner)
    made = [new_secret(), new_secret()]

    async def rotate(secret: str) -> None:
        async with store.write() as unit:
            await unit.webhook_endpoints.rotate(one.id, secret, LATER)
            await unit.webhook_endpoints.rotate_organization(owner.id, secret, LATER)

    await asyncio.gather(*(rotate(secret) for secret in made))
    assert set((await found(store, one)).secrets.valid(NOW)) == set(made)
    async with store.database.read() as connection:
        secrets = await organization_secrets(connection, store.cipher, owner.id)
    assert secrets is not None
    assert set(secrets.valid(NOW)) == set(made)
    assert secrets.valid(LATER) == (secrets.current,)


async def test_the_first_secret_of_an_organisation_has_none_before_it(store: SqlStore, owner: Organization) -> None:
    async with store.write() as unit:
        assert await unit.webhook_endpoints.organization_secrets(owner.id) is None
        first, second = new_secret(), new_secret()
        await unit.webhook_endpoints.rotate_organization(owner.id, first, LATER)
        known = await unit.webhook_endpoints.organization_secrets(owner.id)
        assert known is not None
        assert (known.current, known.previous, known.previous_until) == (first, None, None)
        await unit.webhook_endpoints.rotate_organization(owner.id, second, None)
        known = await unit.webhook_endpoints.organization_secrets(owner.id)
        assert known is not None
        assert (known.current, known.previous, known.previous_until) == (second, None, None)
    async with store.database.read() as connection:
        row = (await connection.execute(select(organizations))).mappings().one()
    assert second.encode() not in row["webhook_secret"]


async def test_whoever_delivers_signs_with_what_is_rotated_here(store: SqlStore, owner: Organization) -> None:
    one, secret = await kept(store, owner)
    asked = session(owner.id, webhook_url="https://example.com/own")
    own = of_session(asked)
    assert own is not None
    async with store.write() as unit:
        await unit.sessions.add(asked)
        await unit.webhook_endpoints.add(own, None)
    deliveries = SqlDeliveries(store.database, store.cipher)
    targets = await deliveries.targets([one.id, own.id])
    lazily = targets[own.id].secrets.current
    assert targets[one.id].secrets.valid(NOW) == (secret,)
    new = new_secret()
    async with store.write() as unit:
        assert (await unit.webhook_endpoints.organization_secrets(owner.id)) == targets[own.id].secrets
        await unit.webhook_endpoints.rotate(one.id, new, LATER)
        await unit.webhook_endpoints.rotate_organization(owner.id, new, LATER)
    targets = await deliveries.targets([one.id, own.id])
    assert targets[one.id].secrets.valid(NOW) == (new, secret)
    assert targets[own.id].secrets.valid(NOW) == (new, lazily)


async def test_changes_touch_nothing_else(store: SqlStore, owner: Organization) -> None:
    one, secret = await kept(store, owner, description="d")
    ill = {"failures": 6, "failing_since": NOW, "resting_until": LATER}
    async with store.database.write() as connection:
        await connection.execute(update(webhook_endpoints).values(ill))
    async with store.write() as unit:
        await unit.webhook_endpoints.change(one.id, {})
        await unit.webhook_endpoints.change(one.id, {"description": None, "events": ["session.ended"], "url": one.url})
    known = await found(store, one)
    assert known.endpoint == replace(one, description=None, events=("session.ended",), **ill)
    assert known.secrets.valid(NOW) == (secret,)
    async with store.write() as unit:
        await unit.webhook_endpoints.change(one.id, {"url": "https://example.org/"})
    known = await found(store, one)
    expected = replace(one, description=None, events=("session.ended",), url="https://example.org/")
    assert known.endpoint == expected


async def test_disabling_and_enabling(store: SqlStore, owner: Organization) -> None:
    one, _ = await kept(store, owner)
    other, _ = await kept(store, owner)
    await tell(store, event(owner), event(owner))
    async with store.database.write() as connection:
        first = select(webhook_deliveries.c.sequence).where(webhook_deliveries.c.endpoint_id == one.id).limit(1)
        done = update(webhook_deliveries).where(webhook_deliveries.c.sequence.in_(first)).values(status="delivered")
        await connection.execute(done)
    async with store.write() as unit:
        assert await unit.webhook_endpoints.disable(one.id, "by_request", NOW)
        assert not await unit.webhook_endpoints.disable(one.id, "gone", LATER)
    assert await statuses(store, one) == ["delivered", "failed"]
    assert await statuses(store, other) == ["pending", "pending"]
    known = (await found(store, one)).endpoint
    assert (known.enabled, known.disabled_at, known.disabled_reason) == (False, NOW, "by_request")
    async with store.database.write() as connection:
        ill = {"failures": 6, "failing_since": NOW, "resting_until": LATER}
        await connection.execute(update(webhook_endpoints).values(ill))
    async with store.write() as unit:
        assert await unit.webhook_endpoints.enable(one.id)
        assert not await unit.webhook_endpoints.enable(one.id)
    assert (await found(store, one)).endpoint == one
    assert (await found(store, other)).endpoint.failures == 6


async def test_nothing_is_left_waiting_at_an_endpoint_that_is_disabled_while_events_come(
    store: SqlStore, owner: Organization
) -> None:
    one, _ = await kept(store, owner)

    async def disable() -> None:
        async with store.write() as unit:
            assert await unit.webhook_endpoints.disable(one.id, "by_request", NOW)

    # Some come before, some after; PostgreSQL runs them side by side.
    await asyncio.gather(
        *(tell(store, event(owner)) for _ in range(12)), disable(), *(tell(store, event(owner)) for _ in range(12))
    )
    assert set(await statuses(store, one)) <= {"failed"}


async def test_deleting_while_events_and_tests_come_fails_none_of_them(store: SqlStore, owner: Organization) -> None:
    one, _ = await kept(store, owner)
    other, _ = await kept(store, owner)

    async def remove() -> None:
        async with store.write() as unit:
            await unit.webhook_endpoints.delete(one.id)

    async def test() -> None:
        async with store.write() as unit:
            if await unit.webhook_endpoints.get(one.id, owner.id, True, hold=True) is not None:
                sample = samples.event("session.ended", owner.id, True, NOW)
                made = Delivery(new_id(DELIVERY), one.id, sample.id, "pending", 0, NOW, next_attempt_at=NOW)
                await unit.webhook_log.add(made, sample)

    await asyncio.gather(
        *(tell(store, event(owner)) for _ in range(8)),
        *(test() for _ in range(4)),
        remove(),
        *(tell(store, event(owner)) for _ in range(8)),
        *(test() for _ in range(4)),
    )
    deliveries = SqlDeliveries(store.database, store.cipher)
    while await deliveries.sweep(NOW):
        pass
    assert await statuses(store, one) == []
    assert await statuses(store, other) == ["pending"] * 16


async def test_a_backlog_fails_a_piece_at_a_time_when_its_endpoint_is_disabled(
    store: SqlStore, owner: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's other writers wait for each transaction."""
    monkeypatch.setattr(stranded, "AT_ONCE", 4)
    one, _ = await kept(store, owner)
    other, _ = await kept(store, owner)
    await tell(store, *(event(owner) for _ in range(10)))
    deliveries = SqlDeliveries(store.database, store.cipher)
    async with store.write() as unit:
        assert await unit.webhook_endpoints.disable(one.id, "by_request", NOW)
    assert (await statuses(store, one)).count("failed") == 4
    assert len((await deliveries.due({one.id: 64, other.id: 64}, NOW))[other.id]) == 10
    assert (await deliveries.due({one.id: 64}, NOW))[one.id] == []
    assert [await deliveries.sweep(NOW) for _ in range(3)] == [4, 2, 0]
    assert await statuses(store, one) == ["failed"] * 10
    assert await statuses(store, other) == ["pending"] * 10


async def test_a_deleted_endpoint_is_there_for_nobody_and_goes_a_piece_at_a_time(
    store: SqlStore, owner: Organization, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stranded, "AT_ONCE", 4)
    one, _ = await kept(store, owner)
    other, _ = await kept(store, owner)
    await tell(store, *(event(owner) for _ in range(10)))
    async with store.read() as unit:
        [first] = (await unit.webhook_log.list(one.id, Page(1)))[0]
    async with store.write() as unit:
        await unit.webhook_endpoints.delete(one.id)
    assert len(await statuses(store, one)) == 10
    async with store.write() as unit:
        ends = unit.webhook_endpoints
        assert not await ends.enable(one.id)
        assert await ends.get(one.id, owner.id, True) is None
        assert [each.endpoint for each in (await ends.list(owner.id, True, Page()))[0]] == [other]
        assert await ends.count(owner.id, True) == 1
        assert await unit.webhook_log.get(first.delivery.id, owner.id, True) is None
        assert (await unit.webhook_log.list(one.id, Page()))[0] == []
    await tell(store, event(owner))
    # Whoever follows a process that was killed goes on with it.
    opened = SqlStore(database_url, store.cipher)
    deliveries = SqlDeliveries(opened.database, opened.cipher)
    assert await deliveries.due({one.id: 64}, NOW) == {one.id: []}
    assert await deliveries.targets([one.id]) == {}
    assert [each.endpoint_id for each in await deliveries.candidates("runner", NOW, 9)] == [other.id]
    assert [await deliveries.sweep(NOW) for _ in range(5)] == [4, 4, 2, 1, 0]
    await opened.close()
    async with store.database.read() as connection:
        assert (await connection.execute(select(webhook_endpoints.c.id))).scalars().all() == [other.id]
    assert await statuses(store, other) == ["pending"] * 11


async def test_what_was_deleted_on_its_way_settles_nothing_else(store: SqlStore, owner: Organization) -> None:
    """Not even what would have been given its number."""
    one, _ = await kept(store, owner, events=("session.ended",))
    other, _ = await kept(store, owner, events=("recording.ready",))
    await tell(store, event(owner, type="session.ended"))
    deliveries = SqlDeliveries(store.database, store.cipher)
    [due] = (await deliveries.due({one.id: 1}, NOW))[one.id]
    async with store.write() as unit:
        await unit.webhook_endpoints.delete(one.id)
    while await deliveries.sweep(NOW):
        pass
    await tell(store, event(owner))
    [later] = (await deliveries.due({other.id: 1}, NOW))[other.id]
    assert later.sequence > due.sequence
    attempt = Attempt(NOW, 87, 200)
    for stale in (due, replace(due, sequence=later.sequence)):
        await deliveries.settle([Settled(stale, one.url, attempt, "delivered", None, None, None)], "runner", NOW)
    assert await statuses(store, other) == ["pending"]


async def test_an_endpoint_is_leased_while_somebody_is_telling_it_something(
    store: SqlStore, owner: Organization
) -> None:
    if store.database.is_sqlite:
        pytest.skip("SQLite has one writer")
    one, _ = await kept(store, owner)
    deliveries = SqlDeliveries(store.database, store.cipher)
    async with store.write() as unit:
        await unit.events.add([event(owner)])
        assert await deliveries.lease([one.id], "runner", NOW, LATER) == {one.id}
        # But not while somebody changes it.
        await unit.webhook_endpoints.change(one.id, {"description": "d"})
        assert await deliveries.lease([one.id], "runner", NOW, LATER) == set()


async def test_what_is_due_is_found_among_very_many(store: SqlStore, owner: Organization) -> None:
    """Each endpoint's by itself, by an index of what is pending."""
    ends = [(await kept(store, owner))[0] for _ in range(10)]
    [told] = [event(owner)]
    await tell(store, told)
    many = text(
        """INSERT INTO webhook_deliveries
               (id, endpoint_id, event_id, status, attempts, next_attempt_at, created_at, log)
           WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
           SELECT 'wh_del_' || i || one.id, one.id, :of, CASE WHEN i % 100 = 0 THEN 'pending' ELSE 'delivered' END, 0,
                  one.created_at, one.created_at, '[]'
           FROM n, webhook_endpoints AS one"""
    )
    async with store.database.write() as connection:
        await connection.execute(many, {"of": told.id})
        await connection.execute(text("ANALYZE"))
    asked: list[tuple[str, Any]] = []

    @listens_for(store.database.engine.sync_engine, "before_cursor_execute")
    def note(_: Any, __: Any, statement: str, given: Any, *___: Any) -> None:
        if "webhook_deliveries" in statement:
            asked.append((statement, given))

    found = await SqlDeliveries(store.database, store.cipher).due({one.id: 5 for one in ends}, NOW)
    remove_listener(store.database.engine.sync_engine, "before_cursor_execute", note)
    assert {one.id: len(found[one.id]) for one in ends} == {one.id: 5 for one in ends}
    [(statement, given)] = asked
    explain = "EXPLAIN QUERY PLAN" if store.database.is_sqlite else "EXPLAIN"
    async with store.database.read() as connection:
        rows = (await connection.exec_driver_sql(f"{explain} {statement}", given)).all()
    plan = "\n".join(str(row[-1]) for row in rows)
    if store.database.is_sqlite:
        assert "SEARCH webhook_deliveries USING INDEX ix_webhook_deliveries_pending" in plan, plan
        assert "SCAN webhook_deliveries" not in plan, plan
    else:
        reads = [line for line in plan.splitlines() if "Scan" in line and "webhook_deliveries" in line]
        assert [line for line in reads if "Index Scan using ix_webhook_deliveries_pending" in line] == reads != [], plan


@pytest.mark.parametrize("moved", [False, True])
async def test_an_answer_of_an_old_address_says_nothing_of_the_new_one(
    store: SqlStore, owner: Organization, moved: bool
) -> None:
    one, _ = await kept(store, owner)
    await tell(store, event(owner))
    deliveries = SqlDeliveries(store.database, store.cipher)
    assert await deliveries.lease([one.id], "runner", NOW, LATER) == {one.id}
    [due] = (await deliveries.due({one.id: 1}, NOW))[one.id]
    if moved:
        async with store.write() as unit:
            await unit.webhook_endpoints.change(one.id, {"url": "https://example.org/"})
    soon = NOW + timedelta(seconds=60)
    ill = Health(3, NOW, LATER)
    gone = Settled(due, one.url, Attempt(NOW, 0, 410), "failed", None, ill, "gone", soon)
    assert await deliveries.settle([gone], "runner", NOW) == (set() if moved else {one.id})
    known = (await found(store, one)).endpoint
    async with store.read() as unit:
        [seen] = (await unit.webhook_log.list(one.id, Page()))[0]
    assert (seen.delivery.attempts, [each.status for each in seen.delivery.log]) == (1, [410])
    if moved:
        assert known == replace(one, url="https://example.org/")
        assert (seen.delivery.status, seen.delivery.next_attempt_at, seen.delivery.completed_at) == (
            "pending",
            soon,
            None,
        )
    else:
        assert (known.enabled, known.disabled_reason, known.failures) == (False, "gone", 3)
        assert (seen.delivery.status, seen.delivery.next_attempt_at, seen.delivery.completed_at) == (
            "failed",
            None,
            NOW,
        )


async def test_the_log(store: SqlStore, owner: Organization) -> None:
    one, _ = await kept(store, owner)
    other, _ = await kept(store, owner)
    told = event(owner)
    await tell(store, told)
    sample = samples.event("session.created", owner.id, True, NOW)
    made = Delivery(new_id(DELIVERY), one.id, sample.id, "pending", 0, NOW, next_attempt_at=NOW)
    woken: list[None] = []
    store.database.on_deliveries = lambda: woken.append(None)
    async with store.write() as unit:
        await unit.webhook_log.add(made, sample)
    assert len(woken) == 1
    async with store.read() as unit:
        log = unit.webhook_log
        listed, more = await log.list(one.id, Page())
        assert ([each.event for each in listed], more) == ([sample, told], False)
        assert [each.endpoint for each in listed] == [one, one]
        assert listed[0].delivery == made
        assert await log.get(made.id, owner.id, True) == listed[0]
        assert await log.get(made.id, owner.id, False) is None
        assert await log.get(made.id, "org_other", True) is None
        assert [each.event for each in (await log.list(other.id, Page()))[0]] == [told]
        assert [each.event for each in (await log.list(one.id, Page(), type="session.created"))[0]] == [sample]
        assert (await log.list(one.id, Page(), "failed"))[0] == []
        assert (await log.list(one.id, Page(1)))[1] is True


async def test_what_became_of_an_attempt_is_read_as_it_was_settled(store: SqlStore, owner: Organization) -> None:
    one, _ = await kept(store, owner)
    await tell(store, event(owner))
    deliveries = SqlDeliveries(store.database, store.cipher)
    assert await deliveries.lease([one.id], "runner", NOW, LATER) == {one.id}
    [due] = (await deliveries.due({one.id: 10}, NOW))[one.id]
    attempt = Attempt(NOW, 87, 500, None, "Oh")
    await deliveries.settle([Settled(due, one.url, attempt, "failed", None, None, None)], "runner", NOW)
    async with store.read() as unit:
        [seen] = (await unit.webhook_log.list(one.id, Page()))[0]
    assert (seen.delivery.id, seen.delivery.status, seen.delivery.attempts) == (due.id, "failed", 1)
    assert seen.delivery.log == (attempt,)


async def test_a_sessions_address_gets_that_sessions_events_and_no_others(store: SqlStore, owner: Organization) -> None:
    shared, _ = await kept(store, owner)
    asked = session(owner.id, webhook_url="https://example.com/own")
    own, other = of_session(asked), session(owner.id)
    assert own is not None
    async with store.write() as unit:
        await unit.sessions.add(asked)
        await unit.sessions.add(other)
        await unit.webhook_endpoints.add(own, None)
        # In one transaction, as the journal writes them.
        await unit.events.add([news.session_created(asked), news.session_created(other), event(owner)])
    async with store.read() as unit:
        to_own, _ = await unit.webhook_log.list(own.id, Page())
        to_shared, _ = await unit.webhook_log.list(shared.id, Page())
    assert [each.event.session_id for each in to_own] == [asked.id]
    assert {each.event.session_id for each in to_shared} == {other.id, None}
