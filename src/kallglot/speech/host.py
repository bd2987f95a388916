"""Engine children and the streams they serve: a warm pool that survives the death of any of its members.

Audio that a child has not finally dealt with is kept here, a minute at most. When a child dies or stops answering, its
streams move to another with that audio, on the same timeline, so that nothing said is lost or told twice.
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
from kallglot.speech.types import EngineError, RecognizerEvent, RecognizerOptions

log = logging.getLogger(__name__)

PING_SECONDS: Final = 2.0
SILENT_SECONDS: Final = 8.0
"""A child that has said nothing for so long, pings unanswered, is taken for dead."""
START_SECONDS: Final = 60.0
BACKOFF_SECONDS: Final = (0.0, 0.0, 0.5, 1.0, 2.0, 5.0)
STABLE_SECONDS: Final = 10.0
UNSENT_BYTES: Final = 256 * 1024


class Child:
    """One process and the pipes to it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.streams: dict[int, HostedStream] = {}
        self.wake = asyncio.Event()
        self.ready = False
        self.heard_at = asyncio.get_running_loop().time()
        self.pinged_at = self.heard_at
        self.opened: set[int] = set()

    async def write_forever(self) -> None:
        stdin = self.process.stdin
        assert stdin is not None
        while True:
            await self.wake.wait()
            self.wake.clear()
            for stream in list(self.streams.values()):
                if stream.number not in self.opened:
                    self.opened.add(stream.number)
                    stdin.write(stream.opening())
                written = 0
                while stream.has_unsent and written < UNSENT_BYTES // 8:
                    frame = stream.take_unsent()
                    stdin.write(frame)
                    written += len(frame)
                if stream.has_unsent:
                    self.wake.set()
            await stdin.drain()

    def forget(self, stream: HostedStream) -> None:
        if self.streams.pop(stream.number, None) is not None and stream.number in self.opened:
            self.opened.discard(stream.number)
            self.send(frames.encode(Kind.CLOSE, stream.number))

    def send(self, data: bytes) -> None:
        stdin = self.process.stdin
        if stdin is not None and not stdin.is_closing():
            stdin.write(data)


class EngineHost:
    """``command`` is what runs a child; there are ``processes`` of it, started ahead of need."""

    def __init__(self, command: Sequence[str], processes: int, *, silent_seconds: float = SILENT_SECONDS) -> None:
        self._command = [sys.executable, *command]
        self._count = processes
        self._silent_seconds = silent_seconds
        self._children: list[Child] = []
        self._homeless: dict[int, HostedStream] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._numbers = 0
        self._any_ready = asyncio.Event()
        self._closing = False

    @property
    def pids(self) -> list[int]:
        return [child.process.pid for child in self._children]

    @property
    def ready(self) -> bool:
        return any(child.ready for child in self._children)

    async def start(self) -> None:
        """Starts the pool and waits for its first member. Raises :class:`EngineError` when none comes up."""
        self._keepers = [asyncio.create_task(self._keep_one(), name="engine-child") for _ in range(self._count)]
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._any_ready.wait()
        except TimeoutError:
            await self.close()
            raise EngineError("the recognition process did not start") from None

    async def close(self) -> None:
        self._closing = True
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        self._keepers.clear()

    def open(self, options: RecognizerOptions, on_event: Callable[[RecognizerEvent], None]) -> HostedStream:
        if self._closing:
            raise EngineError("the recogniser is shutting down")
        self._numbers += 1
        stream = HostedStream(self._numbers, options, on_event, self.leave)
        self._place(stream)
        return stream

    def leave(self, stream: HostedStream) -> None:
        self._homeless.pop(stream.number, None)
        stream.wake = None
        for child in self._children:
            child.forget(stream)

    def _place(self, stream: HostedStream) -> None:
        ready = [child for child in self._children if child.ready]
        if not ready:
            self._homeless[stream.number] = stream
            return
        child = min(ready, key=lambda one: len(one.streams))
        stream.wake = child.wake
        child.streams[stream.number] = stream
        child.wake.set()

    async def _keep_one(self) -> None:
        """Runs one child after the other."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            await asyncio.sleep(BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)])
            begun = loop.time()
            try:
                await self._run_one()
            except OSError as error:
                log.error("an engine process cannot be started: %s", error)
            failures = 0 if loop.time() - begun > STABLE_SECONDS else failures + 1

    async def _run_one(self) -> None:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*self._command, stdin=pipe, stdout=pipe, stderr=pipe)
        child = Child(process)
        self._children.append(child)
        tasks = [
            asyncio.create_task(work)
            for work in (self._read(child), child.write_forever(), self._watch(child), _log_errors(process))
        ]
        try:
            await asyncio.wait(tasks[:3], return_when=asyncio.FIRST_COMPLETED)
        finally:
            child.ready = False
            self._children.remove(child)
            for task in tasks:
                task.cancel()
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await asyncio.shield(process.wait())
            await asyncio.gather(*tasks, return_exceptions=True)
            _close_pipes(process)
            if not self._closing:
                log.warning("engine process %d ended (%s); replacing it", process.pid, process.returncode)
                self._rehouse(child)

    def _rehouse(self, child: Child) -> None:
        for stream in list(child.streams.values()):
            stream.wake = None
            self._place(stream)
            stream.moved()

    async def _read(self, child: Child) -> None:
        stdout = child.process.stdout
        assert stdout is not None
        reader = FrameReader()
        loop = asyncio.get_running_loop()
        while data := await stdout.read(1 << 16):
            child.heard_at = loop.time()
            for frame in reader.feed(data):
                if frame.kind is Kind.READY:
                    self._settle_in(child)
                elif (stream := child.streams.get(frame.stream)) is not None:
                    try:
                        stream.receive(frame)
                    except Exception:
                        log.exception("an event of a recogniser could not be handled")

    def _settle_in(self, child: Child) -> None:
        child.ready = True
        self._any_ready.set()
        homeless, self._homeless = list(self._homeless.values()), {}
        for stream in homeless:
            self._place(stream)

    async def _watch(self, child: Child) -> None:
        """Returns when the child has not answered for too long."""
        loop = asyncio.get_running_loop()
        interval = min(PING_SECONDS, self._silent_seconds / 4)
        while True:
            await asyncio.sleep(interval)
            patience = self._silent_seconds if child.ready else START_SECONDS
            if loop.time() - child.heard_at > patience:
                log.warning("engine process %d does not answer", child.process.pid)
                return
            child.send(frames.encode(Kind.PING))


async def _log_errors(process: asyncio.subprocess.Process) -> None:
    assert process.stderr is not None
    while line := await process.stderr.readline():
        log.debug("engine process %d: %s", process.pid, line.decode(errors="replace").rstrip())


def _close_pipes(process: asyncio.subprocess.Process) -> None:
    transport: Any = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()
