"""One piece of work in a child process, which may take its time, die or never end without holding anything up.

The child is a module of ours, run by name. It reads its order from stdin until the end and writes its answer to what
:func:`begin` gives it; what it prints otherwise goes to the parent's log when it fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Final

log = logging.getLogger(__name__)

NICENESS: Final = 10
LAST_WORDS: Final = 2000
_PR_SET_PDEATHSIG: Final = 1


class ChildFailed(Exception):
    """It could not be started, died, or did not answer in time; in words, after the child's name."""


async def ask(
    module: str,
    order: bytes,
    *,
    name: str,
    timeout_s: float,
    environment: Mapping[str, str] | None = None,
    abandoned: Callable[[int], None] = lambda _: None,
) -> bytes:
    """The child's answer. ``environment`` is added to ours; ``abandoned`` gets the process id of a child that did not
    come to its end, when it is gone. Raises :class:`ChildFailed`; cancelled, it leaves nothing running."""
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, str(os.getpid())),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
    except OSError as error:
        raise ChildFailed(f"{name} cannot be started: {error}") from None
    done = False
    try:
        async with asyncio.timeout(timeout_s):
            answer, said = await process.communicate(order)
        if process.returncode != 0:
            words = said.decode(errors="replace").strip()[-LAST_WORDS:]
            log.error("%s (process %d) ended with status %s: %s", name, process.pid, process.returncode, words)
            raise ChildFailed(f"{name} ended without an answer")
        done = True
        return answer
    except TimeoutError:
        raise ChildFailed(f"{name} took more than {timeout_s:g} s") from None
    except OSError as error:
        raise ChildFailed(f"{name} cannot be talked to: {error}") from None
    finally:
        if not done:
            await asyncio.shield(_end(process))
            abandoned(process.pid)


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
