"""Work in a child process, which may take its time, die or never end without holding anything up.

The child is a module of ours, run by name. It reads orders from stdin, a line each, until the end, and writes each
answer, a line, to what :func:`begin` gives it; what it prints otherwise goes to the parent's log when it fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any, BinaryIO, Final

log = logging.getLogger(__name__)

NICENESS: Final = 10
LAST_WORDS: Final = 2000
LONGEST_ANSWER: Final = 1 << 26
"""Bytes; more than any, all of which would be in memory."""
LEAVE_SECONDS: Final = 5.0
_PR_SET_PDEATHSIG: Final = 1


class ChildFailed(Exception):
    """It could not be started, died, or did not answer in time; in words, after the child's name."""


class Child:
    """One that works off orders, one after the other."""

    def __init__(self, process: asyncio.subprocess.Process, name: str) -> None:
        self._process = process
        self._name = name
        self._said = bytearray()
        self._listening = asyncio.create_task(self._listen(), name=f"{name}-{process.pid}")

    @classmethod
    async def start(cls, module: str, *, name: str, environment: Mapping[str, str] | None = None) -> Child:
        """``environment`` is added to ours. Raises :class:`ChildFailed`."""
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", module, str(os.getpid())),
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                start_new_session=True,
                env={**os.environ, **(environment or {})},
                limit=LONGEST_ANSWER,
            )
        except OSError as error:
            raise ChildFailed(f"{name} cannot be started: {error}") from None
        return cls(process, name)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, order: bytes, timeout_s: float) -> bytes:
        """The answer, with the end of its line. Raises :class:`ChildFailed`; then, and cancelled, it leaves nothing
        running."""
        process, done = self._process, False
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            async with asyncio.timeout(timeout_s):
                # Of one that is gone, what it has said before tells more.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    process.stdin.write(order + b"\n")
                    await process.stdin.drain()
                answer = await process.stdout.readline()
                if not answer.endswith(b"\n"):
                    await process.wait()
                    await self._listening
                    words, status = self._said.decode(errors="replace").strip()[-LAST_WORDS:], process.returncode
                    log.error("%s (process %d) ended with status %s: %s", self._name, self.pid, status, words)
                    raise ChildFailed(f"{self._name} ended without an answer")
            done = True
            return answer
        except TimeoutError:
            raise ChildFailed(f"{self._name} took more than {timeout_s:g} s") from None
        except (OSError, ValueError) as error:
            raise ChildFailed(f"{self._name} cannot be talked to: {error}") from None
        finally:
            if not done:
                await asyncio.shield(_end(process))

    async def end(self) -> None:
        """There are no more orders."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEAVE_SECONDS):
                    await self._process.wait()
        finally:
            if self._process.returncode is None:
                await asyncio.shield(_end(self._process))

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        while said := await self._process.stderr.read(1 << 16):
            self._said += said
            del self._said[: -2 * LAST_WORDS]


async def ask(module: str, order: bytes, *, name: str, timeout_s: float) -> bytes:
    """What a child answers that is there for this one order. Raises :class:`ChildFailed`; cancelled, it leaves nothing
    running."""
    child = await Child.start(module, name=name)
    answer = await child.ask(order, timeout_s)
    await child.end()
    return answer


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
    transport: Any = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()


def begin() -> BinaryIO:
    """For the child, first of all: it gets SIGTERM when its parent ends, works behind everybody else, and answers
    where this says; what libraries print to stdout goes to stderr."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if len(sys.argv) > 1:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != int(sys.argv[1]):
            raise SystemExit("the parent has gone")
    os.nice(NICENESS)
    out = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(out, "wb")
