"""Whether an engine is asked at all. Pure: the caller brings the time.

Closed: every request goes. Open: none does, until a moment. Half-open: one does, on trial, and decides.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Literal

from kallglot.speech.remote.config import BreakerLimits
from kallglot.speech.remote.errors import RemoteError
from kallglot.speech.types import EngineError

State = Literal["closed", "open", "half-open"]


class Breaker:
    """``now`` is a monotonic clock, in seconds."""

    def __init__(self, name: str, limits: BreakerLimits, now: Callable[[], float]) -> None:
        self._name = name
        self._limits = limits
        self._now = now
        self._row = 0
        self._recent: deque[bool] = deque(maxlen=limits.window)
        self._until: float | None = None
        self._openings = 0
        self._times = 0
        """It was opened."""
        self._trial: Attempt | None = None
        self._why = ""
        self._passing = True

    @property
    def state(self) -> State:
        if self._until is None:
            return "closed"
        return "half-open" if self._now() >= self._until else "open"

    @property
    def healthy(self) -> bool:
        return self.state != "open"

    def attempt(self) -> Attempt:
        """Around one request. Raises :class:`EngineError` where none may go now."""
        state = self.state
        if state == "open" or (state == "half-open" and self._trial is not None):
            left_s = max(0.0, (self._until or 0.0) - self._now())
            raise RemoteError(
                f"{self._name} is not asked for now: {self._why}",
                blame="budget",
                passing=self._passing,
                retry_after_s=left_s,
            )
        attempt = Attempt(self, self._times)
        if state == "half-open":
            self._trial = attempt
        return attempt

    def anyway(self) -> Attempt:
        """Around a request that goes whatever the state is; how it ends counts."""
        return Attempt(self, self._times)

    def succeeded(self, times: int) -> None:
        """Of a request that began after so many openings: an older one says nothing about what came since."""
        if times != self._times:
            return
        self._row = self._openings = 0
        self._until = self._trial = None
        self._recent.append(True)

    def failed(self, error: EngineError) -> None:
        """Only what the engine or its key is to blame for counts."""
        blame = error.blame if isinstance(error, RemoteError) else "engine"
        if blame in ("request", "budget"):
            return
        limits = self._limits
        if self._until is None:
            self._row += 1
            self._recent.append(False)
        if blame == "key":
            self._open(limits.refused_s, error)
        elif error.retry_after_s:
            self._open(min(error.retry_after_s, limits.longest_s), error)
        elif self._until is not None:
            if self._now() >= self._until:
                self._open(min(limits.open_s * 2**self._openings, limits.longest_s), error)
        elif self._row >= limits.failures_in_a_row or self._too_often():
            self._open(limits.open_s, error)

    def over(self, attempt: Attempt) -> None:
        """Another may try, where it was the trial."""
        if self._trial is attempt:
            self._trial = None

    def _too_often(self) -> bool:
        recent = self._recent
        return len(recent) == recent.maxlen and recent.count(False) >= self._limits.failure_rate * len(recent)

    def _open(self, seconds: float, error: EngineError) -> None:
        until = self._now() + seconds
        self._until = until if self._until is None else max(until, self._until)
        self._openings = min(self._openings + 1, 16)
        self._row = 0
        self._recent.clear()
        self._times += 1
        self._why, self._passing = str(error), error.passing


class Attempt:
    """One request. Well ended, or told so before, it closes the breaker; an :class:`EngineError` counts against it; who
    leaves otherwise, as by a cancellation, says nothing."""

    def __init__(self, breaker: Breaker, times: int) -> None:
        self._breaker = breaker
        self._times = times
        self._told = False

    def well(self) -> None:
        """It works: known before the request is over."""
        if not self._told:
            self._told = True
            self._breaker.succeeded(self._times)

    def __enter__(self) -> Attempt:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.well()
        self._breaker.over(self)
        if isinstance(error, EngineError):
            self._breaker.failed(error)
