"""Who gets a lane when there are fewer than are wanted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final

from kallglot.webhooks.lane import Lane
from kallglot.webhooks.ports import Candidate

SHARE: Final = 4
"""One organisation gets this part of the lanes while others wait, and as much is kept free for those that have less.
Those that fail get half at most."""


class Seats:
    """``lanes`` are taken, out of ``most``."""

    def __init__(self, most: int, lanes: Collection[Lane]) -> None:
        self._share = max(1, most // SHARE)
        self._kept = most // SHARE
        self._room = most - len(lanes)
        self._ill = most // 2 - sum(1 for lane in lanes if lane.health.failures)
        self._of = Counter(lane.target.endpoint.organization_id for lane in lanes)
        self._crowded = False
        self._crowded_ill = False

    def give(self, waiting: Sequence[Candidate]) -> list[str]:
        """The endpoints that get one; of each organisation those that come first."""
        chosen: list[str] = []
        # Once round for those that have less than their share, then for all with what is left.
        for share, kept in ((self._share, 0), (None, self._kept)):
            left: list[Candidate] = []
            for one in waiting:
                if share is not None and self._of[one.organization_id] >= share:
                    left.append(one)
                elif self._room <= kept:
                    self._crowded = True
                elif one.failures and self._ill <= 0:
                    self._crowded_ill = True
                else:
                    self._ill -= bool(one.failures)
                    self._room -= 1
                    self._of[one.organization_id] += 1
                    chosen.append(one.endpoint_id)
            waiting = left
        return chosen

    def wanted(self, lane: Lane) -> bool:
        """Whether others wait for the place of this one: first of all for those of who has the most."""
        if self._crowded_ill and lane.health.failures:
            return True
        large = self._of[lane.target.endpoint.organization_id] >= self._share
        return self._crowded and (large or max(self._of.values()) < self._share)
