"""What becomes of an organisation that pays, on both databases: whatever comes twice, late, or at once."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from tests.billing import stripes
from tests.billing.stripes import MONTH, NOW, YEAR_LATER, checkout, invoice, line, subscription, top_up
from tests.store.test_store import organization

from kallglot.accounts.model import Organization
from kallglot.accounts.plans import plan_named
from kallglot.accounts.ports import Page
from kallglot.billing.check import check
from kallglot.billing.keeper import PeriodKeeper
from kallglot.billing.payments import KNOWN, WAITING, Clerk
from kallglot.billing.stripe import PROVIDER, notice_of, read_plans
from kallglot.clock import FakeClock
from kallglot.store import SqlStore

PRO = plan_named("pro").credits_a_month or 0
STARTER = plan_named("starter").credits_a_month or 0


class Till:
    """An organisation, and Stripe telling of it."""

    def __init__(self, store: SqlStore, owner: Organization) -> None:
        self.store = store
        self.owner = owner
        self.clock = FakeClock()

    async def told(self, event: dict[str, Any]) -> str:
        notice = notice_of(event)
        assert notice is not None
        async with self.store.write() as unit:
            return await Clerk(unit, PROVIDER, read_plans(stripes.PLANS), self.clock.now()).act(notice)

    async def now(self, organization_id: str | None = None) -> Organization:
        async with self.store.read() as unit:
            found = await unit.organizations.get(organization_id or self.owner.id)
        assert found is not None
        return found

    async def actions(self) -> list[str]:
        async with self.store.read() as unit:
            noted, _ = await unit.audit.list(self.owner.id, Page(limit=100))
        assert {one.actor for one in noted} <= {"stripe"}
        return [one.action for one in noted][::-1]

    async def other(self, **changes: object) -> Organization:
        made = organization(0, plan="free", **changes)
        async with self.store.write() as unit:
            await unit.organizations.add(made)
        return made


@pytest.fixture
async def till(store: SqlStore) -> Till:
    owner = organization(0, plan="free", status="inactive")
    async with store.write() as unit:
        await unit.organizations.add(owner)
    return Till(store, owner)


FIRST = ("checkout", "created", "updated", "paid")


@pytest.mark.parametrize("order", list(itertools.permutations(FIRST)), ids="-".join)
async def test_a_first_subscription_in_any_order(till: Till, order: tuple[str, ...]) -> None:
    """Stripe promises none. What comes before the checkout waits until it says whose customer it is."""
    events = {
        "checkout": checkout(till.owner.id, created=NOW + 1),
        "created": subscription("created", "incomplete"),
        "updated": subscription("updated", "active", created=NOW + 1),
        "paid": invoice(created=NOW + 1),
    }
    for name in order:
        await till.told(events[name])
    for name in order:
        assert await till.told(events[name]) == KNOWN
    after = await till.now()
    assert (after.status, after.plan, after.subscription) == ("active", "pro", "active")
    assert (after.credits_remaining, after.plan_credits) == (PRO, PRO)
    assert (after.payment_customer, after.payment_subscription) == ("cus_1", "sub_1")
    assert after.period_end == datetime.fromtimestamp(NOW + MONTH, UTC)
    async with till.store.database.read() as connection:
        waiting = await connection.execute(text("SELECT count(*) FROM payments WHERE notice IS NOT NULL"))
        assert waiting.scalar_one() == 0
    assert await check(till.store) == []


async def subscribed(till: Till, price: str = "price_starter") -> None:
    await till.told(checkout(till.owner.id))
    await till.told(subscription("created", "active", price=price))
    await till.told(invoice(NOW, NOW + MONTH, line(NOW, NOW + MONTH, price)))


async def test_months_are_paid(till: Till) -> None:
    await subscribed(till)
    assert (await till.now()).credits_remaining == STARTER
    await till.told(top_up(till.owner.id, "50"))
    async with till.store.write() as unit:
        assert await unit.organizations.take_credit(till.owner.id, 10, "analysis", "a", till.clock.now())
    paid = invoice(NOW + MONTH, NOW + 2 * MONTH, line(NOW + MONTH, NOW + 2 * MONTH, "price_starter"))
    await till.told(paid)
    after = await till.now()
    assert (after.credits_remaining, after.plan_credits, after.credits_used) == (STARTER + 50, STARTER, 0)
    assert "has begun before" in await till.told(paid | {"id": "evt_again"})
    assert "has begun before" in await till.told(invoice(NOW, NOW + MONTH))
    assert (await till.now()) == after
    assert await till.actions() == [
        "payment_customer.linked",
        "subscription.changed",
        "period.begun",
        "credits.granted",
        "period.begun",
    ]


async def test_a_year_that_is_paid_at_once(till: Till) -> None:
    await till.told(checkout(till.owner.id))
    await till.told(invoice(NOW, YEAR_LATER))
    assert (await till.now()).plan_credits == 12 * PRO


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("active", "active"),
        ("trialing", "active"),
        ("past_due", "active"),
        ("canceled", "inactive"),
        ("unpaid", "inactive"),
        ("incomplete_expired", "inactive"),
        ("paused", "inactive"),
        ("incomplete", "active"),
        ("something_new", "active"),
    ],
)
async def test_what_a_state_means(till: Till, state: str, status: str) -> None:
    await subscribed(till)
    await till.told(subscription("updated", state, created=NOW + 10, price="price_starter"))
    after = await till.now()
    assert (after.status, after.subscription, after.plan) == (status, state, "starter")
    assert after.credits_remaining == STARTER, "what was paid for stays"
    await till.told(subscription("updated", "active", created=NOW + 20, price="price_starter"))
    assert (await till.now()).status == "active"


async def test_who_is_suspended_stays_so(till: Till) -> None:
    async with till.store.write() as unit:
        await unit.organizations.set_status(till.owner.id, "suspended")
    await till.told(checkout(till.owner.id, metadata={"organization_id": till.owner.id}))
    await subscribed(till)
    after = await till.now()
    assert (after.status, after.subscription) == ("suspended", "active")


async def test_an_older_event_never_overwrites_a_newer(till: Till) -> None:
    await subscribed(till)
    await till.told(subscription("deleted", "canceled", created=NOW + 20))
    assert await till.told(subscription("updated", "active", created=NOW + 19)) == "something newer is known"
    assert await till.told(subscription("updated", "active", created=NOW + 20)) == "something newer is known"
    assert (await till.now()).status == "inactive"
    await till.told(subscription("created", "active", created=NOW + 20, id="sub_2"))
    await till.told(subscription("updated", "active", created=NOW + 21, id="sub_2"))
    assert (await till.now()).status == "active"


async def test_the_end_of_another_subscription_ends_nothing(till: Till) -> None:
    await subscribed(till)
    await till.told(subscription("updated", "active", created=NOW + 5, id="sub_2", born=NOW + 5))
    assert "another" in await till.told(subscription("deleted", "canceled", created=NOW + 9, id="sub_1"))
    after = await till.now()
    assert (after.status, after.payment_subscription) == ("active", "sub_2")


async def test_a_better_plan_is_on_at_once_and_its_credits_come_when_a_period_of_it_is_paid(till: Till) -> None:
    """Else whoever switches up and down would be granted what nobody pays for."""
    await subscribed(till)
    for number, (price, plan) in enumerate([("price_pro", "pro"), ("price_starter", "starter"), ("price_pro", "pro")]):
        await till.told(subscription("updated", "active", created=NOW + number + 1, price=price))
        after = await till.now()
        assert (after.plan, after.credits_remaining) == (plan, STARTER)
    start = NOW + 86_400
    await till.told(invoice(start, start + MONTH))
    assert (await till.now()).credits_remaining == PRO
    assert await check(till.store) == []


async def test_a_price_that_nobody_named_changes_no_plan(till: Till) -> None:
    await subscribed(till)
    await till.told(subscription("updated", "active", created=NOW + 1, price="price_other"))
    assert (await till.now()).plan == "starter"
    paid = invoice(NOW + MONTH, NOW + 2 * MONTH, line(NOW + MONTH, NOW + 2 * MONTH, "price_other"))
    assert f"{STARTER} credits" in await till.told(paid)


async def test_top_ups(till: Till) -> None:
    assert "500 credits granted" in await till.told(top_up(till.owner.id, "500"))
    assert "before" in await till.told(
        top_up(till.owner.id, "500", type="checkout.session.async_payment_succeeded", payment_status="paid")
    )
    assert "no credits were paid" in await till.told(
        top_up(till.owner.id, "70", id="cs_later", payment_status="unpaid")
    )
    assert (await till.now()).credits_remaining == 500
    assert "70 credits" in await till.told(
        top_up(till.owner.id, "70", id="cs_later", type="checkout.session.async_payment_succeeded")
    )
    assert "names no credits" in await till.told(top_up(till.owner.id, "many", id="cs_x"))
    after = await till.now()
    assert (after.credits_remaining, after.plan_credits, after.payment_customer) == (570, 0, None)


async def test_nobody_takes_anothers_customer_or_subscription_by_a_checkouts_reference(till: Till) -> None:
    await subscribed(till)
    victim, thief = till.owner, await till.other()
    assert "another organisation" in await till.told(checkout(thief.id, "cus_1", id="cs_9"))
    assert (await till.now(thief.id)).payment_customer is None
    assert "has another customer" in await till.told(checkout(victim.id, "cus_evil", id="cs_10"))
    assert await till.told(subscription("deleted", "canceled", created=NOW + 9, customer="cus_evil")) == WAITING
    after = await till.now()
    assert (after.payment_customer, after.status) == ("cus_1", "active")


async def test_whoever_is_unknown_waits_and_is_named_by_metadata(till: Till) -> None:
    assert await till.told(invoice()) == WAITING
    assert await till.told(checkout("org_none", None)) == WAITING
    named = subscription("updated", "active", created=NOW + 1, metadata={"organization_id": till.owner.id})
    await till.told(named)
    after = await till.now()
    assert (after.payment_customer, after.status, after.credits_remaining) == ("cus_1", "active", PRO)


async def test_twenty_at_once_are_acted_on_once(till: Till) -> None:
    events = [checkout(till.owner.id), invoice(), subscription("updated", "active"), top_up(till.owner.id, "9")]
    said = await asyncio.gather(*(till.told(one) for one in events * 20))
    assert len([one for one in said if one != KNOWN]) == len(events)
    after = await till.now()
    assert (after.credits_remaining, after.status, after.plan) == (PRO + 9, "active", "pro")
    assert await check(till.store) == []


async def test_what_fails_in_the_middle_leaves_nothing_and_comes_again(till: Till) -> None:
    notice = notice_of(top_up(till.owner.id, "9"))
    assert notice is not None

    async def dies() -> None:
        async with till.store.write() as unit:
            await Clerk(unit, PROVIDER, {}, till.clock.now()).act(notice)
            raise ConnectionResetError("before the commit")

    with pytest.raises(ConnectionResetError):
        await dies()
    assert (await till.now()).credits_remaining == 0
    assert await till.actions() == []
    await till.told(top_up(till.owner.id, "9") | {"id": notice.id})
    assert (await till.now()).credits_remaining == 9


async def test_a_first_payment_that_fails_switches_nothing_off(till: Till) -> None:
    owner = await till.other()
    named = {"metadata": {"organization_id": owner.id}}
    assert await PeriodKeeper(till.store, till.clock).begin_due() == 1
    before = await till.now(owner.id)
    for number, (what, state) in enumerate([("created", "incomplete"), ("updated", "incomplete_expired")]):
        told = subscription(what, state, created=NOW + number * 82_800, born=NOW, **named)
        assert "first payment was not made" in await till.told(told)
    assert await till.now(owner.id) == replace(before, payment_customer="cus_1")
    till.clock.advance(40 * 86_400)
    assert await PeriodKeeper(till.store, till.clock).begin_due() == 1


async def test_whom_the_operator_takes_back_after_a_subscription_has_periods_again(till: Till) -> None:
    await subscribed(till)
    await till.told(subscription("deleted", "canceled", created=NOW + 9))
    till.clock.advance(MONTH + 1)
    keeper = PeriodKeeper(till.store, till.clock)
    assert await keeper.begin_due() == 0
    async with till.store.write() as unit:
        await unit.organizations.set_status(till.owner.id, "active")
        await unit.organizations.set_plan(till.owner.id, "free")
    assert await keeper.begin_due() == 1
    after = await till.now()
    assert (after.credits_remaining, after.period_paid) == (plan_named("free").credits_a_month, False)


async def test_of_two_subscriptions_the_newer_counts_until_it_works_no_more(till: Till) -> None:
    await subscribed(till)
    early = invoice(NOW + 10, NOW + 10 + MONTH, subscription="sub_2")
    assert "kept" in await till.told(early)
    bought = subscription("created", "active", created=NOW + 10, id="sub_2")
    await till.told(bought)
    after = await till.now()
    assert (after.plan, after.plan_credits, after.payment_subscription) == ("pro", PRO, "sub_2")
    assert "newer" in await till.told(
        subscription("updated", "active", price="price_starter", created=NOW + 20, cancel_at_period_end=True)
    )
    renewed = line(NOW + 20, NOW + 20 + MONTH, "price_starter")
    assert "another subscription works" in await till.told(invoice(NOW + 20, NOW + 20 + MONTH, renewed))
    assert await till.now() == after
    await till.told(subscription("deleted", "canceled", created=NOW + 30, id="sub_2", born=NOW + 10))
    assert (await till.now()).status == "inactive"
    assert "newer" in await till.told(subscription("updated", "active", price="price_starter", created=NOW + 29))
    await till.told(subscription("updated", "active", price="price_starter", created=NOW + 40))
    back = await till.now()
    assert (back.status, back.plan, back.payment_subscription) == ("active", "starter", "sub_1")


@pytest.mark.parametrize("second", [5, 6])
async def test_one_takes_the_place_of_another_whose_end_is_told_first(till: Till, second: int) -> None:
    """What is newer is a question within one subscription."""
    await subscribed(till)
    await till.told(subscription("deleted", "canceled", created=NOW + 6))
    await till.told(subscription("created", "active", created=NOW + second, id="sub_2"))
    after = await till.now()
    assert (after.status, after.payment_subscription) == ("active", "sub_2")


async def test_what_else_a_customer_buys_changes_nothing(till: Till) -> None:
    await subscribed(till)
    before = await till.now()
    for what, state in (("created", "active"), ("updated", "active"), ("deleted", "canceled")):
        other = subscription(what, state, created=NOW + 10, born=NOW + 10, price="price_shirt", id="sub_9")
        await till.told(other)
        paid = line(NOW + 10, NOW + 10 + MONTH, "price_shirt")
        assert "none of its prices" in await till.told(invoice(NOW + 10, NOW + 10 + MONTH, paid, subscription="sub_9"))
    assert await till.now() == before


@pytest.mark.parametrize("plan", ["enterprise", "selfhosted", "free"])
async def test_a_strangers_payment_takes_no_hold_of_what_works(till: Till, plan: str) -> None:
    victim = await till.other()
    async with till.store.write() as unit:
        await unit.organizations.set_plan(victim.id, plan)
    before = await till.now(victim.id)
    assert "not linked" in await till.told(checkout(victim.id, "cus_evil"))
    for event in (subscription("created", "active", customer="cus_evil"), invoice(customer="cus_evil")):
        assert await till.told(event) == WAITING
    assert await till.now(victim.id) == before
    await till.told(top_up(victim.id, "5", customer="cus_evil"))
    assert await till.now(victim.id) == replace(before, credits_remaining=5)
    meant = {"organization_id": victim.id}
    assert "linked" in await till.told(checkout(victim.id, "cus_2", metadata=meant))
    assert (await till.now(victim.id)).payment_customer == "cus_2"


async def test_who_had_a_customer_gets_another_only_by_metadata(till: Till) -> None:
    await subscribed(till)
    await till.told(subscription("updated", "unpaid", created=NOW + 1))
    assert "not linked" in await till.told(checkout(till.owner.id, "cus_evil"))
    await till.told(subscription("updated", "active", created=NOW + 2))
    assert (await till.now()).status == "active"


async def test_a_period_that_was_paid_counts_where_the_keepers_own_began_later(till: Till) -> None:
    owner = await till.other(created_at=till.clock.now() + timedelta(seconds=5) - timedelta(days=28))
    till.clock.advance(6)
    assert await PeriodKeeper(till.store, till.clock).begin_due() == 1
    named = {"metadata": {"organization_id": owner.id}}
    await till.told(subscription("created", "active", **named))
    assert f"{PRO - 100} credits" in await till.told(invoice(NOW, NOW + MONTH))
    after = await till.now(owner.id)
    assert (after.credits_remaining, after.plan_credits, after.period_paid) == (PRO, PRO, True)
    assert after.period_end == datetime.fromtimestamp(NOW + MONTH, UTC)
    assert "has begun before" in await till.told(invoice(NOW, NOW + MONTH))
    await till.told(invoice(NOW + MONTH, NOW + 2 * MONTH))
    assert (await till.now(owner.id)).credits_remaining == PRO
    assert await check(till.store) == []
