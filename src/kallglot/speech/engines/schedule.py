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
    rate: int


class Schedule:
    """At most one job of a kind, but finals, waits for a stream: a newer one takes the place of the older."""

    def __init__(self) -> None:
        self._queues: tuple[deque[Job], ...] = tuple(deque() for _ in Urgency)

    def __len__(self) -> int:
        return sum(map(len, self._queues))

    def add(self, job: Job) -> None:
        if job.urgency is Urgency.FINAL:
            self.drop(job.stream, job.utterance)
        else:
            queue = self._queues[job.urgency]
            for waiting in [one for one in queue if one.stream == job.stream]:
                queue.remove(waiting)
        self._queues[job.urgency].append(job)

    def next(self) -> Job | None:
        for queue in self._queues:
            if queue:
                return queue.popleft()
        return None

    def drop(self, stream: int, utterance: int | None = None) -> None:
        """Forgets what is not final of an utterance; everything of a stream where none is named."""
        for queue in self._queues if utterance is None else self._queues[1:]:
            for job in [one for one in queue if one.stream == stream and utterance in (None, one.utterance)]:
                queue.remove(job)
