"""Credits on both databases: nobody overdraws, every change has its line, and lines stay as they are."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from alembic import command
from cryptography.fernet import Fernet
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from tests.store.test_store import organization, session

from kallglot.accounts import credits
from kallglot.accounts.credits import CreditEntry, Period
from kallglot.accounts.model import Organization
from kallglot.accounts.ports import Page
from kallglot.billing.check import check
from kallglot.billing.usage import Group, UsageFilter, Used
from kallglot.clock import FakeClock
from kallglot.errors import KallglotError
from kallglot.ids import new_id
from kallglot.session.model import Usage
from kallglot.store import SqlJournal, SqlStore, migrate

NOW = FakeClock().now()
MARCH = Period(NOW, NOW + timedelta(days=31))
APRIL = Period(MARCH.end, MARCH.end + timedelta(days=30))


async def made(store: SqlStore, remaining: int = 10, **changes: object) -> Organization:
    one = organization(remaining, **changes)
    async with store.write() as unit:
        await unit.organizations.add(one)
    return one


async def now_of(store: SqlStore, organization_id: str) -> Organization:
    async with store.read() as unit:
        found = await unit.organizations.get(organization_id)
    assert found is not None
    return found


async def lines(store: SqlStore, organization_id: str) -> list[CreditEntry]:
    """Oldest first."""
    async with store.read() as unit:
        found, _ = await unit.ledgers.credits(organization_id, Page(limit=1000))
    return found[::-1]


async def take(store: SqlStore, organization_id: str, reference: str, amount: int = 1, at: datetime = NOW) -> bool:
    async with store.write() as unit:
        return await unit.organizations.take_credit(
            organization_id, amount, credits.ANALYSIS, reference, at, mode="ai_agent", api_key_id="key_1"
        )


async def grant(store: SqlStore, organization_id: str, amount: int, reference: str) -> bool:
    async with store.write() as unit:
        return await unit.organizations.grant_credits(organization_id, amount, credits.GRANT, reference, NOW)


async def refund(store: SqlStore, organization_id: str, reference: str, at: datetime = NOW) -> bool:
    async with store.write() as unit:
        return await unit.organizations.refund(organization_id, credits.ANALYSIS, reference, at)


async def begin(store: SqlStore, organization_id: str, period: Period, allowance: int) -> bool:
    async with store.write() as unit:
        return await unit.organizations.begin_period(organization_id, period, allowance, period.start)


async def test_many_at_once_take_grant_and_give_back_and_nothing_is_overdrawn(store: SqlStore) -> None:
    """What each was told adds up to the balance, whatever came first."""
    owner, other = await made(store, 20), await made(store, 3)
    await begin(store, owner.id, MARCH, 15)

    async def one(number: int) -> int:
        match number % 4:
            case 0:
                return 5 if await grant(store, owner.id, 5, f"g{number // 8}") else 0
            case 1:
                if not await take(store, owner.id, f"r{number}"):
                    return 0
                back = await asyncio.gather(*(refund(store, owner.id, f"r{number}") for _ in range(3)))
                assert sorted(back) == [False, False, True]
                return 0
            case _:
                return -2 if await take(store, owner.id, f"t{number}", 2) else 0

    work = [one(number) for number in range(120)]
    random.Random(1).shuffle(work)
    changes = await asyncio.gather(*work)
    granted = sum(change for change in changes if change > 0)
    assert granted == 15 * 5, "two asked for each reference, one was granted"
    after = await now_of(store, owner.id)
    assert after.credits_remaining == 35 + sum(changes)
    assert 0 <= after.plan_credits <= after.credits_remaining
    assert sum(line.amount for line in await lines(store, owner.id)) == after.credits_remaining
    assert (await now_of(store, other.id)).credits_remaining == 3
    assert await check(store) == []


async def test_when_many_take_the_last_ones_nobody_gets_what_is_not_there(store: SqlStore) -> None:
    owner = await made(store, 7)
    taken = await asyncio.gather(*(take(store, owner.id, f"a{n}", 2) for n in range(40)))
    assert sum(taken) == 3
    after = await now_of(store, owner.id)
    assert (after.credits_remaining, after.credits_used) == (1, 6)
    assert [line.balance_after for line in await lines(store, owner.id)] == [7, 5, 3, 1]
    assert await check(store) == []


async def test_the_plans_credits_go_first_and_come_back_where_they_were(store: SqlStore) -> None:
    owner = await made(store, 10)
    await begin(store, owner.id, MARCH, 3)
    assert await take(store, owner.id, "a", 2)
    assert await take(store, owner.id, "b", 4)
    after = await now_of(store, owner.id)
    assert (after.credits_remaining, after.plan_credits, after.credits_used) == (7, 0, 6)
    assert await refund(store, owner.id, "b")
    after = await now_of(store, owner.id)
    assert (after.credits_remaining, after.plan_credits, after.credits_used) == (11, 1, 2)
    back = (await lines(store, owner.id))[-1]
    assert (back.reason, back.reference, back.amount, back.mode, back.api_key_id) == (
        "refund",
        "b",
        4,
        "ai_agent",
        "key_1",
    )
    assert not await refund(store, owner.id, "b")
    assert not await refund(store, owner.id, "never taken")
    assert await check(store) == []


async def test_a_grant_again_changes_nothing_and_says_so(store: SqlStore) -> None:
    owner, other = await made(store, 0), await made(store, 0)
    assert await grant(store, owner.id, 5, "invoice 1")
    assert not await grant(store, owner.id, 500, "invoice 1")
    assert await grant(store, other.id, 5, "invoice 1")
    assert (await now_of(store, owner.id)).credits_remaining == 5
    with pytest.raises(LookupError):
        await grant(store, "org_none", 5, "invoice 1")
    with pytest.raises(OverflowError):
        await grant(store, owner.id, credits.LARGEST_BALANCE, "too much")
    assert (await now_of(store, owner.id)).credits_remaining == 5
    assert not await take(store, "org_none", "x")


async def test_taking_twice_for_the_same_thing_takes_nothing_the_second_time(store: SqlStore) -> None:
    owner = await made(store, 5)
    assert await take(store, owner.id, "a")
    with pytest.raises(DBAPIError):
        await take(store, owner.id, "a")
    assert (await now_of(store, owner.id)).credits_remaining == 4
    assert await check(store) == []


async def test_a_period_ends_what_the_plan_gave_and_keeps_what_was_bought(store: SqlStore) -> None:
    owner = await made(store, 4)
    assert await begin(store, owner.id, MARCH, 10)
    assert await take(store, owner.id, "a", 3)
    assert await begin(store, owner.id, APRIL, 10)
    after = await now_of(store, owner.id)
    assert (after.credits_remaining, after.plan_credits, after.credits_used) == (14, 10, 0)
    assert after.period == APRIL
    assert [(line.reason, line.amount) for line in await lines(store, owner.id)] == [
        ("opening", 4),
        ("period", 10),
        ("analysis", -3),
        ("expired", -7),
        ("period", 10),
    ]
    assert not await begin(store, owner.id, APRIL, 10)
    assert not await begin(store, owner.id, MARCH, 10)
    # What was taken in a period that is over counts no more when it is given back.
    assert await refund(store, owner.id, "a", APRIL.start)
    after = await now_of(store, owner.id)
    assert (after.credits_remaining, after.plan_credits, after.credits_used) == (17, 13, 0)
    assert await check(store) == []


async def test_a_period_begins_once_whoever_begins_it(store: SqlStore) -> None:
    owner = await made(store, 0)
    begun = await asyncio.gather(*(begin(store, owner.id, MARCH, 10) for _ in range(12)))
    assert sum(begun) == 1
    assert (await now_of(store, owner.id)).credits_remaining == 10


async def test_an_allowance_is_raised_to_what_the_better_plan_has_and_only_once(store: SqlStore) -> None:
    owner = await made(store, 0)

    async def raise_to(allowance: int) -> int:
        async with store.write() as unit:
            return await unit.organizations.raise_allowance(owner.id, allowance, NOW)

    assert await raise_to(100) == 0, "no period is on"
    await begin(store, owner.id, MARCH, 10)
    assert [await raise_to(allowance) for allowance in (100, 10, 100, 250)] == [90, 0, 0, 150]
    assert (await now_of(store, owner.id)).plan_credits == 250
    await begin(store, owner.id, APRIL, 10)
    assert await raise_to(100) == 90
    assert await check(store) == []


async def test_what_was_used_since_a_period_that_begins_late_is_counted(store: SqlStore) -> None:
    owner = await made(store, 20)
    for number, day in enumerate((-1, 0, 1, 2)):
        await take(store, owner.id, f"a{number}", 2, MARCH.start + timedelta(days=day))
    await refund(store, owner.id, "a3", MARCH.start + timedelta(days=3))
    async with store.write() as unit:
        assert await unit.organizations.begin_period(owner.id, MARCH, 10, MARCH.start + timedelta(days=4))
    assert (await now_of(store, owner.id)).credits_used == 4
    async with store.read() as unit:
        [(_, used)] = await unit.usage.used(UsageFilter(owner.id, True, MARCH.start, MARCH.end, ()))
    assert used.credits == 4


async def test_only_a_period_that_nobody_paid_and_that_began_within_it_is_paid_afterwards(store: SqlStore) -> None:
    owner = await made(store, 0)

    async def pay(period: Period) -> int | None:
        async with store.write() as unit:
            return await unit.organizations.pay_period(owner.id, period, 10, NOW)

    assert await pay(MARCH) is None
    await begin(store, owner.id, MARCH, 3)
    late = Period(MARCH.start + timedelta(seconds=1), APRIL.end)
    early = Period(MARCH.start - timedelta(days=31), MARCH.start)
    whole = Period(MARCH.start - timedelta(days=1), MARCH.end - timedelta(days=1))
    assert [await pay(period) for period in (late, early, whole, whole)] == [None, None, 7, None]
    after = await now_of(store, owner.id)
    assert (after.period, after.period_paid, after.credits_remaining) == (Period(MARCH.start, whole.end), True, 10)


async def test_due_are_those_on_a_plan_with_an_allowance_that_nobody_bills(store: SqlStore) -> None:
    fresh = await made(store, plan="free")
    over = await made(store, plan="pro", period_start=NOW - timedelta(days=31), period_end=NOW)
    await made(store, plan="pro", period_start=NOW, period_end=NOW + timedelta(seconds=1))
    await made(store, plan="selfhosted")
    await made(store, plan="free", subscription="active")
    ended = await made(store, plan="free", subscription="canceled")
    await made(store, plan="free", status="suspended")
    async with store.read() as unit:
        found = await unit.organizations.due(("free", "pro"), NOW)
        behind = await unit.organizations.due(("free", "pro"), NOW, after=found[0].id, limit=1)
    assert {one.id for one in found} == {fresh.id, over.id, ended.id}
    assert behind == found[1:2]


@pytest.mark.parametrize("ledger", ["credit_ledger", "usage_ledger"])
@pytest.mark.parametrize("act", ["UPDATE {0} SET organization_id = organization_id", "DELETE FROM {0}"])
async def test_what_is_written_in_a_ledger_stays(store: SqlStore, journal: SqlJournal, ledger: str, act: str) -> None:
    owner = await made(store, 10)
    one = session(owner.id)
    async with store.write() as unit:
        await unit.sessions.add(one)
    await journal.ended(one.id, NOW, "completed", Usage(1.0, 0.5, 0.0))
    with pytest.raises(DBAPIError, match="append-only"):
        async with store.database.write() as connection:
            await connection.execute(text(act.format(ledger)))
    async with store.database.read() as connection:
        assert (await connection.execute(text(f"SELECT count(*) FROM {ledger}"))).scalar_one() == 1


async def test_pages_of_the_ledger(store: SqlStore) -> None:
    owner, other = await made(store, 0), await made(store, 3)
    for number in range(5):
        await grant(store, owner.id, 1, str(number))
    newest = (await lines(store, owner.id))[::-1]

    async def page(**cursor: object) -> tuple[list[str], bool]:
        async with store.read() as unit:
            found, more = await unit.ledgers.credits(owner.id, Page(**cursor))  # type: ignore[arg-type]
        return [line.reference for line in found], more

    assert await page(limit=2) == (["4", "3"], True)
    assert await page(limit=2, starting_after=str(newest[1].id)) == (["2", "1"], True)
    assert await page(limit=2, starting_after=str(newest[3].id)) == (["0"], False)
    assert await page(limit=2, ending_before=str(newest[3].id)) == (["3", "2"], True)
    foreign = str((await lines(store, other.id))[0].id)
    for cursor in (foreign, "0", "99999999999999999999", "x", "-1", "٣"):
        with pytest.raises(KallglotError) as refused:
            await page(starting_after=cursor)
        assert refused.value.param == "starting_after"


async def corrupt(store: SqlStore, statement: str, **values: object) -> None:
    """As somebody with the database's own tools might: the triggers are no protection from its owner."""
    async with store.database.write() as connection:
        if store.database.is_sqlite:
            for act in ("update", "delete"):
                await connection.execute(text(f"DROP TRIGGER IF EXISTS usage_ledger_no_{act}"))
                await connection.execute(text(f"DROP TRIGGER IF EXISTS credit_ledger_no_{act}"))
        else:
            for ledger in ("credit_ledger", "usage_ledger"):
                await connection.execute(text(f"ALTER TABLE {ledger} DISABLE TRIGGER USER"))
        changed = await connection.execute(text(statement), values)
        assert changed.rowcount == 1


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE organizations SET credits_remaining = 12", "has 12 credits"),
        ("UPDATE organizations SET plan_credits = 1", "1 of them its plan's"),
        ("UPDATE credit_ledger SET amount = -2 WHERE reason = 'session'", "adds up to 8"),
        ("UPDATE credit_ledger SET balance_after = 8 WHERE reason = 'session'", "says 8 are left"),
        ("DELETE FROM credit_ledger WHERE reason = 'session'", "no credit was taken for it"),
        ("DELETE FROM usage_ledger", "has no usage line"),
        ("UPDATE usage_ledger SET session_ms = session_ms + 1", "its seconds or its owner differ"),
        ("UPDATE usage_ledger SET translation_ms = 0", "its seconds or its owner differ"),
        ("UPDATE usage_ledger SET livemode = NOT livemode", "its seconds or its owner differ"),
        ("UPDATE sessions SET status = 'active'", "it has not ended"),
    ],
)
async def test_the_check_finds_what_is_wrong(store: SqlStore, journal: SqlJournal, statement: str, said: str) -> None:
    owner = await made(store, 10)
    one = session(owner.id)
    async with store.write() as unit:
        await unit.organizations.take_credit(owner.id, 1, credits.SESSION, one.id, NOW)
        await unit.sessions.add(one)
    await journal.ended(one.id, NOW, "completed", Usage(12.345, 0.001, 0.0))
    assert await check(store) == []
    await corrupt(store, statement)
    assert any(said in problem for problem in await check(store)), await check(store)


