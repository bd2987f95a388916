"""The legs of one live session: in what order they came, whose they are, and which are not read from for a while."""

from __future__ import annotations

from collections.abc import Iterator

from kallglot.session.leg import Leg


class Legs:
    def __init__(self) -> None:
        self._legs: dict[str, Leg] = {}
        self._orders: dict[str, int] = {}
        self._came = 0
        self._held: set[str] = set()

    def __len__(self) -> int:
        return len(self._legs)

    def __iter__(self) -> Iterator[Leg]:
        """As of now: whoever is told something may go."""
        return iter(list(self._legs.values()))

    def add(self, leg: Leg) -> None:
        self._came += 1
        self._legs[leg.id] = leg
        self._orders[leg.id] = self._came

    def remove(self, leg: Leg) -> bool:
        """Whether it was there."""
        self._held.discard(leg.id)
        self._orders.pop(leg.id, None)
        return self._legs.pop(leg.id, None) is not None

    def clear(self) -> None:
        self._legs.clear()
        self._orders.clear()
        self._held.clear()

    def order(self, leg: Leg) -> int | None:
        """The greater, the later it came; None where it is not there."""
        return self._orders.get(leg.id)

    def carries(self, participant_id: str) -> bool:
        """Whether the participant is on one of them."""
        return any(leg.participant_id == participant_id for leg in self._legs.values())

    # Those not read from

    @property
    def held(self) -> int:
        return len(self._held)

    def hold(self, leg: Leg) -> None:
        if leg.id not in self._held:
            self._held.add(leg.id)
            leg.hold_input(True)

    def release(self) -> None:
        for leg_id in self._held:
            self._legs[leg_id].hold_input(False)
        self._held.clear()
