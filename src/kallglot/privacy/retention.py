"""Takes away, every hour, what is older than organisations want it kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from kallglot.accounts.policy import Retention, retention
from kallglot.clock import Clock
from kallglot.privacy.ports import Expiry

log = logging.getLogger(__name__)

EVERY_SECONDS: Final = 3600.0
SESSIONS: Final = 10
EVENTS: Final = 200
"""At a time: a call's next turn waits no longer than it takes to delete these."""
BREATH_SECONDS: Final = 0.05
REMEMBERED: Final = timedelta(days=60)
"""For how long a machine that was switched off still learns which sessions were deleted."""


class Keeper:
    """``default`` is what holds for organisations that say nothing. Several of them, in several processes, share the
    work without harm."""

    def __init__(self, expiry: Expiry, default: Retention, clock: Clock) -> None:
        self._expiry = expiry
        self._default = default
        self._clock = clock

    async def run(self) -> None:
        while True:
            try:
                await self.look()
            except Exception:
                log.exception("what is over its time could not be taken away")
            await asyncio.sleep(EVERY_SECONDS)

    async def look(self) -> None:
        now = self._clock.now()
        for organization in await self._expiry.organizations():
            kept = retention(organization.policy, self._default)
            if kept.transcripts_days is not None:
                before = now - timedelta(days=kept.transcripts_days)
                expire = self._expiry.expire_transcripts
                await _all(lambda one=organization.id, at=before, do=expire: do(one, at, now, SESSIONS), SESSIONS)
            if kept.events_days is not None:
                before = now - timedelta(days=kept.events_days)
                drop = self._expiry.expire_events
                await _all(lambda one=organization.id, at=before, do=drop: do(one, at, EVENTS), EVENTS)
        await self._expiry.forget_removals(now - REMEMBERED)


async def _all(some: Callable[[], Awaitable[int]], most: int) -> None:
    """Until there are fewer than could have been; others get to write in between."""
    while True:
        if await some() < most:
            return
        await asyncio.sleep(BREATH_SECONDS)
