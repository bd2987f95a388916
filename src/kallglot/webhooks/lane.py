"""The way to one endpoint: its deliveries, one after the other, in the order of their events."""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from kallglot.clock import Clock
from kallglot.webhooks.client import Unreachable
from kallglot.webhooks.http1 import Answer
from kallglot.webhooks.letters import Letter
from kallglot.webhooks.model import Attempt
from kallglot.webhooks.ports import Due, Poster, Settled, Target
from kallglot.webhooks.schedule import WELL, Health, delay_after, judge
from kallglot.webhooks.signatures import signed

log = logging.getLogger(__name__)

TIMEOUT_S: Final = 30.0
LEASE_S: Final = 45.0
MARGIN_S: Final = TIMEOUT_S + 1.0
"""An attempt begins only where the lease outlasts it: no other runner brings the same meanwhile."""
BATCH: Final = 64
SLICE_S: Final = 1.5
"""So long a lane goes on for whose place others wait."""
_EXCERPT: Final = 1000
_HIDDEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufffe\uffff]+")
"""Control characters, and those that turn the direction of what stands beside them."""

Load = Callable[[str, int], Awaitable[list[tuple[Due, Letter]]]]
"""What is due to an endpoint, at most so much."""
Settle = Callable[[Settled], asyncio.Future[None]]
"""The future is done when it is durable."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What all lanes share."""

    load: Load
    settle: Settle
    client: Poster
    clock: Clock
    timeout_s: float = TIMEOUT_S


class Lane:
    """``target`` and ``lease_until`` (monotonic) are kept true from outside; ``again`` says that there is more than was
    seen, ``yields`` that others wait for its place."""

    def __init__(self, target: Target, lease_until: float, tools: Tools) -> None:
        self.target = target
        self.lease_until = lease_until
        self.again = False
        self.yields = False
        self.stopped = False
        self._began = 0.0
        self.health = Health(target.endpoint.failures, target.endpoint.failing_since, target.endpoint.resting_until)
        self._tools = tools

    def update(self, target: Target) -> None:
        if target.endpoint.url != self.target.endpoint.url:
            # Another server: what was known of the old one says nothing of it.
            self.health = WELL
        self.target = target
        self.stopped = self.stopped or not target.endpoint.enabled

    async def run(self) -> None:
        """Until nothing is due any more, or it has to stop."""
        self._began = self._tools.clock.monotonic()
        while self._may_go_on():
            self.again = False
            # One that failed is asked with one delivery whether it is back, and no other is read in vain.
            batch = await self._tools.load(self.target.endpoint.id, 1 if self.health.failures else BATCH)
            if not batch and not self.again:
                return
            # The next one is sent before this one is durable; after a crash both come again, in the same order.
            durable: list[asyncio.Future[None]] = []
            for due, letter in batch:
                if not self._may_go_on() or self._is_over() or self.health.rests(self._tools.clock.now()):
                    break
                durable.append(self._tools.settle(await self._attempt(due, letter)))
            await asyncio.gather(*durable)
            if self._is_over() or self.health.rests(self._tools.clock.now()):
                return

    def _is_over(self) -> bool:
        return self.yields and self._tools.clock.monotonic() >= self._began + SLICE_S

    def _may_go_on(self) -> bool:
        return not self.stopped and self._tools.clock.monotonic() + MARGIN_S <= self.lease_until

    async def _attempt(self, due: Due, letter: Letter) -> Settled:
        """Never raises but when it is cancelled."""
        clock, target = self._tools.clock, self.target
        url = target.endpoint.url
        began, at = clock.monotonic(), clock.now()
        answer: Answer | None = None
        error: str | None = None
        try:
            headers = signed(
                letter.body,
                target.secrets.valid(at),
                now=at,
                event_id=due.event_id,
                event_created_at=letter.created_at,
                delivery_id=due.id,
                retries=due.attempts,
            )
            answer = await self._tools.client.post(url, letter.body, headers, timeout_s=self._tools.timeout_s)
        except Unreachable as failure:
            error = str(failure)
        except Exception:
            log.exception("delivery %s could not be attempted", due.id)
            error = "The attempt failed on our side."
        status = None if answer is None else answer.status
        attempt = Attempt(
            at,
            round((clock.monotonic() - began) * 1000),
            status,
            error,
            None if answer is None else excerpt(answer.body),
        )
        now, attempts, jitter = clock.now(), due.attempts + 1, random.uniform(-1, 1)
        verdict = judge(status, {} if answer is None else answer.headers, attempts, self.health, now, jitter)
        delay = None if verdict.disable is None else delay_after(attempts, jitter)
        otherwise_at = None if delay is None else now + delay
        changed = verdict.health if verdict.health != self.health else None
        if self.target.endpoint.url == url:
            self.health = verdict.health
            self.stopped = self.stopped or verdict.disable is not None
        return Settled(
            due, url, attempt, verdict.status, verdict.next_attempt_at, changed, verdict.disable, otherwise_at
        )


def excerpt(body: bytes) -> str:
    """How an answer begins, as text that can be stored and shown anywhere."""
    return _HIDDEN.sub(" ", body[: 4 * _EXCERPT].decode("utf-8", "replace")[:_EXCERPT])
