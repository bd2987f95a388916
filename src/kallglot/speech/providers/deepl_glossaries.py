"""Glossaries at DeepL for what sessions bring along: one for each content, made when it is first asked for.

Their names come from their content. What a process that was killed left behind is found and used again, so that there
are never more than there are different glossaries; what was made here is deleted at the end, or when too many others
were asked for since.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import msgspec

from kallglot.speech.providers import deepl_wire as wire
from kallglot.speech.remote.exchange import Answer, Request
from kallglot.speech.types import EngineError

log = logging.getLogger(__name__)

Pairs = tuple[tuple[str, str], ...]

MOST: Final = 100
WAIT_S: Final = 2.0
"""The first translation waits so long for its glossary, then goes without it."""
AGAIN_S: Final = 300.0
"""After one could not be made."""
CLOSE_S: Final = 3.0


@dataclass(slots=True)
class _Made:
    making: asyncio.Task[str | None]
    ours: bool = False
    failed_at: float | None = None

    @property
    def id(self) -> str | None:
        done = self.making.done() and not self.making.cancelled()
        return self.making.result() if done else None


class Glossaries:
    """``now`` is a monotonic clock."""

    def __init__(
        self,
        ask: Callable[[Request], Awaitable[Answer]],
        url: str,
        headers: Callable[[], Mapping[str, str]],
        now: Callable[[], float],
        *,
        most: int = MOST,
        wait_s: float = WAIT_S,
    ) -> None:
        self._ask = ask
        self._url = f"{url}/v3/glossaries"
        self._headers = headers
        self._now = now
        self._most = most
        self._wait_s = wait_s
        self._made: OrderedDict[str, _Made] = OrderedDict()
        self._left_behind: dict[str, str] | None = None
        self._listing = asyncio.Lock()
        self._deleting: set[asyncio.Task[None]] = set()

    def known(self, source: str, target: str, pairs: Pairs) -> str | None:
        """The id, where it is made."""
        content = _content(source, target, pairs)
        made = self._made.get(content.name) if content is not None else None
        return made.id if made is not None else None

    async def ready(self, source: str, target: str, pairs: Pairs) -> str | None:
        """The id, made now if need be; None where it is not to be had, or not yet. Never raises but when cancelled."""
        content = _content(source, target, pairs)
        if content is None:
            return None
        made = self._made.get(content.name)
        if made is None or (made.failed_at is not None and self._now() - made.failed_at >= AGAIN_S):
            made = self._made[content.name] = _Made(asyncio.create_task(self._make(content)))
            self._thin_out()
        self._made.move_to_end(content.name)
        if not made.making.done():
            await asyncio.wait((made.making,), timeout=self._wait_s)
        return made.id

    def forget(self, glossary_id: str) -> None:
        """It is gone there."""
        for name, made in list(self._made.items()):
            if made.id == glossary_id:
                del self._made[name]

    async def close(self) -> None:
        everything = list(self._made.values())
        self._made.clear()
        for made in everything:
            made.making.cancel()
        await asyncio.gather(*(made.making for made in everything), return_exceptions=True)
        for made in everything:
            self._drop(made)
        if self._deleting:
            _, late = await asyncio.wait(self._deleting, timeout=CLOSE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _make(self, content: _Content) -> str | None:
        try:
            left_behind = await self._look_around()
            if content.name in left_behind:
                return left_behind.pop(content.name)
            document = wire.glossary(content.name, content.source, content.target, content.entries)
            # Sent twice there would be two of it.
            request = Request(self._url, headers=self._headers(), document=document, repeatable=False)
            made = wire.made_glossary((await self._ask(request)).body)
        except (EngineError, msgspec.MsgspecError) as error:
            log.warning(
                "DeepL: a glossary could not be made: %s", error if isinstance(error, EngineError) else "answer"
            )
            entry = self._made.get(content.name)
            if entry is not None and entry.making is asyncio.current_task():
                entry.failed_at = self._now()
            return None
        entry = self._made.get(content.name)
        if entry is not None and entry.making is asyncio.current_task():
            entry.ours = True
        return made

    async def _look_around(self) -> dict[str, str]:
        async with self._listing:
            if self._left_behind is None:
                answer = await self._ask(Request(self._url, method="GET", headers=self._headers()))
                self._left_behind = wire.listed_glossaries(answer.body)
        return self._left_behind

    def _thin_out(self) -> None:
        for name, made in list(self._made.items())[: max(0, len(self._made) - self._most)]:
            if made.making.done():
                del self._made[name]
                self._drop(made)

    def _drop(self, made: _Made) -> None:
        if made.ours and made.id is not None:
            task = asyncio.create_task(self._delete(made.id))
            self._deleting.add(task)
            task.add_done_callback(self._deleting.discard)

    async def _delete(self, glossary_id: str) -> None:
        with contextlib.suppress(EngineError):
            await self._ask(Request(f"{self._url}/{glossary_id}", method="DELETE", headers=self._headers()))


@dataclass(frozen=True, slots=True)
class _Content:
    name: str
    source: str
    target: str
    entries: Pairs


@lru_cache(128)
def _content(source: str, target: str, pairs: Pairs) -> _Content | None:
    entries = wire.glossary_entries(pairs)
    if not entries:
        return None
    languages = wire.glossary_languages(source, target)
    return _Content(wire.glossary_name(*languages, entries), *languages, entries)
