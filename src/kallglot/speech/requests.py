"""Child processes that answer requests: each gets one answer, from whichever child is free.

A child that dies or stops answering is replaced, and what it had is asked again: what it was working on a second time
and then alone, so that one text that kills it takes no other down with it; after that it fails in words. A child that
cannot get ready says why, and is not started over and over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from kallglot.speech import frames
from kallglot.speech.frames import Frame, FrameReader, Kind
from kallglot.speech.types import EngineError, Processes

log = logging.getLogger(__name__)

PING_SECONDS: Final = 2.0
SILENT_SECONDS: Final = 8.0
"""A child that has said nothing for so long, pings unanswered, is taken for dead."""
BACKOFF_SECONDS: Final = (0.0, 0.0, 0.5, 1.0, 2.0, 5.0)
STABLE_SECONDS: Final = 10.0
GIVE_UP: Final = 3
"""Children that one after another did not get ready: from then on requests fail at once, and only once in
``HOPELESS_SECONDS`` another is tried."""
HOPELESS_SECONDS: Final = 60.0
STRIKES: Final = 2
"""Children that may die over a request."""
_LAST_WORDS: Final = 300


@dataclass(slots=True, eq=False)
class _Request:
    number: int
    payload: Any
    seconds: float
    """What it may take in all."""
    answer: asyncio.Future[Any]
    child: _Child | None = None
    begun: bool = False
    strikes: int = 0

    def fail(self, error: EngineError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class _Child:
    """One process, and the requests that it was given."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.requests: dict[int, _Request] = {}
        self.ready = False
        self.heard = False
        """Since the last look."""
        self.begun: dict[int, float] = {}
        """What it works on, also for nobody any more, with the seconds that it may take."""
        self.stalled = 0.0
        """Seconds since it last got done with anything, while it has something begun."""
        self.reason: str | None = None
        """Why it cannot get ready, by its own account, or what it was ended for."""
        self.said = ""
        """The end of what it wrote to its standard error."""

    def send(self, data: bytes) -> None:
        stdin = self.process.stdin
        if stdin is not None and not stdin.is_closing():
            stdin.write(data)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    def last_words(self) -> str:
        lines = [line.strip() for line in self.said.splitlines() if line.strip()]
        code = self.process.returncode
        ended = f"it ended by signal {-code}" if code is not None and code < 0 else f"it ended with status {code}"
        return self.reason or (f"{ended}: {lines[-1]}" if lines else ended)


