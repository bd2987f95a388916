"""Who speaks when: a customer and an agent who take turns, and now and then speak at once. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

Side = Literal["customer", "agent"]
FRAMES_PER_SECOND: Final = 50
CYCLE: Final = 700
"""Frames in which each side says one thing: 14 s."""
LONG: Final = (100, 190)
"""How long somebody speaks: from 2 s to less than 3.8 s."""
OVERLAPS: Final = 3
"""In every third cycle the agent does not wait until the customer has finished."""
TURN_NEEDS: Final = 450
"""Frames from the end of speech in which its translation is heard to its end, where all is well."""


@dataclass(frozen=True, slots=True)
class Said:
    side: Side
    begins: int
    ends: int
    """Frames of the call; the first of silence."""


@dataclass
class Conversation:
    """Of one call: ``frames`` in all, in the last of which nobody begins to speak any more."""

    number: int
    frames: int
    said: list[Said] = field(init=False)

    def __post_init__(self) -> None:
        self.said = [one for one in self._said() if one.ends + TURN_NEEDS <= self.frames]
        self._speaking: dict[Side, frozenset[int]] = {
            side: frozenset(n for one in self.said if one.side == side for n in range(one.begins, one.ends))
            for side in ("customer", "agent")
        }

    def speaks(self, side: Side, frame: int) -> bool:
        return frame in self._speaking[side]

    def of(self, side: Side) -> list[Said]:
        return [one for one in self.said if one.side == side]

    def _said(self) -> Iterator[Said]:
        shift = 50 + self.number * 97 % CYCLE
        for cycle in range(-1, self.frames // CYCLE + 1):
            begins = shift + cycle * CYCLE
            long = LONG[0] + (self.number * 31 + cycle * 53) % (LONG[1] - LONG[0])
            reply = LONG[0] + (self.number * 17 + cycle * 71) % (LONG[1] - LONG[0])
            overlaps = (self.number + cycle) % OVERLAPS == 0
            answered = begins + (long - 40 if overlaps else CYCLE // 2)
            if begins >= 25:
                yield Said("customer", begins, begins + long)
            if answered >= 25:
                yield Said("agent", answered, answered + reply)
