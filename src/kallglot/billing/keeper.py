"""Begins the periods of organisations whose plan grants credits and that no payment provider bills."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

from kallglot.accounts.audit import SYSTEM, AuditEntry
from kallglot.accounts.plans import plan_named, with_allowance
from kallglot.billing.notices import ENDED
from kallglot.billing.periods import period_at
from kallglot.billing.ports import AccountBooks
from kallglot.clock import Clock, iso
from kallglot.ids import AUDIT, new_id

log = logging.getLogger(__name__)

INTERVAL_SECONDS: Final = 60.0


class BooksStore(Protocol):
    def read(self) -> AbstractAsyncContextManager[AccountBooks]: ...

    def write(self) -> AbstractAsyncContextManager[AccountBooks]: ...


class PeriodKeeper:
    """Any number of processes may run one: a period begins once, under the lock of its organisation's row."""

    def __init__(self, store: BooksStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def run(self) -> None:
        while True:
            try:
                await self.begin_due()
            except Exception as error:
                log.warning("periods were not begun: %s", type(error).__name__)
            await asyncio.sleep(INTERVAL_SECONDS)

    async def begin_due(self) -> int:
        """How many periods were begun. One whose end was missed, with the server off, is passed over: the next one to
        begin is the one that is on."""
        begun, after = 0, ""
        while True:
            now = self._clock.now()
            async with self._store.read() as unit:
                found = await unit.organizations.due(with_allowance(), now, after=after)
            if not found:
                return begun
            for organization in found:
                after = organization.id
                try:
                    begun += await self._begin(organization.id)
                except Exception as error:
                    log.warning("the period of %s was not begun: %s", organization.id, type(error).__name__)

    async def _begin(self, organization_id: str) -> bool:
        now = self._clock.now()
        async with self._store.write() as unit:
            organization = await unit.organizations.lock(organization_id)
            if organization is None or organization.status != "active":
                return False
            if organization.subscription not in (None, *ENDED):
                return False
            allowance = plan_named(organization.plan).credits_a_month
            if allowance is None:
                return False
            period = period_at(organization.created_at, now)
            if not await unit.organizations.begin_period(organization_id, period, allowance, now):
                return False
            details = {"plan": organization.plan, "credits": allowance, "until": iso(period.end)}
            entry = AuditEntry(new_id(AUDIT), organization_id, SYSTEM, "period.begun", now, None, details)
            await unit.audit.add(entry)
        return True
