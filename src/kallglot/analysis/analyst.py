"""Makes the analyses that are asked for: rows in the store are the queue, and several processes share it.

Whoever makes one holds a lease on it, which is prolonged as long as the process lives. One that was killed is taken up
again by the process that comes after it, or by another when the lease is over; what it says is written once, with its
event.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import msgspec

from kallglot.analysis import extractive
from kallglot.analysis.extractive import Found
from kallglot.analysis.model import LONGEST_ERROR, PARTS, TEXT_PARTS, Part
from kallglot.analysis.ports import Claimed, Engine, EngineAway, EngineFailed, Queue
from kallglot.analysis.profiles import Profile
from kallglot.analysis.reader import Reader, ReadingFailed
from kallglot.clock import Clock
from kallglot.work import Observe, Work, unobserved

log = logging.getLogger(__name__)

AT_ONCE: Final = 4
ATTEMPTS: Final = 3
LEASE_S: Final = 60.0
POLL_S: Final = 5.0
AGAIN_S: Final = 15.0
"""Before the second attempt; before the third it is four times as long."""
LATEST_S: Final = 600.0
"""However long an engine wants to be left alone."""
OUR_FAULT: Final = "Something went wrong on our side."
INTERRUPTED: Final = f"It was begun {ATTEMPTS} times, and the server was interrupted each time."


@dataclass(frozen=True, slots=True)
class AnalystStats:
    """``waiting`` is of the whole store, some seconds old; the others are this process's own."""

    waiting: int = 0
    running: int = 0
    completed: int = 0
    failed: int = 0


