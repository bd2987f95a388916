"""Calls placed, controlled, and followed: what the API and the carriers' webhooks ask for, done with the carrier.

A call's row is written before the carrier is asked for anything, so that a crash in between leaves something to find.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

from kallglot.audio.tones import dtmf
from kallglot.carriers import documents
from kallglot.carriers.addresses import Addresses
from kallglot.carriers.callbacks import CallChange, apply
from kallglot.carriers.client import CarrierClient, CarrierError, Order, Stream
from kallglot.carriers.lines import Lines
from kallglot.carriers.model import Call, Connection
from kallglot.carriers.notices import changes
from kallglot.carriers.ports import Calls
from kallglot.clock import Clock
from kallglot.outbox import Event
from kallglot.session.live import LiveSession
from kallglot.session.model import Session
from kallglot.session.tokens import StreamTokens

log = logging.getLogger(__name__)

RESUME_PAUSE_SECONDS: Final = 20
"""Before a carrier asks what comes next when a stream has ended: longer than a restart takes, as a request that fails
ends the call. Nobody waits for so long where the carrier's REST API can be asked: we do that as soon as we are here."""
REJOINED_AT_ONCE: Final = 8
"""Carriers limit how often they are asked."""
UNCLEAR: Final = "unclear"
"""As a hang-up cause: it may have been placed."""
LOST_SECONDS: Final = 1.0
"""From the loss of a stream until the carrier is asked for another: it may be hanging up."""


class CallOver(Exception):
    """The call is not active any more, or not yet."""


class Sessions(Protocol):
    """The live sessions of this process."""

    def live(self, session_id: str) -> LiveSession | None: ...


class Streams(Protocol):
    def has(self, session_id: str, carrier: str, carrier_call_id: str) -> bool: ...

    def hang_up(self, session_id: str, carrier: str, carrier_call_id: str) -> bool:
        """Closes the call's stream; whether there was one."""
        ...


