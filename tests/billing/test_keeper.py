from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.store.test_store import organization

from kallglot.accounts.credits import LARGEST_BALANCE
from kallglot.accounts.model import Organization
from kallglot.accounts.plans import plan_named
from kallglot.accounts.ports import Page
from kallglot.billing.check import check
from kallglot.billing.keeper import PeriodKeeper
from kallglot.clock import FakeClock
from kallglot.store import SqlStore

FREE = plan_named("free").credits_a_month
START = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)


async def made(store: SqlStore, **changes: object) -> Organization:
    one = replace(organization(0, plan="free", created_at=START), **changes)  # type: ignore[arg-type]
    async with store.write() as unit:
        await unit.organizations.add(one)
    return one


async def now_of(store: SqlStore, organization_id: str) -> Organization:
    async with store.read() as unit:
        found = await unit.organizations.get(organization_id)
    assert found is not None
    return found


async def test_months_pass(store: SqlStore) -> None:
    clock = FakeClock(START)
    owner, bought = await made(store), await made(store, plan="selfhosted")
    keeper = PeriodKeeper(store, clock)
    assert await keeper.begin_due() == 1
    assert await keeper.begin_due() == 0
    async with store.write() as unit:
        await unit.organizations.grant_credits(owner.id, 7, "top_up", "cs_1", clock.now())
        assert await unit.organizations.take_credit(owner.id, 30, "analysis", "a", clock.now())
    clock.advance((datetime(2026, 2, 28, 9, 0, tzinfo=UTC) - START).total_seconds() - 1)
    assert await keeper.begin_due() == 0
    clock.advance(1)
    assert await keeper.begin_due() == 1
    after = await now_of(store, owner.id)
    assert FREE is not None
    assert (after.credits_remaining, after.plan_credits, after.credits_used) == (FREE + 7, FREE, 0)
    assert (after.period_start, after.period_end) == (clock.now(), datetime(2026, 3, 31, 9, 0, tzinfo=UTC))
    untouched = await now_of(store, bought.id)
    assert (untouched.period_start, untouched.credits_remaining) == (None, 0)
    async with store.read() as unit:
        noted, _ = await unit.audit.list(owner.id, Page())
    assert [(one.actor, one.action) for one in noted] == [("system", "period.begun")] * 2
    assert await check(store) == []


async def test_months_that_were_missed_are_passed_over(store: SqlStore) -> None:
    clock = FakeClock(START)
    owner = await made(store)
    keeper = PeriodKeeper(store, clock)
    await keeper.begin_due()
    clock.advance(timedelta(days=200).total_seconds())
    assert await keeper.begin_due() == 1
    after = await now_of(store, owner.id)
    assert after.credits_remaining == FREE
    assert after.period is not None
    assert after.period.start <= clock.now() < after.period.end
    assert after.period.start.day == 31


async def test_several_processes_begin_each_period_once(store: SqlStore) -> None:
    clock = FakeClock(START)
    some = [await made(store) for _ in range(15)]
    begun = await asyncio.gather(*(PeriodKeeper(store, clock).begin_due() for _ in range(4)))
    assert sum(begun) == len(some)
    assert {(await now_of(store, one.id)).credits_remaining for one in some} == {FREE}
    assert await check(store) == []


async def test_more_organisations_than_are_read_at_a_time(store: SqlStore) -> None:
    async with store.write() as unit:
        for _ in range(205):
            await unit.organizations.add(organization(0, plan="free", created_at=START))
    assert await PeriodKeeper(store, FakeClock(START)).begin_due() == 205


async def test_one_that_cannot_be_begun_keeps_nobody_else_from_theirs(
    store: SqlStore, caplog: pytest.LogCaptureFixture
) -> None:
    full = [await made(store, credits_remaining=LARGEST_BALANCE) for _ in range(101)]
    owner = await made(store)
    assert await PeriodKeeper(store, FakeClock(START)).begin_due() == 1
    assert (await now_of(store, owner.id)).credits_remaining == FREE
    assert all(one.id in caplog.text for one in full)
