"""Reading a conversation in a child process, which may take its time: the event loop goes on moving audio.

``python -m kallglot.analysis.reader`` reads an :class:`~kallglot.analysis.extractive.Order` as JSON and answers with
a :class:`~kallglot.analysis.extractive.Found`.
"""

from __future__ import annotations

import asyncio
import logging
import sys

import msgspec

from kallglot import child, logs
from kallglot.analysis.extractive import Found, Order, read

log = logging.getLogger(__name__)


class ReadingFailed(Exception):
    """The child died, did not answer in time, or answered what cannot be read."""


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
        try:
            answer = await child.ask(__spec__.name, order, name="the reader", timeout_s=self._timeout_s)
            return msgspec.json.decode(answer, type=Found)
        except child.ChildFailed as error:
            raise ReadingFailed(str(error)) from None
        except msgspec.MsgspecError as error:
            log.error("the reader answered nothing usable: %s", type(error).__name__)
            raise ReadingFailed("the reader's answer cannot be used") from None


def main() -> None:
    told = child.begin()
    try:
        answer = msgspec.json.encode(read(msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)))
    except Exception:
        # What is written here is logged, and a message may quote what was said.
        raise SystemExit(logs.failure(sys.exc_info())) from None
    with told:
        told.write(answer + b"\n")


if __name__ == "__main__":
    main()