class Exchange:
    """``lines`` reach carriers; ``simulated`` stands in for one where a test key asks."""

    def __init__(
        self,
        calls: Calls,
        sessions: Sessions,
        streams: Streams,
        lines: Lines,
        simulated: CarrierClient,
        tokens: StreamTokens,
        addresses: Addresses,
        clock: Clock,
    ) -> None:
        self.calls = calls
        self._sessions = sessions
        self._streams = streams
        self._lines = lines
        self._simulated = simulated
        self._tokens = tokens
        self.addresses = addresses
        self._clock = clock

    # Placing

    async def dial(self, call: Call) -> Call:
        """Places a call that is to be made. The same call again is placed once; one that was certainly not placed, as
        the carrier refused it or was not there, is tried again. Raises :class:`CarrierError`."""
        stored = await self.calls.add(call, changes(None, call, self._clock.now()))
        if stored.status == "failed" and stored.carrier_call_id is None:
            if stored.hangup_cause == UNCLEAR:
                raise CarrierError("Nobody knows whether the carrier took this call.", unclear=True)
            stored = await self._set(stored, status="queued", ended_at=None, hangup_cause=None)
        if stored.carrier_call_id is not None or stored.over:
            return stored
        client = await self._client(stored)
        details = stored.details
        order = Order(
            call_id=stored.id,
            to=stored.to or "",
            from_=stored.from_ or "",
            answer_url=self.addresses.stream_document(stored),
            status_url=(
                self.addresses.events(stored.connection_id or "")
                if stored.carrier == "telnyx"
                else self.addresses.call_status(stored)
            ),
            amd_url=self.addresses.machine_detection(stored),
            stream=self.stream(stored),
            timeout_seconds=int(details.get("timeout_seconds") or 60),
            send_digits=details.get("send_digits"),
            machine_detection=bool(details.get("machine_detection")),
            ordered_at=None if stored == call else stored.created_at,
            session_id=stored.session_id,
        )
        try:
            carrier_call_id = await client.dial(order)
        except CarrierError as error:
            cause = UNCLEAR if error.unclear else error.code or "carrier_error"
            await self._update(stored.id, CallChange("", "failed", hangup_cause=cause))
            raise
        # Its callbacks may have come before the answer.
        placed = await self._update(stored.id, CallChange(carrier_call_id)) or stored
        if placed.over and placed.hangup_cause == "hangup":
            # We hung up before there was anything to hang up at the carrier.
            try:
                await client.hang_up(placed)
            except CarrierError as error:
                log.warning("call %s could not be hung up: %s", placed.id, error.brief)
        return placed

    def stream(self, call: Call) -> Stream:
        token, _ = self._tokens.issue(call.session_id, call.livemode)
        parameters = {"token": token, "call": call.id}
        if call.participant_id is not None:
            parameters["participant"] = call.participant_id
        if call.carrier == "telnyx":
            parameters["bidirectional_mode"] = "rtp"
        return Stream(self.addresses.stream(call.session_id), parameters)

    def stream_document(self, call: Call) -> str:
        """What brings the call's audio here, and asks again when that has ended."""
        return documents.connect_stream(
            call.carrier,
            self.stream(call),
            action_url=None,
            resume_url=self.addresses.stream_document(call),
            pause_seconds=RESUME_PAUSE_SECONDS,
        )

    async def reject(self, connection: Connection, carrier_call_id: str, *, busy: bool) -> None:
        """Does not pick up. Raises :class:`CarrierError`."""
        await (await self._lines.of(connection)).reject(carrier_call_id, busy=busy)

    async def answer(self, call: Call) -> None:
        """Picks up a call that Call Control holds. Raises :class:`CarrierError`."""
        await (await self._client(call)).answer(call, self.stream(call))

    # Control. Each raises CallOver, and CarrierError where a carrier is asked.

    async def hang_up(self, call: Call) -> Call:
        if call.over:
            return call
        if call.connection_id is None and call.carrier != "simulated":
            # Nobody gave us that carrier's account: without its stream the carrier goes on in the customer's document.
            if call.carrier_call_id is not None:
                self._streams.hang_up(call.session_id, call.carrier, call.carrier_call_id)
            return await self._update(call.id, CallChange("", "completed", hangup_cause="hangup")) or call
        if call.carrier_call_id is not None:
            await (await self._client(call)).hang_up(call)
        status = "completed" if call.answered_at is not None else "canceled"
        return await self._update(call.id, CallChange("", status, hangup_cause="hangup")) or call

    async def hold(self, call: Call, held: bool) -> Call:
        live, participant_id = self._at(call)
        live.hold(participant_id, held)
        return await self._set(call, held=held)

    async def mute(self, call: Call, muted: bool) -> Call:
        live, participant_id = self._at(call)
        live.mute(participant_id, muted)
        return await self._set(call, muted=muted)

    async def send_digits(self, call: Call, digits: str) -> Call:
        """Raises ``ValueError`` for what is no digit."""
        dtmf(digits, 8000)
        live, participant_id = self._at(call)
        sent = call.connection_id is not None and await (await self._client(call)).send_digits(call, digits)
        if not sent:
            live.send_digits(participant_id, digits)
        return call

    async def transfer(self, call: Call, to: str, *, from_: str | None, timeout_seconds: int) -> Call:
        """Blind: whoever is on the call is connected with ``to``, and leaves the session while that lasts. Where it
        fails they are back in it."""
        if call.status != "in_progress" or call.carrier_call_id is None:
            raise CallOver
        client = await self._client(call)
        transfer = {"to": to, "status": "started"}
        before = await self._set(call, details={**call.details, "transfer": transfer})
        result_url = self.addresses.transferred(call)
        if call.carrier == "telnyx" and call.details.get("product") != "texml":
            # Nobody asks what comes next: its webhooks tell.
            result_url = self.addresses.events(call.connection_id or "")
        try:
            await client.transfer(call, to, from_=from_, timeout_seconds=timeout_seconds, result_url=result_url)
        except CarrierError:
            await self._set(before, details={**before.details, "transfer": {**transfer, "status": "failed"}})
            raise
        return before

    async def transferred(self, call: Call, outcome: str) -> str:
        """The transfer is over, as the carrier says in ``outcome``; the document that says what comes next."""
        done = outcome in ("completed", "answered")
        begun: dict[str, Any] = call.details.get("transfer") or {}
        transfer = {**begun, "status": "completed" if done else "failed"}
        if not done:
            transfer["reason"] = outcome
        await self._set(call, details={**call.details, "transfer": transfer})
        return documents.hang_up(call.carrier) if done else self.stream_document(call)

    # What carriers tell

    async def told(self, call: Call, change: CallChange) -> Call | None:
        """A status callback."""
        if call.carrier_call_id is None and change.carrier_call_id:
            holder = await self.calls.by_carrier_id(call.carrier, change.carrier_call_id)
            if holder is not None and holder.id != call.id:
                log.warning("call %s: a callback names %s, which is %s", call.id, change.carrier_call_id, holder.id)
                return call
        return await self._update(call.id, change)

    async def told_of(self, call_id: str, change: CallChange) -> None:
        await self._update(call_id, change)

    async def restream(self, call: Call) -> None:
        """The call's stream has ended and the call has not: a transfer that failed."""
        await (await self._client(call)).restream(call, self.stream(call), self.addresses.stream_document(call))

    async def rejoin(self, call_id: str) -> None:
        """The call's stream was cut. Where the call goes on, the carrier is asked for another at once."""
        await asyncio.sleep(LOST_SECONDS)
        call = await self.calls.get(call_id)
        if call is None or call.status != "in_progress" or call.connection_id is None:
            return
        if _elsewhere(call) or self._streams.has(call.session_id, call.carrier, call.carrier_call_id or ""):
            return
        try:
            await self.restream(call)
        except CarrierError as error:
            log.warning("call %s lost its stream and gets no other: %s", call.id, error.brief)

    async def rejoin_all(self, process: str) -> None:
        """The streams that ``process`` had ended with it, and now it is back."""
        slots = asyncio.Semaphore(REJOINED_AT_ONCE)

        async def rejoin(call: Call) -> None:
            async with slots:
                await self.rejoin(call.id)

        await asyncio.gather(*(rejoin(call) for call in await self.calls.streamed_to(process)))

    async def session_ended(self, session: Session) -> None:
        """Hangs up what is still on: the session that it was for is over."""
        for call in await self.calls.of_session(session.id):
            if call.over or _elsewhere(call):
                continue
            try:
                await self.hang_up(call)
            except CarrierError as error:
                log.warning("call %s could not be hung up: %s", call.id, error.brief)
                await self._update(call.id, CallChange("", "completed", hangup_cause="session_ended"))

    # Inside

    async def _client(self, call: Call) -> CarrierClient:
        if call.carrier == "simulated" or not call.livemode:
            return self._simulated
        connection = None if call.connection_id is None else await self.calls.connection(call.connection_id)
        if connection is None or not connection.active:
            raise CarrierError("The call belongs to no connection here: its carrier cannot be asked for anything.")
        return await self._lines.of(connection)

    def _at(self, call: Call) -> tuple[LiveSession, str]:
        """The session and participant that the call is heard in."""
        live = self._sessions.live(call.session_id)
        if call.status != "in_progress" or live is None or call.participant_id is None:
            raise CallOver
        return live, call.participant_id

    async def _update(self, call_id: str, change: CallChange) -> Call | None:
        def change_row(call: Call) -> tuple[Call, Sequence[Event]] | None:
            now = self._clock.now()
            after = apply(call, change, now)
            return None if after == call else (after, changes(call, after, now))

        after = await self.calls.change(call_id, change_row)
        if after is not None and after.over:
            self._let_go(after)
        return after

    def _let_go(self, call: Call) -> None:
        """Who was held or muted by a call is not when somebody calls them again."""
        live = self._sessions.live(call.session_id)
        if live is None or call.participant_id is None:
            return
        if call.held:
            live.hold(call.participant_id, False)
        if call.muted:
            live.mute(call.participant_id, False)

    async def _set(self, call: Call, **fields: Any) -> Call:
        def change_row(stored: Call) -> tuple[Call, Sequence[Event]] | None:
            after = replace(stored, **fields)
            return None if after == stored else (after, ())

        return await self.calls.change(call.id, change_row) or call


def _elsewhere(call: Call) -> bool:
    """Whoever is on it was transferred out of the session: nothing that happens there is a reason to disturb them."""
    transfer: dict[str, Any] = call.details.get("transfer") or {}
    return transfer.get("status") in ("started", "completed")