class Analyst:
    """``owner`` names this process, also after a crash (:class:`kallglot.runner.Runner`). An ``engine`` makes
    the parts that take understanding; without one they are counted together."""

    def __init__(
        self,
        queue: Queue,
        profiles: Mapping[str, Profile],
        clock: Clock,
        owner: str,
        *,
        engine: Engine | None = None,
        reader: Reader | None = None,
        observe: Observe = unobserved,
        at_once: int = AT_ONCE,
        poll_s: float = POLL_S,
        lease_s: float = LEASE_S,
    ) -> None:
        self._queue = queue
        self._profiles = profiles
        self._clock = clock
        self._owner = owner
        self._engine = engine
        self._reader = reader or Reader()
        self._observe = observe
        self._at_once = at_once
        self._poll_s = poll_s
        self._lease_s = lease_s
        self._woken = asyncio.Event()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._waiting = self._completed = self._failed = 0
        self._away = False

    async def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._look_forever(), name="analyst"),
            asyncio.create_task(self._prolong_forever(), name="analyst's leases"),
        ]

    def wake(self) -> None:
        """There may be one to be made."""
        self._woken.set()

    async def close(self) -> None:
        """What is not done is free for the next process."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        begun = dict(self._running)
        for task in begun.values():
            task.cancel()
        await asyncio.gather(*begun.values(), return_exceptions=True)
        with contextlib.suppress(Exception):
            async with asyncio.timeout(1):
                await self._queue.give_up(self._owner, list(begun))
        if self._engine is not None:
            await self._engine.close()

    def stats(self) -> AnalystStats:
        return AnalystStats(self._waiting, len(self._running), self._completed, self._failed)

    async def _look_forever(self) -> None:
        while True:
            try:
                await self._look()
            except Exception as error:
                if not self._away:
                    log.warning("analyses wait, the store does not answer: %s", type(error).__name__, exc_info=True)
                self._away = True
            else:
                self._away = False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll_s):
                    await self._woken.wait()
            self._woken.clear()

    async def _look(self) -> None:
        room = self._at_once - len(self._running)
        if room > 0:
            now = self._clock.now()
            until = now + timedelta(seconds=self._lease_s)
            for claimed in await self._queue.claim(self._owner, now, until, room, list(self._running)):
                analysis_id = claimed.analysis.id
                task = asyncio.create_task(self._make(claimed), name=f"analysis {analysis_id}")
                self._running[analysis_id] = task
                task.add_done_callback(lambda task, analysis_id=analysis_id: self._ended(analysis_id, task))
        self._waiting = await self._queue.waiting()

    def _ended(self, analysis_id: str, task: asyncio.Task[None]) -> None:
        del self._running[analysis_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            # Its lease is still ours: it is tried again by the next look, as long as it has attempts left.
            log.error("what became of analysis %s could not be stored: %s", analysis_id, type(error).__name__)
            return
        self._woken.set()

    async def _prolong_forever(self) -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            ids = list(self._running)
            if not ids:
                continue
            until = self._clock.now() + timedelta(seconds=self._lease_s)
            try:
                ours = await self._queue.prolong(ids, self._owner, until)
            except Exception as error:
                log.warning("leases of analyses could not be prolonged: %s", type(error).__name__)
                continue
            for analysis_id in ids:
                if analysis_id not in ours and analysis_id in self._running:
                    # Deleted, or another's by now.
                    self._running[analysis_id].cancel()

    async def _make(self, claimed: Claimed) -> None:
        analysis = claimed.analysis
        began = self._clock.monotonic()
        try:
            if claimed.attempt > ATTEMPTS:
                raise EngineFailed(INTERRUPTED)
            result = await self._result(claimed)
            if result is None:
                return
        except EngineFailed as error:
            await self._fail(claimed, str(error), began)
        except (EngineAway, ReadingFailed) as error:
            words = str(error) if isinstance(error, EngineAway) else OUR_FAULT
            await self._again(claimed, words, getattr(error, "after_s", None), began)
        except Exception:
            log.exception("analysis %s could not be made", analysis.id)
            await self._again(claimed, OUR_FAULT, None, began)
        else:
            if await self._queue.complete(analysis.id, self._owner, result, self._clock.now()):
                self._completed += 1
                self._tell(claimed, "ok", began)

    async def _result(self, claimed: Claimed) -> dict[str, Any] | None:
        """None where the session is gone."""
        analysis = claimed.analysis
        profile = self._profiles.get(analysis.profile)
        if profile is None:
            raise EngineFailed(f"There is no profile {analysis.profile} any more.")
        conversation = await self._queue.conversation(analysis.session_id)
        if conversation is None:
            return None
        # A model has nothing to understand where nothing was said.
        engine = self._engine if conversation["turns"] and TEXT_PARTS & set(analysis.include) else None
        found = await self._read(conversation, analysis.include, profile, with_engine=engine is not None)
        parts = dict(found.parts)
        if engine is not None and found.pieces is not None:
            wanted: list[Part] = [part for part in analysis.include if part in TEXT_PARTS]
            agents = conversation["languages"].get("agent")
            parts.update(await engine.understand(found.pieces, wanted, profile, agents))
        name = (engine.name if engine is not None else extractive.NAME) if TEXT_PARTS & set(analysis.include) else None
        return {**{part: parts[part] for part in PARTS if part in parts}, "engine": name}

    async def _read(
        self, conversation: Mapping[str, Any], include: tuple[Part, ...], profile: Profile, *, with_engine: bool
    ) -> Found:
        here = [part for part in include if not (with_engine and part in TEXT_PARTS)]
        order = {"conversation": conversation, "parts": here, "rules": profile.rules, "pieces": with_engine}
        return await self._reader.read(msgspec.json.encode(order))

    async def _again(self, claimed: Claimed, words: str, after_s: float | None, began: float) -> None:
        if claimed.attempt >= ATTEMPTS:
            await self._fail(claimed, words, began)
            return
        wait_s = min(LATEST_S, max(AGAIN_S * 4 ** (claimed.attempt - 1), after_s or 0.0))
        until = self._clock.now() + timedelta(seconds=wait_s)
        await self._queue.postpone(claimed.analysis.id, self._owner, until)

    async def _fail(self, claimed: Claimed, words: str, began: float) -> None:
        if await self._queue.fail(claimed.analysis.id, self._owner, words[:LONGEST_ERROR], self._clock.now()):
            self._failed += 1
            self._tell(claimed, "failed", began)

    def _tell(self, claimed: Claimed, outcome: str, began: float) -> None:
        name = "extractive" if self._engine is None else "model"
        seconds = self._clock.monotonic() - began
        failed = outcome != "ok"
        self._observe(
            Work("analysis", name, outcome, self._clock.now(), seconds, failed, session_id=claimed.analysis.session_id)
        )
