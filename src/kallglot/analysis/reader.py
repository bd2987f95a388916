"""Reading a conversation in a child process, which may take its time: the event loop goes on moving audio.

``python -m kallglot.analysis.reader`` reads an :class:`~kallglot.analysis.extractive.Order` as JSON and answers with
a :class:`~kallglot.analysis.extractive.Found`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import sys
from typing import Any, Final

import msgspec

from kallglot import logs
from kallglot.analysis.extractive import Found, Order, read

log = logging.getLogger(__name__)

NICENESS: Final = 10
LAST_WORDS: Final = 2000
_PR_SET_PDEATHSIG: Final = 1


class ReadingFailed(Exception):
    """The child died, or did not answer in time."""


class Reader:
    """At most ``at_once`` children; others wait for their turn."""

    def __init__(self, at_once: int = 1, timeout_s: float = 120) -> None:
        self._turns = asyncio.Semaphore(at_once)
        self._timeout_s = timeout_s

    async def read(self, order: bytes) -> Found:
        """``order`` is an encoded :class:`Order`. Raises :class:`ReadingFailed`; cancelled, it leaves nothing
        running."""
        async with self._turns:
            return await self._run(order)

    async def _run(self, order: bytes) -> Found:
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", __spec__.name, str(os.getpid())),
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                start_new_session=True,
            )
        except OSError as error:
            raise ReadingFailed(f"the reader cannot be started: {error}") from None
        done = False
        try:
            async with asyncio.timeout(self._timeout_s):
                answer, said = await process.communicate(order)
            if process.returncode != 0:
                words = said.decode(errors="replace").strip()[-LAST_WORDS:]
                log.error("reader %d ended with status %s: %s", process.pid, process.returncode, words)
                raise ReadingFailed("the reader ended without an answer")
            found = msgspec.json.decode(answer, type=Found)
            done = True
            return found
        except TimeoutError:
            raise ReadingFailed(f"reading took more than {self._timeout_s:g} s") from None
        except (msgspec.MsgspecError, OSError) as error:
            log.error("reader %d answered nothing usable: %s", process.pid, type(error).__name__)
            raise ReadingFailed("the reader's answer cannot be used") from None
        finally:
            if not done:
                await asyncio.shield(_end(process))


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
    transport: Any = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if len(sys.argv) > 1:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != int(sys.argv[1]):
            raise SystemExit("the parent has gone")
    os.nice(NICENESS)
    out = os.dup(1)
    os.dup2(2, 1)
    try:
        answer = msgspec.json.encode(read(msgspec.json.decode(sys.stdin.buffer.read(), type=Order)))
    except Exception:
        # What is written here is logged, and a message may quote what was said.
        raise SystemExit(logs.failure(sys.exc_info())) from None
    with os.fdopen(out, "wb") as told:
        told.write(answer + b"\n")


if __name__ == "__main__":
    main()