async def test_a_session_of_test_mode_costs_nothing_and_a_deleted_one_leaves_its_line(
    store: SqlStore, journal: SqlJournal
) -> None:
    owner = await made(store, 10)
    one = replace(session(owner.id), livemode=False, id=new_id("sess_"))
    async with store.write() as unit:
        await unit.sessions.add(one)
    await journal.ended(one.id, NOW, "completed", Usage(1.5, 0.0, 0.0))
    await journal.ended(one.id, NOW + timedelta(hours=1), "timeout", Usage(99.0, 0.0, 0.0))
    assert await check(store) == []
    async with store.database.write() as connection:
        await connection.execute(text("DELETE FROM sessions"))
    assert await check(store) == []
    async with store.database.read() as connection:
        kept = (await connection.execute(text("SELECT session_id, session_ms FROM usage_ledger"))).all()
    assert [tuple(row) for row in kept] == [(one.id, 1500)]


async def test_sessions_that_ended_before_there_was_a_ledger_are_in_it(empty_database_url: str) -> None:
    store = SqlStore(empty_database_url, Fernet(Fernet.generate_key()))

    def older(connection: Connection) -> None:
        chosen = migrate.config()
        chosen.attributes["connection"] = connection
        command.upgrade(chosen, "0003")

    async with store.database.engine.connect() as connection:
        await connection.run_sync(older)
        for statement in OLDER:
            await connection.execute(
                text(statement), {"at": NOW.replace(tzinfo=None) if store.database.is_sqlite else NOW}
            )
        await connection.commit()
    try:
        await store.start()
        assert await check(store) == []
        async with store.read() as unit:
            where = UsageFilter("org_1", True, NOW - timedelta(days=1), NOW + timedelta(days=1), ("api_key",))
            assert await unit.usage.used(where) == [
                (Group(), Used(credits=1)),
                (Group(api_key_id="key_1"), Used(1, 12_345, 1, 0)),
            ]
    finally:
        await store.close()


