"""Engine children and the streams they serve: a warm pool that survives the death of any of its members.

Audio that a child has not finally dealt with is kept here, a minute at most. When a child dies or stops answering, its
streams move to another with that audio, on the same timeline, so that nothing said is lost or told twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from kallglot.speech import frames
from kallglot.speech.frames import Frame, FrameReader, Kind
from kallglot.speech.types import (
    EngineError,
    Partial,
    RecognizerEvent,
    RecognizerOptions,
    Restarted,
    SpeechStarted,
    SpeechStopped,
)
from kallglot.speech.types import Final as FinalText

log = logging.getLogger(__name__)

KEEP_MS: Final = 60_000
PING_SECONDS: Final = 2.0
SILENT_SECONDS: Final = 8.0
"""A child that has said nothing for so long, pings unanswered, is taken for dead."""
START_SECONDS: Final = 60.0
BACKOFF_SECONDS: Final = (0.0, 0.0, 0.5, 1.0, 2.0, 5.0)
STABLE_SECONDS: Final = 10.0
UNSENT_BYTES: Final = 256 * 1024


class HostedStream:
    """A :class:`RecognizerStream` whose recogniser is in a child."""

    def __init__(
        self, host: EngineHost, number: int, options: RecognizerOptions, on_event: Callable[[RecognizerEvent], None]
    ) -> None:
        self.number = number
        self.options = options
        self.child: Child | None = None
        self.closed = False
        self._host = host
        self._on_event = on_event
        self._kept: deque[tuple[float, bytes]] = deque()
        """What the child has not dealt with: where it ends in ms, and the frame; the first ``_sent`` are under way."""
        self._sent = 0
        self._end_ms = 0.0
        self._kept_audio_ms = 0.0
        self._dropped_ms = 0.0
        self._draining: dict[bytes, asyncio.Future[None]] = {}
        self._tokens = 0

    @property
    def backlog_ms(self) -> int:
        return round(self._kept_audio_ms)

    @property
    def dropped_ms(self) -> int:
        return round(self._dropped_ms)

    @property
    def has_unsent(self) -> bool:
        return self._sent < len(self._kept)

    def push(self, pcm: bytes | memoryview) -> None:
        length_ms = len(pcm) / 2 * 1000 / self.options.sample_rate_hz
        self._end_ms += length_ms
        self._kept_audio_ms += length_ms
        self._keep(frames.encode(Kind.AUDIO, self.number, bytes(pcm)))
        while self._kept_audio_ms > KEEP_MS:
            self._drop_oldest()

    def skip(self, ms: int) -> None:
        self._end_ms += ms
        self._keep(frames.encode(Kind.SKIP, self.number, ms.to_bytes(8, "big")))

    def finish(self) -> None:
        self._keep(frames.encode(Kind.FINISH, self.number))

    async def drain(self) -> None:
        if self.closed:
            return
        self._tokens += 1
        token = self._tokens.to_bytes(8, "big")
        done = self._draining[token] = asyncio.get_running_loop().create_future()
        self._keep(frames.encode(Kind.DRAIN, self.number, token))
        try:
            await done
        finally:
            self._draining.pop(token, None)

    async def close(self) -> None:
        self.closed = True
        for waiting in self._draining.values():
            waiting.cancel()
        self._host.leave(self)

    # For the host

    def opening(self) -> bytes:
        """What a child is told first; everything kept is sent after it."""
        self._sent = 0
        start_ms = round(self._kept_from_ms())
        options = {
            "rate": self.options.sample_rate_hz,
            "language": self.options.language,
            "partials": self.options.partials,
            "start_ms": start_ms,
        }
        return frames.pack(Kind.OPEN, self.number, options)

    def take_unsent(self) -> bytes:
        _, frame = self._kept[self._sent]
        self._sent += 1
        return frame

    def moved(self) -> None:
        """The child behind it was replaced."""
        if not self.closed:
            self._on_event(Restarted(0))

    def receive(self, frame: Frame) -> None:
        if self.closed:
            return
        if frame.kind is Kind.COMMITTED:
            self._commit(int.from_bytes(frame.payload, "big"))
        elif frame.kind is Kind.DRAINED:
            self._drained(frame.payload)
        elif frame.kind is Kind.EVENT:
            self._on_event(_event(frames.unpack(frame)))

    def _keep(self, frame: bytes) -> None:
        if self.closed:
            return
        self._kept.append((self._end_ms, frame))
        if self.child is not None:
            self.child.wake.set()

    def _kept_from_ms(self) -> float:
        """Where the first kept audio begins."""
        if not self._kept:
            return self._end_ms
        end_ms, frame = self._kept[0]
        return end_ms - self._length_ms(frame)

    def _length_ms(self, frame: bytes) -> float:
        kind, payload = frame[4], frame[9:]
        if kind == Kind.AUDIO:
            return len(payload) / 2 * 1000 / self.options.sample_rate_hz
        return float(int.from_bytes(payload, "big")) if kind == Kind.SKIP else 0.0

    def _commit(self, ms: int) -> None:
        while self._kept and self._sent and self._kept[0][0] <= ms and not self._waits_for(self._kept[0][1]):
            _, frame = self._kept.popleft()
            self._sent -= 1
            if frame[4] == Kind.AUDIO:
                self._kept_audio_ms -= self._length_ms(frame)

        if self._kept and self._sent:
            self._trim(ms)

    def _trim(self, ms: int) -> None:
        """Cuts off the part of the first kept audio that was dealt with, so that nobody hears it twice."""
        end_ms, frame = self._kept[0]
        length = self._length_ms(frame)
        if frame[4] != Kind.AUDIO or end_ms - length >= ms:
            return
        cut = round((ms - end_ms + length) * self.options.sample_rate_hz / 1000) * 2
        rest = frames.encode(Kind.AUDIO, self.number, frame[9 + cut :])
        self._kept_audio_ms -= length - self._length_ms(rest)
        self._kept[0] = (end_ms, rest)

    def _waits_for(self, frame: bytes) -> bool:
        return frame[4] == Kind.DRAIN and frame[9:] in self._draining

    def _drained(self, token: bytes) -> None:
        waiting = self._draining.get(token)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def _drop_oldest(self) -> None:
        """The child is a minute behind, or away for as long: the oldest audio becomes a gap."""
        for index, (end_ms, frame) in enumerate(self._kept):
            if frame[4] == Kind.AUDIO:
                length = self._length_ms(frame)
                self._kept_audio_ms -= length
                if index >= self._sent:
                    self._dropped_ms += length
                gap = frames.encode(Kind.SKIP, self.number, round(length).to_bytes(8, "big"))
                self._kept[index] = (end_ms, gap)
                return
        self._kept_audio_ms = 0.0


def _event(told: list[Any]) -> RecognizerEvent:
    match told:
        case ["started", at_ms]:
            return SpeechStarted(at_ms)
        case ["stopped", at_ms]:
            return SpeechStopped(at_ms)
        case ["partial", start_ms, text, stable]:
            return Partial(text, stable, start_ms)
        case ["final", start_ms, end_ms, text, confidence]:
            return FinalText(text, start_ms, end_ms, confidence)
        case _:
            raise ValueError(f"an engine told of {told!r}")


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
        stream = HostedStream(self, self._numbers, options, on_event)
        self._place(stream)
        return stream

    def leave(self, stream: HostedStream) -> None:
        self._homeless.pop(stream.number, None)
        if stream.child is not None:
            stream.child.forget(stream)
            stream.child = None

    def _place(self, stream: HostedStream) -> None:
        ready = [child for child in self._children if child.ready]
        if not ready:
            self._homeless[stream.number] = stream
            return
        child = min(ready, key=lambda one: len(one.streams))
        stream.child = child
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
            stream.child = None
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