class RequestPool:
    """``command`` is what runs a child, given to Python; there are ``processes`` of it, started ahead of need.

    A child has at most ``window`` requests at once, and at most ``waiting`` wait for one; ``answer_seconds`` is what a
    request may take in all. ``label`` begins the words of every error.
    """

    def __init__(
        self,
        label: str,
        command: Sequence[str],
        processes: int = 1,
        *,
        window: int,
        waiting: int,
        answer_seconds: float,
        start_seconds: float = 60.0,
        silent_seconds: float = SILENT_SECONDS,
    ) -> None:
        self._label = label
        self._command = [sys.executable, *command]
        self._count = processes
        self._window = window
        self._most_waiting = waiting
        self._answer_seconds = answer_seconds
        self._start_seconds = start_seconds
        self._silent_seconds = silent_seconds
        self._children: list[_Child] = []
        self._waiting: deque[_Request] = deque()
        self._keepers: list[asyncio.Task[None]] = []
        self._numbers = 0
        self._failed_starts = 0
        self._trouble: str | None = "not started"
        self._first: asyncio.Future[Any] | None = None
        self.restarts = 0
        """Children that ended and were replaced."""

    @property
    def processes(self) -> Processes:
        running = sum(1 for child in self._children if child.ready)
        under_way = len(self._waiting) + sum(len(child.requests) for child in self._children)
        return Processes(self._count, running, self.restarts, under_way, 0)

    @property
    def healthy(self) -> bool:
        """False where it was not started, was closed, or is given up: a child that is being replaced is no trouble."""
        return self._trouble is None

    @property
    def pids(self) -> list[int]:
        return [child.process.pid for child in self._children]

    async def start(self) -> Any:
        """Starts the children and waits for the first; returns what it tells of itself. Raises :class:`EngineError`
        when it does not get ready, with what it said."""
        self._trouble = None
        self._failed_starts = 0
        self._first = asyncio.get_running_loop().create_future()
        self._keepers = [asyncio.create_task(self._keep_one(), name=self._label) for _ in range(self._count)]
        try:
            async with asyncio.timeout(self._start_seconds):
                return await self._first
        except TimeoutError:
            await self.close()
            raise EngineError(f"{self._label}: not ready within {self._start_seconds:g} s") from None
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Ends the children; what still waits fails."""
        self._trouble = "closed"
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        self._keepers.clear()
        self._fail_all(EngineError(f"{self._label}: closed"))

    async def ask(self, payload: Any, *, within_s: float | None = None) -> Any:
        """The answer to one request. Raises :class:`EngineError`. Who is cancelled here holds up nobody else."""
        if self._trouble is not None:
            raise EngineError(f"{self._label}: {self._trouble}")
        if len(self._waiting) >= self._most_waiting:
            raise EngineError(f"{self._label}: busy, {len(self._waiting)} texts are waiting")
        self._numbers = self._numbers % 0xFFFFFFFF + 1
        seconds = self._answer_seconds if within_s is None else within_s
        request = _Request(self._numbers, payload, seconds, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        self._hand_out()
        try:
            async with asyncio.timeout(seconds):
                return await request.answer
        except TimeoutError:
            raise EngineError(f"{self._label}: no answer within {seconds:g} s") from None
        finally:
            self._withdraw(request)

    def _withdraw(self, request: _Request) -> None:
        """Nobody waits for it any more."""
        with contextlib.suppress(ValueError):
            self._waiting.remove(request)
        child = request.child
        if child is not None and child.requests.pop(request.number, None) is not None:
            child.send(frames.encode(Kind.CANCEL, request.number))
            self._hand_out()

    def _hand_out(self) -> None:
        """To the least busy child first."""
        while self._waiting:
            free = [child for child in self._children if child.ready and len(child.requests) < self._window]
            if not free:
                return
            child = min(free, key=lambda one: len(one.requests))
            request = self._waiting.popleft()
            request.child, request.begun = child, False
            child.requests[request.number] = request
            child.send(frames.pack(Kind.REQUEST, request.number, [request.strikes > 0, request.payload]))

    def _fail_all(self, error: EngineError) -> None:
        waiting, self._waiting = self._waiting, deque()
        for request in waiting:
            request.fail(error)

    async def _keep_one(self) -> None:
        """Runs one child after the other."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            pause = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)]
            await asyncio.sleep(HOPELESS_SECONDS if self._trouble is not None else pause)
            begun = loop.time()
            try:
                ready, reason = await self._run_one()
            except OSError as error:
                ready, reason = False, f"the process cannot be started: {error.strerror or error}"
            if not ready:
                self._did_not_start(reason)
            failures = 0 if ready and loop.time() - begun > STABLE_SECONDS else failures + 1

    async def _run_one(self) -> tuple[bool, str]:
        """Whether it got ready, and why it ended."""
        pipe = asyncio.subprocess.PIPE
        # In a session of its own a terminal's ^C does not reach it; it ends when its stdin does.
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
        )
        child = _Child(process)
        self._children.append(child)
        tasks = [asyncio.create_task(work) for work in (self._read(child), self._watch(child))]
        errors = asyncio.create_task(self._log_errors(child))
        was_ready = False
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            was_ready = child.ready
        finally:
            child.ready = False
            self._children.remove(child)
            for task in tasks:
                task.cancel()
            child.kill()
            await asyncio.shield(process.wait())
            await asyncio.wait([errors], timeout=1)
            errors.cancel()
            for outcome in await asyncio.gather(*tasks, errors, return_exceptions=True):
                if isinstance(outcome, Exception):
                    log.error("%s: process %d: %r", self._label, process.pid, outcome)
            _close_pipes(process)
            self._take_back(child)
        self.restarts += 1
        log.warning("%s: process %d: %s; replacing it", self._label, process.pid, child.last_words())
        return was_ready, child.last_words()

    def _take_back(self, child: _Child) -> None:
        """What a child had when it ended is asked again, before everything else, but not for ever."""
        left = [request for request in child.requests.values() if not request.answer.done()]
        child.requests.clear()
        for request in reversed(left):
            request.strikes += request.begun
            request.child, request.begun = None, False
            if request.strikes >= STRIKES:
                request.fail(EngineError(f"{self._label}: the process ended over this, {STRIKES} times"))
            else:
                self._waiting.appendleft(request)
        self._hand_out()

    def _did_not_start(self, reason: str) -> None:
        self._failed_starts += 1
        first = self._first
        if first is not None and not first.done():
            first.set_exception(EngineError(f"{self._label}: {reason}"))
        if self._failed_starts >= GIVE_UP and not any(child.ready for child in self._children):
            if self._trouble is None:
                log.error("%s: given up after %d attempts: %s", self._label, self._failed_starts, reason)
            self._trouble = reason
            self._fail_all(EngineError(f"{self._label}: {reason}"))

    async def _read(self, child: _Child) -> None:
        stdout = child.process.stdout
        assert stdout is not None
        reader = FrameReader()
        while data := await stdout.read(1 << 16):
            child.heard = True
            for frame in reader.feed(data):
                self._hear(child, frame)

    def _hear(self, child: _Child, frame: Frame) -> None:
        match frame.kind:
            case Kind.READY:
                child.ready = True
                self._failed_starts = 0
                self._trouble = None
                if self._first is not None and not self._first.done():
                    self._first.set_result(frames.unpack(frame))
                self._hand_out()
            case Kind.FAILED if frame.stream == 0:
                child.reason = str(frames.unpack(frame))
            case Kind.BEGUN:
                request = child.requests.get(frame.stream)
                child.begun[frame.stream] = request.seconds if request is not None else self._answer_seconds
                if request is not None:
                    request.begun = True
            case Kind.ANSWER | Kind.FAILED:
                child.begun.pop(frame.stream, None)
                child.stalled = 0.0
                request = child.requests.pop(frame.stream, None)
                if request is not None:
                    if frame.kind is Kind.FAILED:
                        request.fail(EngineError(f"{self._label}: {frames.unpack(frame)}"))
                    elif not request.answer.done():
                        request.answer.set_result(frames.unpack(frame))
                self._hand_out()
            case _:
                pass

    async def _watch(self, child: _Child) -> None:
        """Returns when the child has not answered for too long, or works twice as long on something as it may.

        Counted in looks, not by the clock: a parent that was itself held up must not blame the child."""
        interval = min(PING_SECONDS, self._silent_seconds / 4)
        missed = 0
        while missed * interval < (self._silent_seconds if child.ready else self._start_seconds):
            child.send(frames.encode(Kind.PING))
            await asyncio.sleep(interval)
            missed = 0 if child.heard else missed + 1
            child.heard = False
            child.stalled = child.stalled + interval if child.begun else 0.0
            if child.begun and child.stalled > 2 * max(child.begun.values()):
                child.reason = "it did not get done"
                return
        child.reason = "it did not answer any more"

    async def _log_errors(self, child: _Child) -> None:
        assert child.process.stderr is not None
        while said := await child.process.stderr.read(4096):
            text = said.decode(errors="replace")
            child.said = (child.said + text)[-_LAST_WORDS:]
            log.warning("%s: process %d: %s", self._label, child.process.pid, text.rstrip())


def _close_pipes(process: asyncio.subprocess.Process) -> None:
    transport: Any = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()
