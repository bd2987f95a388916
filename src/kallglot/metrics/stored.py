"""Figures that come from the database: asked for at most every few seconds, however often they are wanted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from kallglot.clock import Clock

log = logging.getLogger(__name__)

FRESH_SECONDS: Final = 5.0
PATIENCE_SECONDS: Final = 2.0

Figure = TypeVar("Figure")


class Stored(Generic[Figure]):
    """``latest`` are the last that were read, ``up`` whether the database gave them in time when it was last asked."""

    def __init__(
        self,
        read: Callable[[], Awaitable[Figure]],
        clock: Clock,
        before: Figure,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._read = read
        self._clock = clock
        self._patience_seconds = patience_seconds
        self._read_at: float | None = None
        self._reading = asyncio.Lock()
        self.latest = before
        self.up = False

    async def refresh(self) -> None:
        """Those who ask at once share one answer. Never raises."""
        async with self._reading:
            now = self._clock.monotonic()
            if self._read_at is not None and now - self._read_at < FRESH_SECONDS:
                return
            try:
                async with asyncio.timeout(self._patience_seconds):
                    self.latest = await self._read()
                self.up = True
            except Exception as error:
                if self.up or self._read_at is None:
                    log.warning("the database gave no figures: %s", type(error).__name__)
                self.up = False
            self._read_at = self._clock.monotonic()
