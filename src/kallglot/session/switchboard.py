"""All live sessions of this process: bringing them to life, ending them, and the one clock tick they share."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from weakref import WeakValueDictionary

from kallglot import logs
from kallglot.clock import Clock
from kallglot.session import usage
from kallglot.session.leg import Leg
from kallglot.session.live import LiveSession
from kallglot.session.load import Load
from kallglot.session.model import EndReason, Session
from kallglot.session.notices import notices
from kallglot.session.ports import Engines, Recorder, SessionJournal
from kallglot.session.redaction import redaction
from kallglot.session.saturation import Saturation
from kallglot.session.timings import TurnTimes
from kallglot.session.tokens import Verdict
from kallglot.speech.used import EngineUse
from kallglot.work import Observe, Work, unobserved

log = logging.getLogger(__name__)

TICK_SECONDS: Final = 0.02
REAP_SECONDS: Final = 2.0
SHUTDOWN_DRAIN_SECONDS: Final = 5.0
MOST_WAITING: Final = 4096
"""Sessions without legs of which it is remembered what their engines did beside their turns."""


class StreamRefused(Exception):
    """No stream for this caller; ``close_code`` as the API gives it (4404, 4409, 4429, 1008)."""

    def __init__(self, close_code: int, code: str, message: str) -> None:
        super().__init__(message)
        self.close_code = close_code
        self.code = code
        self.message = message


def check_token(verdict: Verdict | None) -> None:
    """Raises :class:`StreamRefused` for everything but a good token; None where there is none."""
    if verdict is None:
        message = "A stream token is required: ?token=, Authorization: Bearer, or a parameter of the carrier's stream."
        raise StreamRefused(4401, "invalid_token", message)
    if verdict == "expired":
        raise StreamRefused(4401, "expired_token", "The stream token has expired; GET the session for a fresh one.")
    if verdict != "ok":
        raise StreamRefused(4401, "invalid_token", "The stream token is not valid for this session.")


@dataclass(frozen=True, slots=True)
class Limits:
    reconnect_seconds: float = 300.0
    idle_seconds: float = 1800.0
    max_connections: int = 16


class Switchboard:
    def __init__(
        self,
        journal: SessionJournal,
        engines: Engines,
        clock: Clock,
        limits: Limits,
        *,
        recorder: Recorder | None = None,
        observe: Callable[[TurnTimes], None] = lambda _: None,
        tell: Observe = unobserved,
        turn: Callable[[TurnTimes, datetime], None] = lambda _times, _began_at: None,
        choose: Callable[[Session], Engines] | None = None,
        saturation: Saturation | None = None,
    ) -> None:
        """``turn`` is told of each turn that is over, with the moment from which its times are counted. ``choose``
        finds the engines of a session that may have some of its own."""
        self.on_ended: Callable[[Session], Coroutine[Any, Any, None]] | None = None
        """Told of every session that has ended, when it has."""
        self._journal = journal
        self._engines = engines
        self._choose = choose
        self._clock = clock
        self._limits = limits
        self._recorder = recorder
        self._observe = observe
        self._tell = tell
        self._live: dict[str, LiveSession] = {}
        self._since: dict[str, datetime] = {}
        self._besides: dict[str, tuple[EngineUse, ...]] = {}
        """Of sessions that wait for their legs: what their engines did that no turn tells of."""
        self._runs: dict[str, asyncio.Task[None]] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._chores: set[asyncio.Task[None]] = set()
        self._turn = turn
        self._closing = False
        self.saturation = saturation or Saturation()

    @property
    def live_sessions(self) -> int:
        return len(self._live)

    @property
    def legs(self) -> int:
        return sum(live.leg_count for live in self._live.values())

    def refuses_sessions(self) -> bool:
        """Whether one more would be heard by those that there are."""
        return self.saturation.refuses_sessions(self._clock.monotonic(), len(self._live))

    def expect(self, session_id: str) -> None:
        """A session was made here: its streams come soon."""
        self.saturation.pledge(session_id, self._clock.monotonic())

    def loads(self) -> list[Load]:
        return [live.load for live in self._live.values()]

    async def start(self) -> None:
        waiting = await self._journal.orphaned(self._clock.now() + timedelta(seconds=self._limits.reconnect_seconds))
        if waiting:
            log.info("%d sessions were live when the last process ended; waiting for their legs to come back", waiting)
        self._chore(self._tick_forever())
        self._chore(self._reap_forever())

    async def close(self) -> None:
        """Says 1001 to every leg; what was said until now is transcribed, and the sessions wait for their legs."""
        self._closing = True
        lives = list(self._live.values())
        for live in lives:
            live.quiesce()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SHUTDOWN_DRAIN_SECONDS):
                await asyncio.gather(*(live.drain() for live in lives))
        for live in lives:
            live.leave(1001, "server going away")
            await self._forget(live)
        for chore in list(self._chores):
            chore.cancel()
        await asyncio.gather(*self._chores, return_exceptions=True)

    async def connect(self, session_id: str, livemode: bool, admit: Callable[[LiveSession], Leg]) -> LiveSession:
        """Attaches the leg that ``admit`` makes. Raises :class:`StreamRefused`."""
        if self._closing:
            raise StreamRefused(1001, "unavailable", "The server is going away; connect again.")
        async with self._lock(session_id):
            live = self._live.get(session_id) or await self._bring_to_life(session_id, livemode)
            if live.record.livemode != livemode:
                raise StreamRefused(4404, "session_not_found", "There is no such session.")
            if live.leg_count >= self._limits.max_connections:
                raise StreamRefused(
                    4429, "rate_limit_exceeded", f"A session has at most {self._limits.max_connections} connections."
                )
            try:
                live.attach(admit(live), notices(live.record, recorded=live.recorded))
            except BaseException:
                if not live.has_legs:
                    await self._forget(live)
                raise
            return live

    def live(self, session_id: str) -> LiveSession | None:
        return self._live.get(session_id)

    async def disconnect(self, live: LiveSession, leg: Leg) -> None:
        live.detach(leg)
        if not live.has_legs:
            self._chore(self._release(live))

    async def end(self, session: Session, reason: EndReason) -> Session:
        """Ends a session, live or not; the stored session. An ended one is returned as it is."""
        async with self._lock(session.id):
            stored = await self._journal.load(session.id)
            besides = self._besides.pop(session.id, ())
            if stored is None or stored.status == "ended":
                return stored or session
            ended_at = self._clock.now()
            live = self._live.get(session.id)
            if live is not None:
                last_connected = ended_at if live.has_legs else live.left_at
                await live.begin_ending()
                await live.drain()
                await live.keep_uses()
                besides += live.besides()
            elif stored.deadline_at is not None and stored.status != "created":
                last_connected = stored.deadline_at - timedelta(seconds=self._limits.reconnect_seconds)
            else:
                last_connected = ended_at
            if live is not None and live.record.started_at is not None:
                stored = replace(stored, started_at=live.record.started_at)
            turns = await self._journal.turns(session.id)
            used = usage.used(stored.started_at, min(last_connected, ended_at), turns)
            ended = await self._journal.ended(session.id, ended_at, reason, used, besides)
            self._session_over(ended or stored, ended_at, reason)
            if live is not None:
                live.say_ended(reason)
                await self._forget(live)
                self._besides.pop(session.id, None)
            if self._recorder is not None and stored.recording.get("enabled"):
                await self._recorder.finish(ended or stored)
            if self.on_ended is not None:
                self._chore(self.on_ended(ended or stored))
            return ended or stored

    def end_soon(self, session: Session, reason: EndReason) -> None:
        self._chore(self._end(session, reason))

    async def _end(self, session: Session, reason: EndReason) -> None:
        await self.end(session, reason)

    # Inside

    def _lock(self, session_id: str) -> asyncio.Lock:
        lock = self._locks.get(session_id)
        if lock is None:
            lock = self._locks[session_id] = asyncio.Lock()
        return lock

    async def _bring_to_life(self, session_id: str, livemode: bool) -> LiveSession:
        record = await self._journal.load(session_id)
        if record is None or record.livemode != livemode:
            raise StreamRefused(4404, "session_not_found", "There is no such session.")
        if record.status in ("ending", "ended"):
            raise StreamRefused(4409, "session_already_ended", "The session has ended.")
        if self.saturation.refuses_streams(len(self._live)):
            raise StreamRefused(1013, "overloaded", "The server is at its limit; connect again in a few seconds.")
        if record.redaction:
            # Patterns take a while to compile, and are kept then.
            await asyncio.to_thread(redaction, record.redaction)
        live = LiveSession(
            record,
            await self._journal.turns(session_id),
            journal=self._journal,
            engines=self._engines if self._choose is None else self._choose(record),
            clock=self._clock,
            reconnect_seconds=self._limits.reconnect_seconds,
            observe=lambda times: self._turn_over(live, times),
        )
        if self._recorder is not None and record.recording.get("enabled"):
            tape = await self._recorder.begin(record, partial(live.warn, "recording_failed"))
            if tape is not None:
                live.record_on(tape)
        ready = asyncio.Event()
        with logs.of_session(session_id):
            self._runs[session_id] = asyncio.create_task(live.run(ready), name=session_id)
        await ready.wait()
        self._live[session_id] = live
        self.saturation.redeem(session_id)
        self._since[session_id] = self._clock.now()
        return live

    async def _release(self, live: LiveSession) -> None:
        """The last leg is gone: finish what was said, then forget the session until somebody comes back.

        Coming back is the same path as after a crash: the journal has everything.
        """
        await live.drain()
        async with self._lock(live.record.id):
            if not live.has_legs and self._live.get(live.record.id) is live:
                await self._forget(live)

    async def _forget(self, live: LiveSession) -> None:
        self._live.pop(live.record.id, None)
        live.stop()
        run = self._runs.pop(live.record.id, None)
        if run is not None:
            await asyncio.wait([run])
            self._besides[live.record.id] = self._besides.get(live.record.id, ()) + live.besides()
            if len(self._besides) > MOST_WAITING:
                del self._besides[next(iter(self._besides))]
            now, since = self._clock.now(), self._since.pop(live.record.id, None)
            if since is not None:
                seconds = (now - since).total_seconds()
                self._tell(Work("stay", live.record.mode, "ok", now, seconds, session_id=live.record.id))

    def _session_over(self, session: Session, at: datetime, reason: EndReason) -> None:
        seconds = max(0.0, (at - session.created_at).total_seconds())
        work = Work("session", session.mode, reason, at, seconds, failed=reason == "error", session_id=session.id)
        self._tell(work)

    def _turn_over(self, live: LiveSession, times: TurnTimes) -> None:
        self._observe(times)
        self._turn(times, self._clock.now() - timedelta(milliseconds=live.now_ms()))

    def _chore(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._chores.add(task)
        task.add_done_callback(self._chore_done)

    def _chore_done(self, task: asyncio.Task[None]) -> None:
        self._chores.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a session chore failed", exc_info=task.exception())

    async def _tick_forever(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due += TICK_SECONDS
            await asyncio.sleep(max(0.0, due - loop.time()))
            late_ms = (loop.time() - due) * 1000
            self.saturation.ticked(loop.time(), late_ms, time.thread_time())
            if late_ms > 1000:
                due = loop.time()
            for live in list(self._live.values()):
                try:
                    live.tick()
                except Exception:
                    log.exception("session %s: tick failed", live.record.id)

    async def _reap_forever(self) -> None:
        while True:
            try:
                await self.reap()
            except Exception:
                log.exception("looking for overdue sessions failed")
            await asyncio.sleep(REAP_SECONDS)

    async def reap(self) -> None:
        """Ends what is due: never connected, not reconnected in time, or idle."""
        for session in await self._journal.overdue(self._clock.now()):
            live = self._live.get(session.id)
            # Somebody has come back whose coming the journal does not know of yet.
            if live is None or not live.has_legs:
                await self.end(session, "timeout")
        for live in list(self._live.values()):
            if self._clock.monotonic() - live.last_activity > self._limits.idle_seconds:
                await self.end(live.record, "timeout")
