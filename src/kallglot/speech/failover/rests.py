"""Which engines are left alone for a while, because they failed. Pure: the caller brings the time.

An engine that fails rests, longer each time; when that is over one request tries it, and the others follow when that
went well. It goes beside the circuit breaker that remote engines have of their own: here counts what only who waits for
an engine notices, as that it says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final

from kallglot.speech.types import EngineError

FIRST_S: Final = 2.0
LONGEST_S: Final = 60.0
TRIAL_S: Final = 10.0
"""For the one request that tries; the others leave the engine alone meanwhile."""
DOWN_AFTER: Final = 2
"""Failures in a row from which an engine is said to be down."""
NO_FAULT: Final = ("request", "budget")
"""What remote engines call errors that say nothing of the next request."""


@dataclass(slots=True)
class _Rest:
    failures: int = 0
    until: float = 0.0
    trial: bool = False
    why: str = ""


class Rests:
    """``now`` is a monotonic clock, in seconds. Engines are known by kind and name."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._of: dict[Hashable, _Rest] = {}

    def ready(self, key: Hashable, engine: object) -> bool:
        """Whether it is worth asking; it may be asked all the same where nothing else is left."""
        rest = self._of.get(key)
        return bool(getattr(engine, "healthy", True)) and (rest is None or self._now() >= rest.until)

    def trying(self, key: Hashable) -> None:
        """It is being asked: where it has just failed, others wait for what becomes of that."""
        rest = self._of.get(key)
        if rest is not None and self._now() >= rest.until:
            rest.until, rest.trial = self._now() + TRIAL_S, True

    def well(self, key: Hashable) -> None:
        self._of.pop(key, None)

    def failed(self, key: Hashable, error: Exception | str) -> None:
        if getattr(error, "blame", None) in NO_FAULT:
            return
        rest = self._of.setdefault(key, _Rest())
        resting = self._now() < rest.until and not rest.trial
        if not resting:
            # A hundred calls that lose the same engine at once are one failure.
            rest.failures += 1
        seconds = min(FIRST_S * 2 ** min(rest.failures - 1, 16), LONGEST_S)
        if isinstance(error, EngineError):
            if error.retry_after_s is not None:
                seconds = min(max(error.retry_after_s, 0.0), LONGEST_S)
            elif not error.passing:
                seconds = LONGEST_S
        until = self._now() + seconds
        rest.until = max(rest.until, until) if resting else until
        rest.trial = False
        rest.why = str(error) or type(error).__name__

    def down(self, key: Hashable) -> str | None:
        """Why it is said to be down; None where it is not."""
        rest = self._of.get(key)
        return None if rest is None or rest.failures < DOWN_AFTER else rest.why
