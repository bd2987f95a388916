"""Which engines are left alone for a while, because they failed. Pure: the caller brings the time.

An engine that fails rests, longer each time; when that is over one request tries it, and the others follow when that
went well. It goes beside the circuit breaker that remote engines have of their own: here counts what only who waits for
an engine notices, as that it says nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kallglot.speech.types import EngineError, EngineKind

FIRST_S: Final = 2.0
LONGEST_S: Final = 60.0
TRIAL_S: Final = 10.0
"""For the one request that tries; the others leave the engine alone meanwhile."""
DOWN_AFTER: Final = 2
"""Failures in a row from which an engine is said to be down."""
REMEMBERED_S: Final = 600.0
"""After the last failure an engine that nobody has asked since is not said to be down any more."""
NO_FAULT: Final = ("request", "budget")
"""What remote engines call errors that say nothing of the next request."""

Key = tuple[EngineKind, str]
"""Kind and name of an engine."""


@dataclass(slots=True)
class _Rest:
    failures: int = 0
    until: float = 0.0
    at: float = 0.0
    """Of the last failure."""
    trial: bool = False
    why: str = ""


class Rests:
    """``now`` is a monotonic clock, in seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._of: dict[Key, _Rest] = {}
        self.given_up = Counter[Key]()
        """Streams and texts of which the engine failed, stalled or took too long."""
        self.replaced = Counter[Key]()
        """Of these, what another engine took over."""

    def ready(self, key: Key, engine: object) -> bool:
        """Whether it is worth asking; it may be asked all the same where nothing else is left."""
        rest = self._of.get(key)
        return bool(getattr(engine, "healthy", True)) and (rest is None or self._now() >= rest.until)

    def trying(self, key: Key) -> None:
        """It is being asked: where it has just failed, others wait for what becomes of that."""
        rest = self._of.get(key)
        if rest is not None and self._now() >= rest.until:
            rest.until, rest.trial = self._now() + TRIAL_S, True

    def well(self, key: Key) -> None:
        self._of.pop(key, None)

    def failed(self, key: Key, error: Exception | str) -> None:
        self.given_up[key] += 1
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
        rest.at = self._now()
        rest.trial = False
        rest.why = str(error) or type(error).__name__

    def down(self, key: Key) -> str | None:
        """Why it is said to be down; None where it is not."""
        rest = self._of.get(key)
        if rest is None or rest.failures < DOWN_AFTER or self._now() - rest.at > REMEMBERED_S:
            return None
        return rest.why
