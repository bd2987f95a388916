"""Several translators as one: who fails or takes too long is not waited for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from kallglot.speech.failover.rests import Key, Rests
from kallglot.speech.types import EngineError, Hints, Translator

log = logging.getLogger(__name__)

TOTAL_S: Final = 4.5
"""For all tries: a little less than a session waits."""
SHARE: Final = 0.5
"""Of the time that is left, for each try but the last."""


class FailoverTranslator:
    """``engines`` in the order of preference."""

    def __init__(self, engines: Sequence[Translator], rests: Rests, *, total_s: float = TOTAL_S) -> None:
        self._engines = tuple(engines)
        self._rests = rests
        self._total_s = total_s
        self.name = engines[0].name

    async def warm(self, source: str, target: str) -> None:
        """The one that is going to be asked; the others when it fails."""
        await self._in_order()[0].warm(source, target)

    async def translate(self, text: str, source: str, target: str, hints: Hints = Hints()) -> str:
        """Raises the last engine's :class:`EngineError`, or ``TimeoutError``, where none could in time."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._total_s
        order = self._in_order()
        for n, engine in enumerate(order):
            patience = (until - loop.time()) * (SHARE if engine is not order[-1] else 1)
            try:
                translation = await self._ask(engine, loop.time() + patience, text, source, target, hints)
            except (EngineError, TimeoutError) as error:
                log.warning("translation by %s failed: %s", engine.name, _words(error))
                if engine is order[-1]:
                    raise
            else:
                self._rests.replaced.update(_key(lost) for lost in order[:n])
                return translation
        raise AssertionError

    async def _ask(self, engine: Translator, until: float, text: str, source: str, target: str, hints: Hints) -> str:
        key = _key(engine)
        self._rests.trying(key)
        try:
            async with asyncio.timeout_at(until):
                translation = await engine.translate(text, source, target, hints)
            if not translation.strip() and any(map(str.isalnum, text)):
                raise EngineError(f"{engine.name} translated it to nothing")
        except Exception as error:
            if not isinstance(error, EngineError | TimeoutError):
                log.exception("%s broke over a translation", engine.name)
                error = EngineError(f"{engine.name}: {type(error).__name__}")
            self._rests.failed(key, _words(error) if isinstance(error, TimeoutError) else error)
            raise error from None
        self._rests.well(key)
        return translation

    def _in_order(self) -> list[Translator]:
        """Those that rest after the others."""
        return sorted(self._engines, key=lambda one: not self._rests.ready(_key(one), one))


def _key(engine: Translator) -> Key:
    return "translation", engine.name


def _words(error: Exception) -> str:
    return "it took too long" if isinstance(error, TimeoutError) else str(error)
