"""Whether this process can carry another call without those that it has suffering. Pure: the caller brings the time.

Two signs. *Late*: how late the shared tick comes, which is how late audio is. It says the truth when it is too late:
the step from one millisecond to sixty is a few calls wide. *Busy*: the share of its time that the event loop's thread
works. It says it before; and as the work of a wake-up is shared by all the frames that it finds, a loop that is 0.9
busy is nearly full, while one that is half as busy carries far less than half.

A session that was let in and has no audio yet is going to cost as much as those that have: it is reckoned with for ten
seconds.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

WINDOW_TICKS: Final = 128
"""2.5 s."""
SHARE: Final = 0.95
LOOK_SECONDS: Final = 0.5
SMOOTH: Final = 0.5
PLEDGE_SECONDS: Final = 10.0
FEWEST_KNOWN: Final = 20
"""Sessions that have to be live before what one costs can be told."""
CHOKING: Final = 0.05
"""So much busier than a new session may make it, and a stream that begins one is turned away too."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    late_ms: float = 60.0
    busy: float = 0.9


_USUAL: Final = Thresholds()


class Saturation:
    def __init__(self, limits: Thresholds = _USUAL) -> None:
        self._limits = limits
        self._late: deque[float] = deque(maxlen=WINDOW_TICKS)
        self._pledged: dict[str, float] = {}
        self._looked: tuple[float, float] | None = None
        self.lag_ms = 0.0
        """How late the tick comes, smoothed over half a second."""
        self.busy = 0.0
        """From 0 to 1."""

    def begin(self) -> None:
        """What was until now was the process starting, which is slow and nobody heard."""
        self._late.clear()
        self._looked = None
        self.lag_ms = self.busy = 0.0

    def ticked(self, now: float, late_ms: float, worked: float) -> None:
        """A tick of 20 ms that came so late. ``worked``: seconds of processor time the thread has had, ever."""
        self._late.append(late_ms)
        self.lag_ms += (late_ms - self.lag_ms) * 0.05
        if self._looked is None:
            self._looked = now, worked
        elif now - self._looked[0] >= LOOK_SECONDS:
            busy = min(1.0, (worked - self._looked[1]) / (now - self._looked[0]))
            self.busy += (busy - self.busy) * SMOOTH
            self._looked = now, worked

    @property
    def late_ms(self) -> float:
        """What all but one in twenty of the last ticks stayed below."""
        return sorted(self._late)[int(len(self._late) * SHARE)] if self._late else 0.0

    def pledge(self, session_id: str, now: float) -> None:
        """A session was made, and its audio is going to come."""
        self._forget(now)
        self._pledged[session_id] = now

    def redeem(self, session_id: str) -> None:
        """It has come, or is not going to."""
        self._pledged.pop(session_id, None)

    def refuses_sessions(self, now: float, live: int) -> bool:
        """Whether a new session is one too many, beside so many that are live. Where nobody is, nobody suffers."""
        self._forget(now)
        share = len(self._pledged) / live if live >= FEWEST_KNOWN else 0.0
        return live > 0 and (self.busy * (1 + share) > self._limits.busy or self.late_ms > self._limits.late_ms)

    def refuses_streams(self, live: int) -> bool:
        """Whether the first stream of a session that was let in has to be turned away all the same."""
        too_busy = self.busy > min(self._limits.busy + CHOKING, 1.0)
        return live > 0 and (too_busy or self.late_ms > self._limits.late_ms)

    def _forget(self, now: float) -> None:
        while self._pledged and now - next(iter(self._pledged.values())) > PLEDGE_SECONDS:
            del self._pledged[next(iter(self._pledged))]
