"""What the one recogniser of a child does next. Pure.

Finals come before guesses, guesses before first partials, those before other partials: under load partials thin out
and nothing waits behind more than the decoding in progress.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import IntEnum

from kallglot.audio.levels import Floats


class Urgency(IntEnum):
    FINAL = 0
    GUESS = 1
    FIRST_PARTIAL = 2
    PARTIAL = 3


@dataclass(frozen=True, slots=True)
class Job:
    stream: int
    utterance: int
    urgency: Urgency
    last: int
    audio: Floats
    """From the utterance's beginning."""
    rate: int
    language: str | None = None
    among: tuple[str, ...] = ()
    """Where the language is what is asked for: those that it may be, all if none is named."""
    cut: bool = False
    """The audio ends before speech that the utterance's earlier jobs had in theirs."""


class Schedule:
    """All finals wait; of other kinds one job for a stream, in which newer audio keeps the place of the older."""

    def __init__(self) -> None:
        self._finals: deque[Job] = deque()
        self._others: dict[Urgency, dict[int, Job]] = {urgency: {} for urgency in Urgency if urgency}

    def __len__(self) -> int:
        return len(self._finals) + sum(map(len, self._others.values()))

    def add(self, job: Job) -> None:
        if job.urgency is Urgency.FINAL:
            self.forget(job.stream)
            self._finals.append(job)
        else:
            self._others[job.urgency][job.stream] = job

    def next(self) -> Job | None:
        if self._finals:
            return self._finals.popleft()
        for waiting in self._others.values():
            if waiting:
                return waiting.pop(next(iter(waiting)))
        return None

    def forget(self, stream: int, urgency: Urgency | None = None) -> None:
        """What is not final of a stream: one kind of it, or all."""
        for kind, waiting in self._others.items():
            if urgency in (None, kind):
                waiting.pop(stream, None)

    def drop(self, stream: int) -> None:
        """The stream is gone."""
        self.forget(stream)
        self._finals = deque(job for job in self._finals if job.stream != stream)
