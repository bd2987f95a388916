"""Frames that overtook each other, put right. Pure; it counts frames and knows no time."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

DEPTH: Final = 3
"""Frames that wait for one that is missing: 60 ms of usual ones."""

BEGUN_ANEW: Final = 50
"""A number so far behind is no frame that was overtaken: its sender counts from the beginning again."""

T = TypeVar("T")


class Reorder(Generic[T]):
    """Numbers go up by one. A frame that is missing is waited for until ``depth`` later ones have come; what comes
    after that, or twice, is too late and dropped."""

    def __init__(self, depth: int = DEPTH) -> None:
        self._depth = depth
        self._next: int | None = None
        self._waiting: dict[int, T] = {}
        self.late = 0
        """Frames that came too late or twice."""

    def put(self, number: int, frame: T) -> list[T]:
        """What is ready now, in order."""
        if self._next is None:
            self._next = number
        if number == self._next and not self._waiting:
            self._next += 1
            return [frame]
        if number < self._next - BEGUN_ANEW:
            self._next, self._waiting = number, {}
        if number < self._next or number in self._waiting:
            self.late += 1
            return []
        self._waiting[number] = frame
        ready = self._run()
        if len(self._waiting) >= self._depth:
            self._next = min(self._waiting)
            ready += self._run()
        return ready

    def rest(self) -> list[T]:
        """Nothing more comes."""
        ready = [self._waiting[number] for number in sorted(self._waiting)]
        self._waiting.clear()
        return ready

    def _run(self) -> list[T]:
        ready: list[T] = []
        assert self._next is not None
        while self._next in self._waiting:
            ready.append(self._waiting.pop(self._next))
            self._next += 1
        return ready
