"""Opening one of several recognisers: which of them, and what it says of those that could not be opened."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from kallglot.speech.failover.rests import Key, Rests
from kallglot.speech.types import EngineError, Recognizer, RecognizerEvent, RecognizerOptions, RecognizerStream

log = logging.getLogger(__name__)

OPEN_S: Final = 5.0


@dataclass(eq=False, slots=True)
class Line:
    """A stream of one engine."""

    engine: Recognizer
    stream: RecognizerStream | None = None
    failed: EngineError | None = None


class Opener:
    """``told`` gets what the streams tell, ``let_go`` a line that failed while it was opened."""

    def __init__(
        self,
        engines: Sequence[Recognizer],
        rests: Rests,
        options: RecognizerOptions,
        *,
        told: Callable[[Line, RecognizerEvent], None],
        let_go: Callable[[Line], None],
    ) -> None:
        self._engines = engines
        self._rests = rests
        self._options = options
        self._told = told
        self._let_go = let_go

    def ready(self, engine: Recognizer) -> bool:
        return self._rests.ready(key_of(engine), engine)

    async def first(self, lost: Recognizer | None) -> Line | EngineError:
        """Of those that are well, in order; then of the others, the one that was just lost last."""
        order = sorted(self._engines, key=lambda engine: (not self.ready(engine), engine is lost))
        error: EngineError | None = None
        for n, engine in enumerate(order):
            line = await self.one(engine)
            if line.failed is None:
                self._rests.replaced.update(map(key_of, order[:n]))
                return line
            error = line.failed
        return error or EngineError("there is no engine")

    async def one(self, engine: Recognizer) -> Line:
        """With why it could not be opened."""
        line = Line(engine)
        self._rests.trying(key_of(engine))
        try:
            async with asyncio.timeout(OPEN_S):
                line.stream = await engine.open(self._options, partial(self._told, line))
        except TimeoutError:
            line.failed = EngineError(f"{engine.name} did not open a stream in time")
        except EngineError as error:
            line.failed = error
        except Exception as error:
            log.exception("opening %s failed", engine.name)
            line.failed = EngineError(f"{engine.name}: {type(error).__name__}")
        if line.failed is not None:
            self.failed(engine, line.failed)
            if line.stream is not None:
                self._let_go(line)
        return line

    def failed(self, engine: Recognizer, error: EngineError) -> None:
        log.warning("recognition by %s failed: %s", engine.name, error)
        self._rests.failed(key_of(engine), error)


def key_of(engine: Recognizer) -> Key:
    return "recognition", engine.name
