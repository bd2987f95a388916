"""Who is connected, told to the journal: a store that is away keeps nobody out and nobody in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, Final

from kallglot.session.ports import SessionJournal

log = logging.getLogger(__name__)

RETRY_SECONDS: Final = (0.05, 0.2, 0.5, 1.0, 2.0, 4.0)


async def persistently(tell: Callable[[], Awaitable[None]], complaint: str) -> None:
    """Tells the journal something, again for some seconds while it is away."""
    for delay in (*RETRY_SECONDS, None):
        try:
            await tell()
            return
        except Exception as error:
            log.warning("%s: %s", complaint, type(error).__name__)
            if delay is None:
                return
            await asyncio.sleep(delay)


class Presence:
    """``connected`` says whether there are legs, ``left_at`` when the last went."""

    def __init__(
        self,
        session_id: str,
        journal: SessionJournal,
        reconnect_seconds: float,
        *,
        connected: Callable[[], bool],
        left_at: Callable[[], datetime],
        spawn: Callable[[Coroutine[Any, Any, None], str], object],
    ) -> None:
        self._session_id = session_id
        self._journal = journal
        self._reconnect_seconds = reconnect_seconds
        self._connected = connected
        self._left_at = left_at
        self._spawn = spawn
        self._lock = asyncio.Lock()
        self._told_connected = False

    def note(self) -> None:
        """Nobody's audio waits for the journal: of many calls that begin at once the last would stand still first."""
        complaint = f"session {self._session_id}: who is connected could not be stored"
        self._spawn(persistently(self._tell, complaint), "presence")

    async def _tell(self) -> None:
        async with self._lock:
            if self._connected():
                if not self._told_connected:
                    await self._journal.connecting(self._session_id)
                    self._told_connected = True
            else:
                self._told_connected = False
                deadline = self._left_at() + timedelta(seconds=self._reconnect_seconds)
                await self._journal.waiting(self._session_id, deadline)
