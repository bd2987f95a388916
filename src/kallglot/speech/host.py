"""Engine children and the streams they serve: a warm pool that survives the death of any of its members.

When a child dies or stops answering, its streams move to another together with the audio that it had not finally dealt
with, on the same timeline, so that nothing said is lost or told twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from kallglot.speech import frames
from kallglot.speech.frames import FrameReader, Kind
from kallglot.speech.hosted import HostedStream
from kallglot.speech.types import EngineError, Processes, RecognizerEvent, RecognizerOptions

log = logging.getLogger(__name__)

PING_SECONDS: Final = 2.0
SILENT_SECONDS: Final = 8.0
"""A child that has said nothing for so long, pings unanswered, is taken for dead."""
START_SECONDS: Final = 60.0
BACKOFF_SECONDS: Final = (0.0, 0.0, 0.5, 1.0, 2.0, 5.0)
HOPELESS_SECONDS: Final = 30.0
STILLBORN_AT_START: Final = 2
"""So many children that ended before any was ready, or one of each place in the pool: the others will too."""
STILLBORN: Final = 5
"""So many in a row later on: the streams are not kept waiting any longer. It is tried again all the same."""
STABLE_SECONDS: Final = 10.0
GATHER_SECONDS: Final = 0.008
"""Frames of many streams that come within it go to a child in one write."""
WRITE_BYTES: Final = 32 * 1024
LAST_WORDS: Final = 500
"""Characters of what a child said before it ended that an error quotes."""
LAST_WORDS_SECONDS: Final = 1.0


class Child:
    """One process and the pipes to it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.streams: dict[int, HostedStream] = {}
        self.ready = False
        self.heard = False
        """Since the last look."""
        self.last_words = ""
        self._opened: set[int] = set()
        self._eager: dict[int, HostedStream] = {}
        self._wake = asyncio.Event()

    def notify(self, stream: HostedStream) -> None:
        """The stream may have something to send."""
        self._eager[stream.number] = stream
        self._wake.set()

    async def write_forever(self) -> None:
        stdin = self.process.stdin
        assert stdin is not None
        while True:
            await self._wake.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._wake.clear()
            while self._eager:
                stdin.write(self._gather())
                await stdin.drain()

    def _gather(self) -> bytes:
        """At most ``WRITE_BYTES`` and a frame, of one stream after the other."""
        out = bytearray()
        while self._eager and len(out) < WRITE_BYTES:
            number, stream = next(iter(self._eager.items()))
            del self._eager[number]
            if stream.child is not self:
                continue
            if number not in self._opened:
                self._opened.add(number)
                out += stream.opening()
            while (frame := stream.backlog.take()) is not None:
                out += frame
                if len(out) >= WRITE_BYTES:
                    self._eager[number] = stream
                    break
        return bytes(out)

    def forget(self, stream: HostedStream) -> None:
        self._eager.pop(stream.number, None)
        if self.streams.pop(stream.number, None) is not None and stream.number in self._opened:
            self._opened.discard(stream.number)
            self.send(frames.encode(Kind.CLOSE, stream.number))

    def send(self, data: bytes) -> None:
        stdin = self.process.stdin
        if stdin is not None and not stdin.is_closing():
            stdin.write(data)


