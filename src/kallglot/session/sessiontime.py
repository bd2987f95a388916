"""The session's own time: milliseconds since its first audio, by the monotonic clock of this process."""

from __future__ import annotations

from datetime import datetime

from kallglot.clock import Clock


class SessionTime:
    """``started_at`` is None for a session that was not heard yet; its time stands at 0 until :meth:`begin`."""

    def __init__(self, clock: Clock, started_at: datetime | None) -> None:
        self._clock = clock
        self._base_ms = 0.0
        self._base_monotonic: float | None = None
        if started_at is not None:
            self._base_monotonic = clock.monotonic()
            self._base_ms = max(0.0, (clock.now() - started_at).total_seconds() * 1000)

    @property
    def begun(self) -> bool:
        return self._base_monotonic is not None

    def begin(self, at_ms: float) -> None:
        """It is ``at_ms`` now: the session began when its first audio did, not when that was here."""
        self._base_monotonic = self._clock.monotonic()
        self._base_ms = at_ms

    def now_ms(self) -> float:
        return self.at(self._clock.monotonic() * 1000)

    def at(self, monotonic_ms: float) -> float:
        """The session's time of a moment that the monotonic clock names."""
        return 0.0 if self._base_monotonic is None else self._base_ms + monotonic_ms - self._base_monotonic * 1000
