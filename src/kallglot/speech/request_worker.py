"""The child's side of :mod:`kallglot.speech.requests`: requests are read at all times, and worked on by one thread."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Protocol

from kallglot.speech import frames
from kallglot.speech.frames import Frame, FrameReader, Kind

GATHER_SECONDS: Final = 0.003
"""Requests of many sessions that come within it are seen together."""


class Refused(Exception):
    """A request cannot be answered, in words; the others can."""


@dataclass(slots=True, eq=False)
class Job:
    number: int
    payload: Any
    alone: bool = False
    """A child has died over it: nothing else is risked with it."""
    cancelled: bool = False
    """Nobody waits for the answer any more; set while the work may be going on."""


class Work(Protocol):
    """What a child does."""

    def about(self) -> Any:
        """What it tells of itself when it is ready."""
        ...

    def choose(self, waiting: Sequence[Job]) -> list[Job]:
        """Which of them are done next, together: at least one. They are in order of arrival."""
        ...

    def perform(self, jobs: Sequence[Job]) -> list[Any]:
        """An answer for each, or an exception for one that fails by itself. Runs in a thread."""
        ...


class Worker:
    def __init__(self, work: Work, out: int) -> None:
        self._work = work
        self._out = out
        self._waiting: dict[int, Job] = {}
        self._doing: dict[int, Job] = {}
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1)

    async def run(self, reader: asyncio.StreamReader) -> None:
        """Until the parent has closed the pipe."""
        self._send(frames.pack(Kind.READY, 0, self._work.about()))
        working = asyncio.create_task(self._work_on())
        framing = FrameReader()
        reading = asyncio.create_task(reader.read(1 << 16))
        while True:
            await asyncio.wait([reading, working], return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
            data = reading.result()
            if not data:
                break
            for frame in framing.feed(data):
                self._hear(frame)
            reading = asyncio.create_task(reader.read(1 << 16))
        working.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _hear(self, frame: Frame) -> None:
        match frame.kind:
            case Kind.PING:
                self._send(frames.encode(Kind.PONG))
            case Kind.REQUEST:
                alone, payload = frames.unpack(frame)
                self._waiting[frame.stream] = Job(frame.stream, payload, alone)
                self._arrived.set()
            case Kind.CANCEL:
                self._waiting.pop(frame.stream, None)
                job = self._doing.get(frame.stream)
                if job is not None:
                    job.cancelled = True
            case _:
                pass

    async def _work_on(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._arrived.clear()
            while self._waiting:
                jobs = self._next()
                # Said before the work: a child that dies of it has said of what.
                self._send(b"".join(frames.encode(Kind.BEGUN, job.number) for job in jobs))
                answers: Sequence[Any]
                try:
                    answers = await loop.run_in_executor(self._thread, self._work.perform, jobs)
                except Exception as error:
                    answers = [error] * len(jobs)
                self._doing.clear()
                for job, answer in zip(jobs, answers, strict=True):
                    self._send(_told(job, answer))

    def _next(self) -> list[Job]:
        waiting = list(self._waiting.values())
        jobs = waiting[:1] if waiting[0].alone else self._work.choose([job for job in waiting if not job.alone])
        for job in jobs:
            self._doing[job.number] = self._waiting.pop(job.number)
        return jobs

    def _send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._out, view) :]


def _told(job: Job, answer: Any) -> bytes:
    if job.cancelled:
        # Nobody waits for it, but that it got done is news of the child.
        return frames.pack(Kind.FAILED, job.number, "cancelled")
    if isinstance(answer, Exception):
        if not isinstance(answer, Refused):
            print(f"a request failed: {answer!r}", file=sys.stderr, flush=True)
        return frames.pack(Kind.FAILED, job.number, str(answer) or type(answer).__name__)
    told = frames.pack(Kind.ANSWER, job.number, answer)
    if len(told) > frames.MAX_PAYLOAD:
        return frames.pack(Kind.FAILED, job.number, f"the answer has {len(told)} bytes, more than a frame holds")
    return told


async def _serve(work: Work, out: int) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await Worker(work, out).run(reader)


def main(load: Callable[[], Work]) -> None:
    """Runs the child until its parent is gone. What ``load`` raises is told as the reason why it cannot get ready."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    out = os.dup(1)
    # Libraries that print must not print into the pipe.
    os.dup2(2, 1)
    try:
        work = load()
    except Exception as error:
        os.write(out, frames.pack(Kind.FAILED, 0, str(error) or type(error).__name__))
        raise SystemExit(1) from None
    asyncio.run(_serve(work, out))
    # Work that is still going on must not keep a child alive whose parent is gone.
    if threading.active_count() > 1:
        os._exit(0)