class EngineHost:
    """``command`` is what runs a child, given to Python; there are ``processes`` of it, started ahead of need."""

    def __init__(self, command: Sequence[str], processes: int, *, silent_seconds: float = SILENT_SECONDS) -> None:
        self._command = [sys.executable, *command]
        self._count = processes
        self._silent_seconds = silent_seconds
        self._children: list[Child] = []
        self._streams: dict[int, HostedStream] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._numbers = 0
        self._any_ready = asyncio.Event()
        self._hopeless = asyncio.Event()
        self._stillborn = 0
        self._trouble = ""
        self._closing = False
        self.restarts = 0
        """Children that ended and were replaced."""

    @property
    def processes(self) -> Processes:
        waiting_ms = sum(stream.backlog_ms for stream in self._streams.values())
        running = sum(1 for child in self._children if child.ready)
        return Processes(self._count, running, self.restarts, len(self._streams), waiting_ms)

    @property
    def pids(self) -> list[int]:
        return [child.process.pid for child in self._children]

    @property
    def ready(self) -> bool:
        return any(child.ready for child in self._children)

    async def start(self) -> None:
        """Starts the pool and waits for its first member. Raises :class:`EngineError` when none comes up: what the
        children said when they ended, if they did."""
        self._closing = False
        self._stillborn = 0
        self._any_ready.clear()
        self._hopeless.clear()
        self._keepers = [asyncio.create_task(self._keep_one(), name="engine-child") for _ in range(self._count)]
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._ready_or_hopeless()
            if not self._any_ready.is_set():
                raise EngineError(f"the engine process does not start: {self._trouble}", passing=False)
        except TimeoutError:
            await self.close()
            raise EngineError("the engine process did not start in time") from None
        except BaseException:
            await self.close()
            raise

    async def _ready_or_hopeless(self) -> None:
        waits = [asyncio.create_task(event.wait()) for event in (self._any_ready, self._hopeless)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def close(self) -> None:
        self._closing = True
        for stream in self._streams.values():
            stream.shut()
        self._streams.clear()
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        self._keepers.clear()

    def open(
        self,
        options: RecognizerOptions,
        on_event: Callable[[RecognizerEvent], None],
        *,
        among: Sequence[str] = (),
    ) -> HostedStream:
        """``among`` are languages for an engine that is asked which it hears. Raises :class:`EngineError`."""
        if self._closing:
            raise EngineError("the recogniser is shutting down")
        if self._stillborn >= STILLBORN and not self.ready:
            raise EngineError(f"the engine process does not start: {self._trouble}")
        self._numbers += 1
        stream = HostedStream(self._numbers, options, on_event, self._leave, among)
        self._streams[self._numbers] = stream
        self._place(stream)
        return stream

    def _leave(self, stream: HostedStream) -> None:
        self._streams.pop(stream.number, None)
        for child in self._children:
            child.forget(stream)
        stream.child = None

    def _place(self, stream: HostedStream) -> None:
        """With the least busy child; without any it waits for the next that gets ready."""
        ready = [child for child in self._children if child.ready]
        if ready:
            child = min(ready, key=lambda one: len(one.streams))
            child.streams[stream.number] = stream
            stream.adopted(child)

    async def _keep_one(self) -> None:
        """Runs one child after the other."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            pause = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)]
            await asyncio.sleep(HOPELESS_SECONDS if self._stillborn >= STILLBORN else pause)
            begun = loop.time()
            try:
                await self._run_one()
            except OSError as error:
                log.error("an engine process cannot be started: %s", error)
            failures = 0 if loop.time() - begun > STABLE_SECONDS else failures + 1

    async def _run_one(self) -> None:
        pipe = asyncio.subprocess.PIPE
        # In a session of its own a terminal's ^C does not reach it; it ends when its stdin does.
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
        )
        child = Child(process)
        self._children.append(child)
        listening = asyncio.create_task(_log_errors(child))
        tasks = [asyncio.create_task(work) for work in (self._read(child), child.write_forever(), self._watch(child))]
        was_ready = False
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            was_ready, child.ready = child.ready, False
            self._children.remove(child)
            for task in tasks:
                task.cancel()
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await asyncio.shield(process.wait())
            if not self._closing:
                await asyncio.wait([listening], timeout=LAST_WORDS_SECONDS)
            listening.cancel()
            await asyncio.gather(*tasks, listening, return_exceptions=True)
            _close_pipes(process)
            if not self._closing:
                self.restarts += 1
                log.warning("engine process %d ended (%s); replacing it", process.pid, process.returncode)
            for stream in list(child.streams.values()):
                stream.orphaned()
                self._place(stream)
        if not was_ready:
            self._miscarried(child)

    def _miscarried(self, child: Child) -> None:
        self._stillborn += 1
        said = [line.strip() for line in child.last_words.splitlines() if line.strip()]
        self._trouble = said[-1][-LAST_WORDS:] if said else f"it ended with {child.process.returncode}"
        if self._stillborn >= max(STILLBORN_AT_START, self._count):
            self._hopeless.set()
        if self._stillborn >= STILLBORN and not self.ready:
            for stream in list(self._streams.values()):
                stream.failed(f"the engine process does not start: {self._trouble}")

    async def _read(self, child: Child) -> None:
        stdout = child.process.stdout
        assert stdout is not None
        reader = FrameReader()
        while data := await stdout.read(1 << 16):
            child.heard = True
            for frame in reader.feed(data):
                if frame.kind is Kind.READY:
                    self._settle_in(child)
                elif (stream := child.streams.get(frame.stream)) is not None:
                    stream.receive(frame)

    def _settle_in(self, child: Child) -> None:
        child.ready = True
        self._stillborn = 0
        self._any_ready.set()
        for stream in list(self._streams.values()):
            if stream.child is None:
                self._place(stream)

    async def _watch(self, child: Child) -> None:
        """Returns when the child has not answered for too long.

        Counted in looks, not by the clock: a parent that was itself held up must not blame the child."""
        interval = min(PING_SECONDS, self._silent_seconds / 4)
        missed = 0
        while missed * interval < (self._silent_seconds if child.ready else START_SECONDS):
            child.send(frames.encode(Kind.PING))
            await asyncio.sleep(interval)
            missed = 0 if child.heard else missed + 1
            child.heard = False
        log.warning("engine process %d does not answer", child.process.pid)


async def _log_errors(child: Child) -> None:
    process = child.process
    assert process.stderr is not None
    while said := await process.stderr.read(4096):
        text = said.decode(errors="replace")
        child.last_words = (child.last_words + text)[-4 * LAST_WORDS :]
        log.warning("engine process %d: %s", process.pid, text.rstrip())


def _close_pipes(process: asyncio.subprocess.Process) -> None:
    transport: Any = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()
