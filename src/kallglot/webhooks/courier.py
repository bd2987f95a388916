"""Brings deliveries to their receivers: a lane for each endpoint that has something due, many at once.

A dead endpoint keeps one lane busy for one attempt, then rests; a healthy one never waits for it. What is durable is in
the store; a process that ends, however it ends, leaves nothing that another does not go on with.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter, OrderedDict
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from kallglot.clock import Clock
from kallglot.webhooks.gathering import Gathering
from kallglot.webhooks.lane import LEASE_S, MARGIN_S, TIMEOUT_S, Lane, Tools
from kallglot.webhooks.letters import Letter, Letters, letter
from kallglot.webhooks.ports import Backlog, Deliveries, Due, Poster, Settled
from kallglot.webhooks.seats import Seats
from kallglot.work import Observe, Work, unobserved

log = logging.getLogger(__name__)

LANES: Final = 256
LOADS: Final = 64
SETTLES: Final = 512
DEBOUNCE_S: Final = 0.1
"""Between two looks for endpoints that need a lane; a lane that is open looks by itself."""
GAP_S: Final = 0.01
POLL_S: Final = 1.0
COUNT_EVERY: Final = 10
"""Refreshments after which the backlog is counted, and what was stranded is looked for."""
SHUTDOWN_S: Final = 3.0
MOST_ENDED: Final = 4096


@dataclass(frozen=True, slots=True)
class CourierStats:
    """``attempts`` by what became of the delivery: delivered, pending (it comes again), failed. ``pending``,
    ``resting`` and ``oldest_due_seconds`` are of the whole store, some seconds old."""

    attempts: Mapping[str, int] = field(default_factory=dict[str, int])
    disabled: int = 0
    lanes: int = 0
    pending: int = 0
    resting: int = 0
    oldest_due_seconds: float = 0.0


class Courier:
    """``runner`` names this process, also after a crash (:class:`kallglot.runner.Runner`)."""

    def __init__(
        self,
        store: Deliveries,
        client: Poster,
        clock: Clock,
        runner: str,
        *,
        lanes: int = LANES,
        poll_s: float = POLL_S,
        timeout_s: float = TIMEOUT_S,
        observe: Observe = unobserved,
    ) -> None:
        self._store = store
        self._clock = clock
        self._runner = runner
        self._most = lanes
        self._observe = observe
        self._poll_s = poll_s
        self._letters = Letters()
        self._loading: Gathering[tuple[str, int], list[tuple[Due, Letter]]] = Gathering(
            "loading", self._load, LOADS, gap_s=GAP_S
        )
        self._settling: Gathering[Settled, None] = Gathering("settling", self._settle, SETTLES, gap_s=GAP_S)
        self._tools = Tools(self._asked, self._settling.ask, client, clock, timeout_s)
        self._lanes: dict[str, Lane] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._leases: dict[str, float] = {}
        """Until when, by the monotonic clock: also of endpoints for which nothing is due just now."""
        self._ended_last: OrderedDict[str, int] = OrderedDict()
        """Endpoints whose lane has ended, numbered in that order."""
        self._endings = 0
        self._woken = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._attempts: Counter[str] = Counter()
        self._disabled = 0
        self._backlog = Backlog()
        self._away = False

    async def start(self) -> None:
        self._loading.start()
        self._settling.start()
        self._tasks = [
            asyncio.create_task(self._look_forever(), name="courier"),
            asyncio.create_task(self._refresh_forever(), name="courier's leases"),
            asyncio.create_task(self._sweep_forever(), name="courier's broom"),
        ]

    def wake(self) -> None:
        """There may be something due."""
        self._woken.set()
        for lane in self._lanes.values():
            lane.again = True

    async def close(self) -> None:
        """Begins nothing more; attempts that are running get a moment."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        for lane in self._lanes.values():
            lane.stopped = True
        running = list(self._running.values())
        if running:
            await asyncio.wait(running, timeout=SHUTDOWN_S)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._loading.close(0)
        await self._settling.close(1)
        with contextlib.suppress(Exception):
            async with asyncio.timeout(1):
                await self._store.release(self._runner)

    def stats(self) -> CourierStats:
        oldest, now = self._backlog.oldest_due_at, self._clock.now()
        return CourierStats(
            attempts=dict(self._attempts),
            disabled=self._disabled,
            lanes=len(self._lanes),
            pending=self._backlog.pending,
            resting=self._backlog.resting,
            oldest_due_seconds=0.0 if oldest is None else max(0.0, (now - oldest).total_seconds()),
        )

    async def _look_forever(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll_s):
                    await self._woken.wait()
            self._woken.clear()
            await self._try(self._look())
            await asyncio.sleep(min(DEBOUNCE_S, self._poll_s))

    async def _refresh_forever(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            await self._try(self._refresh())

    async def _sweep_forever(self) -> None:
        """By itself: no lease runs out while a million rows are removed."""
        while True:
            await self._try(self._count())
            await asyncio.sleep(COUNT_EVERY * self._poll_s)

    async def _try(self, work: Coroutine[None, None, None]) -> None:
        """A store that is away is asked again the next time."""
        try:
            await work
        except Exception as error:
            if not self._away:
                log.warning("deliveries wait, the store does not answer: %s", type(error).__name__, exc_info=True)
            self._away = True
        else:
            self._away = False

    async def _look(self) -> None:
        """Opens a lane for each endpoint that has something due and none yet, as far as there is room."""
        now = self._clock.now()
        found = await self._store.candidates(self._runner, now, 2 * self._most)
        for one in found:
            if (lane := self._lanes.get(one.endpoint_id)) is not None:
                lane.again = True
        waiting = [one for one in found if one.endpoint_id not in self._lanes]
        # Who was served last comes last: one with a backlog is always who waits longest.
        waiting.sort(key=lambda one: self._ended_last.get(one.endpoint_id, 0))
        seats = Seats(self._most, list(self._lanes.values()))
        chosen = seats.give(waiting)
        for lane in self._lanes.values():
            lane.yields = seats.wanted(lane)
        await self._open(chosen)

    async def _open(self, endpoint_ids: Sequence[str]) -> None:
        if not endpoint_ids:
            return
        await self._prolong([one for one in endpoint_ids if not self._holds(one)])
        held = [one for one in endpoint_ids if self._holds(one)]
        for endpoint_id, target in (await self._store.targets(held)).items():
            if not target.endpoint.enabled:
                continue
            lane = self._lanes[endpoint_id] = Lane(target, self._leases[endpoint_id], self._tools)
            task = self._running[endpoint_id] = asyncio.create_task(lane.run(), name=f"lane {endpoint_id}")
            task.add_done_callback(lambda task, endpoint_id=endpoint_id: self._ended(endpoint_id, task))

    def _ended(self, endpoint_id: str, task: asyncio.Task[None]) -> None:
        lane = self._lanes.pop(endpoint_id)
        del self._running[endpoint_id]
        self._endings += 1
        self._ended_last[endpoint_id] = self._endings
        self._ended_last.move_to_end(endpoint_id)
        if len(self._ended_last) > MOST_ENDED:
            self._ended_last.popitem(last=False)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a lane broke", exc_info=error)
        elif lane.yields or lane.again:
            self._woken.set()

    def _holds(self, endpoint_id: str) -> bool:
        return self._leases.get(endpoint_id, 0.0) >= self._clock.monotonic() + (LEASE_S + MARGIN_S) / 2

    async def _prolong(self, endpoint_ids: Sequence[str]) -> None:
        if not endpoint_ids:
            return
        until = self._clock.monotonic() + LEASE_S
        now = self._clock.now()
        ours = await self._store.lease(endpoint_ids, self._runner, now, now + timedelta(seconds=LEASE_S))
        for endpoint_id in endpoint_ids:
            if endpoint_id in ours:
                self._leases[endpoint_id] = until
            else:
                # Gone, another's, or being changed by somebody: looked at again the next time.
                self._leases.pop(endpoint_id, None)

    async def _refresh(self) -> None:
        """Keeps what lanes know of their endpoints true, and their leases alive."""
        running = list(self._lanes)
        if running:
            targets = await self._store.targets(running)
            await self._prolong([one for one in running if one in targets and not self._holds(one)])
            for endpoint_id in running:
                lane, target = self._lanes.get(endpoint_id), targets.get(endpoint_id)
                if lane is None:
                    continue
                if target is None:
                    lane.stopped = True
                else:
                    lane.update(target)
                    # A lease that was not prolonged yet still runs.
                    lane.lease_until = self._leases.get(endpoint_id, lane.lease_until)
        over = self._clock.monotonic()
        self._leases = {one: until for one, until in self._leases.items() if until > over}

    async def _count(self) -> None:
        now = self._clock.now()
        while await self._store.sweep(now):
            pass
        self._backlog = await self._store.backlog(now)

    def _asked(self, endpoint_id: str, most: int) -> asyncio.Future[list[tuple[Due, Letter]]]:
        return self._loading.ask((endpoint_id, most))

    async def _load(self, asked: list[tuple[str, int]]) -> list[list[tuple[Due, Letter]]]:
        found = await self._store.due(dict(asked), self._clock.now())
        wanted = {one.event_id for some in found.values() for one in some}
        letters = {one: known for one in wanted if (known := self._letters.get(one)) is not None}
        if missing := wanted - letters.keys():
            fresh = [letter(event) for event in await self._store.events(missing)]
            self._letters.keep(fresh)
            letters |= {one.event_id: one for one in fresh}
        # An event that is deleted in between takes its deliveries with it.
        return [
            [(one, letters[one.event_id]) for one in found[endpoint_id] if one.event_id in letters]
            for endpoint_id, _ in asked
        ]

    async def _settle(self, some: list[Settled]) -> list[None]:
        disabled = await self._store.settle(some, self._runner, self._clock.now())
        for one in some:
            self._attempts[one.status] += 1
            self._observe(_work(one))
            if one.disable is not None and one.due.endpoint_id in disabled:
                self._disabled += 1
                log.warning("endpoint %s is disabled: %s", one.due.endpoint_id, one.disable)
        return [None] * len(some)


def _work(one: Settled) -> Work:
    attempt, due = one.attempt, one.due
    about: dict[str, str | int | float | bool] = {
        "kallglot.webhook_endpoint.id": due.endpoint_id,
        "kallglot.delivery.id": due.id,
        "kallglot.event.id": due.event_id,
        "kallglot.attempt": due.attempts + 1,
    }
    if attempt.status is not None:
        about["http.response.status_code"] = attempt.status
    seconds = attempt.duration_ms / 1000
    ended_at = attempt.at + timedelta(seconds=seconds)
    failed = one.status != "delivered"
    return Work("webhook_attempt", "attempt", one.status, ended_at, seconds, failed=failed, about=about)