_SESSION = (
    "INSERT INTO sessions (id, organization_id, livemode, status, mode, participants, created_at, api_key_id,"
    " recording, transcription, translation, ended_at, session_seconds, translation_seconds, ai_agent_seconds)"
)
OLDER = (
    "INSERT INTO organizations (id, name, status, plan, credits_remaining, credits_used, created_at)"
    " VALUES ('org_1', 'Old', 'active', 'selfhosted', 9, 1, :at)",
    "INSERT INTO credit_ledger (organization_id, amount, reason, reference, balance_after, created_at)"
    " VALUES ('org_1', 10, 'bootstrap', 'org_1', 10, :at)",
    "INSERT INTO credit_ledger (organization_id, amount, reason, reference, balance_after, created_at)"
    " VALUES ('org_1', -1, 'session', 'sess_1', 9, :at)",
    f"{_SESSION} VALUES ('sess_1', 'org_1', true, 'ended', 'bidirectional_translation', '[]', :at, 'key_1', '{{}}',"
    " '{}', '{}', :at, 12.345, 0.001, 0)",
    f"{_SESSION} VALUES ('sess_2', 'org_1', false, 'active', 'bidirectional_translation', '[]', :at, 'key_1', '{{}}',"
    " '{}', '{}', NULL, NULL, NULL, NULL)",
)
