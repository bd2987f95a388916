"""When each turn was spoken, recognised, translated and heard. All times are milliseconds since the session began."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

MOST_OPEN: Final = 512


@dataclass(frozen=True, slots=True)
class Listened:
    """One listener and the translation they heard. ``heard_ms`` is None while it is being heard."""

    participant_id: str
    listener: str
    language: str
    first_audio_ms: int | None = None
    heard_ms: int | None = None
    cleared: bool = False
    """It was cut off, or never begun."""

    @property
    def over(self) -> bool:
        return self.heard_ms is not None or self.cleared


@dataclass(frozen=True, slots=True)
class TurnTimes:
    """``committed_ms`` is when its text was settled, ``translated_ms`` when the last translation was there, and
    ``final_ms`` when it was stored and told."""

    turn_id: str
    session_id: str
    speech_start_ms: int
    speech_end_ms: int
    committed_ms: int
    first_partial_ms: int | None = None
    translated_ms: int | None = None
    final_ms: int | None = None
    listeners: tuple[Listened, ...] = field(default_factory=tuple)

    @property
    def first_audio_ms(self) -> int | None:
        """When the first listener began to hear it."""
        return min((one.first_audio_ms for one in self.listeners if one.first_audio_ms is not None), default=None)

    @property
    def heard_ms(self) -> int | None:
        """When the last listener had heard it."""
        return max((one.heard_ms for one in self.listeners if one.heard_ms is not None), default=None)

    def lags(self) -> dict[str, float]:
        """Seconds between the stages, those that there are; 0 where media ran ahead of the clock."""
        spans = {
            "first_partial": (self.speech_start_ms, self.first_partial_ms),
            "commit": (self.speech_end_ms, self.committed_ms),
            "translation": (self.committed_ms, self.translated_ms),
            "playout": (self.translated_ms, self.first_audio_ms),
            "first_audio": (self.speech_end_ms, self.first_audio_ms),
            "heard": (self.speech_end_ms, self.heard_ms),
        }
        return {
            stage: max(0, end - start) / 1000
            for stage, (start, end) in spans.items()
            if start is not None and end is not None
        }


class Timings:
    """Of one live session. ``done`` hands out turns of which no more is to be expected."""

    def __init__(self) -> None:
        self._open: dict[str, TurnTimes] = {}
        self._jobs: dict[str, int] = {}
        self._done: list[TurnTimes] = []

    def committed(self, times: TurnTimes, jobs: int) -> None:
        """A turn was told, and is going to be spoken in so many languages."""
        self._open[times.turn_id] = times
        self._jobs[times.turn_id] = jobs
        self._close_if_over(times.turn_id)
        if len(self._open) > MOST_OPEN:
            self._close(next(iter(self._open)))

    def begin(self, turn_id: str, participant_id: str, listener: str, language: str) -> None:
        times = self._open.get(turn_id)
        if times is not None:
            heard = Listened(participant_id, listener, language)
            self._open[turn_id] = replace(times, listeners=(*times.listeners, heard))

    def note(self, turn_id: str, participant_id: str, **changes: Any) -> None:
        """``first_audio_ms``, ``heard_ms`` or ``cleared`` of one listener."""
        times = self._open.get(turn_id)
        if times is not None:
            listeners = tuple(
                replace(one, **changes) if one.participant_id == participant_id else one for one in times.listeners
            )
            self._open[turn_id] = replace(times, listeners=listeners)
            self._close_if_over(turn_id)

    def spoken(self, turn_id: str) -> None:
        """One language of it was spoken, or could not be."""
        if turn_id in self._open:
            self._jobs[turn_id] -= 1
            self._close_if_over(turn_id)

    def done(self) -> list[TurnTimes]:
        done, self._done = self._done, []
        return done

    def rest(self) -> list[TurnTimes]:
        """Everything, finished or not: the session is being let go of."""
        for turn_id in list(self._open):
            self._close(turn_id)
        return self.done()

    def _close_if_over(self, turn_id: str) -> None:
        if self._jobs[turn_id] <= 0 and all(one.over for one in self._open[turn_id].listeners):
            self._close(turn_id)

    def _close(self, turn_id: str) -> None:
        del self._jobs[turn_id]
        self._done.append(self._open.pop(turn_id))
