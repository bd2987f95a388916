"""Letting a connection in: the token, the session, and for whom it speaks and hears."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from kallglot.carriers.arrivals import Arrival, CarrierStart, Handshake
from kallglot.legs import compat
from kallglot.legs.address import BadAddress, StreamAddress, output_format
from kallglot.legs.dialect import Dialect
from kallglot.legs.native import NativeCodec
from kallglot.legs.telnyx import TelnyxCodec
from kallglot.legs.twilio import TwilioCodec
from kallglot.session.live import LiveSession
from kallglot.session.model import Participant
from kallglot.session.switchboard import StreamRefused, check_token

if TYPE_CHECKING:
    from kallglot.legs.door import StreamDoor
    from kallglot.legs.socket import StreamSocket


class Admission:
    """Each method attaches the socket to its session, or raises :class:`StreamRefused`."""

    def __init__(self, door: StreamDoor, address: StreamAddress, handshake: Handshake) -> None:
        self._door = door
        self._address = address
        self._handshake = handshake

    async def native(self, socket: StreamSocket) -> LiveSession:
        token = self._address.token
        check_token(None if token is None else self._door.tokens.check(token, self._address.session_id))

        def admit(live: LiveSession) -> StreamSocket:
            socket.speak(*self._native(live))
            return socket

        livemode = (token or "").startswith("kst_live_")
        return await self._door.switchboard.connect(self._address.session_id, livemode, admit)

    async def carrier(self, socket: StreamSocket, start: CarrierStart) -> tuple[LiveSession, Arrival]:
        token = start.token or self._address.token
        verdict = None if token is None else self._door.tokens.check(token, self._address.session_id)
        arrival = await self._door.telephony.arrives(self._address.session_id, start, self._handshake, verdict)

        def admit(live: LiveSession) -> StreamSocket:
            bound = self._carrier_participant(live, start, arrival)
            codec = TwilioCodec(start, bound) if start.dialect == "twilio" else TelnyxCodec(start, bound)
            socket.speak(codec, bound)
            return socket

        live = await self._door.switchboard.connect(self._address.session_id, arrival.livemode, admit)
        return live, arrival

    def _native(self, live: LiveSession) -> tuple[Dialect, Participant | None]:
        address = self._address
        if address.protocol not in (None, "native", "json", "binary"):
            raise StreamRefused(1008, "invalid_message", "protocol must be native, twilio or telnyx.")
        bound = None if address.participant is None else _named(live, address.participant)
        try:
            output = output_format(address)
        except BadAddress as error:
            raise StreamRefused(1008, error.code, error.message) from None
        customer = live.find("customer")
        older_speaker = None if bound is not None or customer is None else customer.id
        translate_older = partial(compat.current, speaker=older_speaker)
        return NativeCodec(address.session_id, output, bound, live.find, translate_older), bound

    def _carrier_participant(self, live: LiveSession, start: CarrierStart, arrival: Arrival) -> Participant:
        """As the call was before, or as it names; else the first customer whom nobody connects, else an agent."""
        named = arrival.participant or start.parameters.get("participant") or self._address.participant
        if named is not None:
            return _named(live, named)
        found = live.unconnected("customer") or live.unconnected("agent") or live.find("agent") or live.find("customer")
        assert found is not None
        return found


def _named(live: LiveSession, name: str) -> Participant:
    found = live.find(name)
    if found is None:
        raise StreamRefused(1008, "unknown_speaker", f"No participant has the id or role {name[:64]!r}.")
    return found
