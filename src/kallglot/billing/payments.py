"""What is done about what a payment provider tells: each event once, in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from kallglot.accounts import credits
from kallglot.accounts.audit import AuditEntry
from kallglot.accounts.model import Organization
from kallglot.accounts.plans import plan_named
from kallglot.billing.notices import STATUS_OF, WORKS, Notice, is_known, outdated, why_not
from kallglot.billing.periods import allowance_for
from kallglot.billing.ports import Books
from kallglot.clock import iso
from kallglot.ids import AUDIT, new_id

log = logging.getLogger(__name__)

KNOWN: Final = "known already"
WAITING: Final = "nobody knows this customer yet"
UNMAPPED: Final = "none of its prices is a plan"
ANOTHER: Final = "another subscription works; kept until its own takes over"


class Clerk:
    """Works inside one transaction of the caller's. ``plans`` says which price is which plan."""

    def __init__(self, unit: Books, provider: str, plans: Mapping[str, str], now: datetime) -> None:
        self._unit = unit
        self._provider = provider
        self._plans = plans
        self._now = now

    async def act(self, notice: Notice) -> str:
        """What became of it, in words. What nobody can act on yet is kept until its customer is known."""
        payments = self._unit.payments
        if not await payments.enter(notice, self._provider, self._now):
            return KNOWN
        if notice.customer is not None:
            # Else an event could be laid aside just while its customer becomes known.
            await payments.lock_customer(notice.customer)
        organization = await self._whose(notice)
        if organization is None:
            log.warning(
                "%s %s (%s): no organisation has customer %s", self._provider, notice.type, notice.id, notice.customer
            )
            await payments.keep_waiting(notice, WAITING)
            return WAITING
        said = [await self._link(organization, notice)]
        said.append(await self._settle(organization.id, notice))
        return "; ".join(filter(None, said))

    async def _whose(self, notice: Notice) -> Organization | None:
        """By its customer, else by what the operator wrote on it; for a checkout the other way round."""
        organizations = self._unit.organizations
        named = await organizations.lock(notice.organization_id) if notice.organization_id is not None else None
        if named is not None and notice.kind == "checkout":
            return named
        known = await organizations.by_customer(notice.customer) if notice.customer is not None else None
        return named if known is None else await organizations.lock(known.id)

    async def _link(self, organization: Organization, notice: Notice) -> str:
        """Makes the customer the organisation's, and acts on what was told of it before. A checkout's reference can be
        written by whoever pays: by that alone only an organisation that does not work, and never had a customer, gets
        one, so that nobody can switch off what works."""
        customer = notice.customer
        if customer is None or organization.payment_customer == customer:
            return ""
        if await self._unit.organizations.by_customer(customer) is not None:
            return "the customer is another organisation's"
        if organization.payment_customer is not None and organization.subscription in WORKS:
            return "the organisation has another customer with a subscription"
        if not notice.vouched:
            if not notice.subscribes:
                return ""
            if organization.payment_customer is not None or organization.status != "inactive":
                return "the customer was not linked: metadata.organization_id does not say so"
        await self._unit.organizations.link_customer(organization.id, customer)
        await self._note(organization, notice, "payment_customer.linked", customer=customer)
        for earlier in await self._unit.payments.waiting(customer):
            await self._settle(organization.id, earlier)
        return f"linked {customer}"

    async def _settle(self, organization_id: str, notice: Notice) -> str:
        organization = await self._unit.organizations.lock(organization_id)
        assert organization is not None
        match notice.kind:
            case "checkout":
                outcome = await self._checkout(organization, notice)
            case "subscription":
                outcome = await self._subscription(organization, notice)
            case "invoice":
                outcome = await self._invoice(organization, notice)
        if outcome == ANOTHER:
            await self._unit.payments.keep_waiting(notice, outcome)
        else:
            await self._unit.payments.settle(notice.id, outcome, organization_id)
        log.info("%s %s (%s): %s", self._provider, notice.type, notice.id, outcome)
        return outcome

    async def _checkout(self, organization: Organization, notice: Notice) -> str:
        if not notice.paid:
            return "no credits were paid for"
        if notice.credits is None:
            return "its metadata names no credits"
        granted = await self._unit.organizations.grant_credits(
            organization.id, notice.credits, credits.TOP_UP, notice.reference, self._now
        )
        if not granted:
            return "its credits were granted before"
        await self._note(organization, notice, "credits.granted", credits=notice.credits)
        return f"{notice.credits} credits granted"

    async def _subscription(self, organization: Organization, notice: Notice) -> str:
        assert notice.state is not None
        named, works, known = self._plan(notice), notice.state in WORKS, is_known(notice, organization)
        if known and outdated(notice, organization):
            return "something newer is known"
        if not known:
            refused = why_not(notice, organization) or (None if named is not None else UNMAPPED)
            if refused is not None:
                return refused
        plan = named if works else None
        organizations = self._unit.organizations
        made = notice.subscription_created_at
        await organizations.set_subscription(
            organization.id, notice.state, notice.subscription_id, notice.created_at, plan, made
        )
        # One that never worked here has nothing to switch off; it is known from now on, lest older news come later.
        status = STATUS_OF.get(notice.state, organization.status) if known or works else organization.status
        if organization.status == "suspended":
            status = "suspended"
        if organization.status != status:
            await organizations.set_status(organization.id, status)
        details = {"subscription": notice.state, "status": status, "plan": plan or organization.plan}
        await self._note(organization, notice, "subscription.changed", **details)
        if not known and notice.customer is not None:
            for earlier in await self._unit.payments.waiting(notice.customer):
                if earlier.kind == "invoice" and earlier.subscription_id == notice.subscription_id:
                    await self._settle(organization.id, earlier)
        return f"subscription {notice.state}"

    async def _invoice(self, organization: Organization, notice: Notice) -> str:
        period = notice.period
        if period is None or period.end <= period.start:
            return "no period of a subscription was paid"
        known = is_known(notice, organization)
        plan = self._plan(notice) or (organization.plan if known else None)
        if plan is None:
            return UNMAPPED
        if not known and notice.subscription_id is not None and organization.subscription in WORKS:
            return ANOTHER
        monthly = plan_named(plan).credits_a_month
        if monthly is None:
            return f"the plan {plan} has no allowance"
        allowance = allowance_for(monthly, period)
        organizations = self._unit.organizations
        details = {"plan": plan, "credits": allowance, "until": iso(period.end)}
        if await organizations.begin_period(organization.id, period, allowance, self._now, paid=True):
            await self._note(organization, notice, "period.begun", **details)
            return f"a period begun, {allowance} credits granted"
        granted = await organizations.pay_period(organization.id, period, allowance, self._now)
        if granted is None:
            return "its period, or a later one, has begun before"
        await self._note(organization, notice, "period.paid", **details | {"credits": granted})
        return f"the period that is on was paid, {granted} credits granted"

    def _plan(self, notice: Notice) -> str | None:
        found = next((self._plans[price] for price in notice.prices if price in self._plans), None)
        if found is None and notice.prices:
            log.warning("%s (%s): no plan for %s", notice.type, notice.id, ", ".join(notice.prices))
        return found

    async def _note(self, organization: Organization, notice: Notice, action: str, **details: Any) -> None:
        told = {"event": notice.id, **details}
        entry = AuditEntry(
            new_id(AUDIT), organization.id, self._provider, action, self._now, notice.reference[:80], told
        )
        await self._unit.audit.add(entry)
