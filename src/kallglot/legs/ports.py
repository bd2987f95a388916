"""What streams ask of the telephone side, declared by its user."""

from __future__ import annotations

from typing import Protocol

from kallglot.carriers.arrivals import Arrival, CarrierStart, Handshake
from kallglot.session.switchboard import check_token
from kallglot.session.tokens import Verdict


class Telephony(Protocol):
    async def arrives(
        self, session_id: str, start: CarrierStart, handshake: Handshake, verdict: Verdict | None
    ) -> Arrival:
        """A carrier brings a call's stream, with a token on which ``verdict`` was given, or without one. Raises
        :class:`~kallglot.session.switchboard.StreamRefused`."""
        ...

    async def joined(self, arrival: Arrival, participant_id: str) -> None:
        """It is a leg of its session now."""
        ...

    async def left(self, arrival: Arrival, *, hung_up: bool) -> None:
        """Its connection is gone; ``hung_up`` where the carrier said that the call is over."""
        ...


class NoTelephony:
    """Lets in who has a token, and keeps nothing of calls."""

    async def arrives(
        self, session_id: str, start: CarrierStart, handshake: Handshake, verdict: Verdict | None
    ) -> Arrival:
        check_token(verdict)
        return Arrival(None, (start.token or "").startswith("kst_live_"), start.parameters.get("participant"))

    async def joined(self, arrival: Arrival, participant_id: str) -> None:
        pass

    async def left(self, arrival: Arrival, *, hung_up: bool) -> None:
        pass
