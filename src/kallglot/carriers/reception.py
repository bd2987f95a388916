"""Streams of calls that arrive: which session and call they belong to, and what becomes of the call with them."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from kallglot.carriers.arrivals import Arrival, CarrierStart, Handshake
from kallglot.carriers.model import Call, Connection
from kallglot.carriers.notices import changes
from kallglot.carriers.ports import Calls, Change
from kallglot.carriers.signatures import check_twilio
from kallglot.clock import Clock
from kallglot.ids import CALL, new_id
from kallglot.outbox import Event
from kallglot.session.model import Session
from kallglot.session.switchboard import StreamRefused, check_token
from kallglot.session.tokens import Verdict
from kallglot.texts import cleaned, storable

log = logging.getLogger(__name__)

NAMED_CALL_FOR: Final = timedelta(minutes=5)
"""A session that was created for a call lets that call in without a token for so long, as long as a token is good."""


class Sessions(Protocol):
    async def load(self, session_id: str) -> Session | None: ...


class Reception:
    """``stream_origin`` is the ``wss://`` origin at which carriers reach streams; ``process`` is who gets them."""

    def __init__(self, calls: Calls, sessions: Sessions, clock: Clock, stream_origin: str, process: str) -> None:
        self._calls = calls
        self._process = process
        self._sessions = sessions
        self._clock = clock
        self._origin = stream_origin.replace("ws://", "wss://", 1)
        self.lost: Callable[[str], None] = lambda _: None
        """Told of a call, by its id, whose stream was cut."""

    async def arrives(
        self, session_id: str, start: CarrierStart, handshake: Handshake, verdict: Verdict | None
    ) -> Arrival:
        """Lets in who has a good token; a call that was here before, whose token is only too old; and the call that
        the session was created for. Raises :class:`StreamRefused`."""
        if not storable(start.call_id):
            raise StreamRefused(1008, "invalid_message", "The start message names no call.")
        session = await self._sessions.load(session_id)
        known = await self._calls.by_carrier_id(start.dialect, start.call_id)
        call = known if known is not None and known.session_id == session_id else None
        if verdict != "ok" and not self._may_come(session, call, start, verdict):
            check_token(verdict)
        if session is None:
            raise StreamRefused(4404, "session_not_found", "There is no such session.")
        if known is None:
            call = await self._placed(session, start)
        await self._check_handshake(session, call, start, handshake)
        if call is None:
            call = await self._received(session, start, known)
        elif call.carrier_call_id is None:
            call = await self._calls.change(call.id, lambda one: self._identified(one, start.call_id)) or call
        if call is None:
            return Arrival(None, session.livemode, start.parameters.get("participant"))
        participant = call.participant_id or start.parameters.get("participant")
        return Arrival(call.id, session.livemode, participant, call.held, call.muted)

    async def joined(self, arrival: Arrival, participant_id: str) -> None:
        def change(call: Call) -> tuple[Call, Sequence[Event]] | None:
            now = self._clock.now()
            details = {**call.details, "process": self._process}
            after = replace(call, participant_id=participant_id, answered_at=call.answered_at or now, details=details)
            if not call.over or call.connection_id is None:
                # Without a connection nobody but its streams tells of a call; a new one says that it goes on.
                after = replace(after, status="in_progress", ended_at=None, hangup_cause=None)
            return after, changes(call, after, now)

        await self._change(arrival, change)

    async def left(self, arrival: Arrival, *, hung_up: bool) -> None:
        def change(call: Call) -> tuple[Call, Sequence[Event]] | None:
            if not hung_up or call.connection_id is not None or call.over:
                return None
            now = self._clock.now()
            after = replace(call, status="completed", ended_at=now, hangup_cause="stream_stopped")
            return after, changes(call, after, now)

        await self._change(arrival, change)
        if not hung_up and arrival.call_id is not None:
            self.lost(arrival.call_id)

    # Inside

    def _may_come(
        self, session: Session | None, call: Call | None, start: CarrierStart, verdict: Verdict | None
    ) -> bool:
        if session is None:
            return False
        if verdict == "expired":
            return call is not None
        named = (session.provider or {}).get("call_sid" if start.dialect == "twilio" else "call_control_id")
        if verdict is not None or not isinstance(named, str):
            return False
        fresh = self._clock.now() - session.created_at < NAMED_CALL_FOR or call is not None
        return fresh and hmac.compare_digest(named.encode(), start.call_id.encode())

    async def _check_handshake(
        self, session: Session, call: Call | None, start: CarrierStart, handshake: Handshake
    ) -> None:
        """Telnyx signs no handshakes."""
        if start.dialect != "twilio":
            return
        connection = await self._connection(session, call)
        if connection is None or connection.carrier != "twilio":
            return
        url = f"{self._origin}{handshake.target.partition('?')[0]}"
        if not check_twilio(connection, url, {}, handshake.headers):
            log.warning("session %s: a Twilio stream whose handshake has no good signature", session.id)
            raise StreamRefused(4401, "invalid_token", "The handshake is not signed by the session's connection.")

    async def _connection(self, session: Session, call: Call | None) -> Connection | None:
        named = (call.connection_id if call is not None else None) or (session.routing or {}).get("connection_id")
        return None if not isinstance(named, str) else await self._calls.connection(named)

    async def _received(self, session: Session, start: CarrierStart, known: Call | None) -> Call | None:
        """A call that nobody told us of before. None where it is somebody else's, as far as we know."""
        now = self._clock.now()
        if known is not None:
            if known.organization_id != session.organization_id or known.livemode != session.livemode:
                log.warning("session %s: its call is kept for another organization", session.id)
                return None
            return await self._calls.change(known.id, lambda call: self._moved(call, session.id))
        call = Call(
            id=new_id(CALL),
            session_id=session.id,
            organization_id=session.organization_id,
            livemode=session.livemode,
            carrier=start.dialect,
            direction="inbound",
            status="ringing",
            created_at=now,
            carrier_call_id=start.call_id,
            from_=cleaned(start.from_ or start.parameters.get("from") or "") or None,
            to=cleaned(start.to or start.parameters.get("to") or "") or None,
        )
        stored = await self._calls.add(call, changes(None, call, now))
        # Another stream of the call may have come at the same time, to another session.
        return stored if stored.session_id == session.id else await self._received(session, start, stored)

    async def _placed(self, session: Session, start: CarrierStart) -> Call | None:
        """A call that we placed, whose id at the carrier we have not been told: its stream names it."""
        named = start.parameters.get("call")
        call = await self._calls.get(named) if named and storable(named) else None
        if call is None or (call.session_id, call.carrier, call.carrier_call_id) != (session.id, start.dialect, None):
            return None
        return call

    def _identified(self, call: Call, carrier_call_id: str) -> tuple[Call, tuple[()]] | None:
        return (replace(call, carrier_call_id=carrier_call_id), ()) if call.carrier_call_id is None else None

    def _moved(self, call: Call, session_id: str) -> tuple[Call, tuple[()]]:
        return replace(call, session_id=session_id, participant_id=None), ()

    async def _change(self, arrival: Arrival, change: Change) -> None:
        if arrival.call_id is None:
            return
        try:
            await self._calls.change(arrival.call_id, change)
        except Exception:
            # The call's audio goes on whatever the database does.
            log.exception("call %s could not be stored", arrival.call_id)


def ended_with_its_session(call: Call, now: datetime) -> Call:
    """A call that nobody but its streams tells of."""
    return replace(call, status="completed", ended_at=now, hangup_cause="session_ended")
