"""The carrier that test keys reach: calls that ring, are answered and hung up as real ones, and reach no telephone.

What becomes of a call is in the number that is called, as with Twilio's test credentials:
:data:`OUTCOMES`; every other number answers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from kallglot.carriers.callbacks import CallChange
from kallglot.carriers.client import CarrierError, Order, Stream
from kallglot.carriers.model import AnsweredBy, Call, CallStatus
from kallglot.ids import new_id
from kallglot.session import events
from kallglot.session.leg import OutputFormat
from kallglot.session.live import LiveSession
from kallglot.session.model import Participant
from kallglot.session.switchboard import StreamRefused, Switchboard

log = logging.getLogger(__name__)

INVALID: Final = "+15005550001"
OUTCOMES: Final[dict[str, CallStatus]] = {
    "+15005550002": "busy",
    "+15005550003": "no_answer",
    "+15005550004": "failed",
}
MACHINE: Final = "+15005550005"
RINGS_AFTER_S: Final = 0.1
RINGS_FOR_S: Final = 0.5
FRAME: Final = bytes(320)

Told = Callable[[str, CallChange], Awaitable[None]]
"""What has become of a call of ours, by its id."""


class SimulatedCarrier:
    """Implements :class:`~kallglot.carriers.client.CarrierClient`. Somebody who answers says nothing, and hears."""

    def __init__(self, switchboard: Switchboard, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._switchboard = switchboard
        self._sleep = sleep
        self._told: Told | None = None
        self._calls: dict[str, asyncio.Task[None]] = {}

    def tells(self, told: Told) -> None:
        self._told = told

    async def dial(self, order: Order) -> str:
        if order.to == INVALID:
            raise CarrierError(f"{order.to} is not a valid number.", code="21211", status=400)
        carrier_call_id = f"CAsim{order.call_id.removeprefix('call_')}"
        if order.call_id not in self._calls:
            task = asyncio.create_task(self._run(order, carrier_call_id), name=order.call_id)
            self._calls[order.call_id] = task
            task.add_done_callback(lambda _: self._calls.pop(order.call_id, None))
        return carrier_call_id

    async def hang_up(self, call: Call) -> None:
        task = self._calls.get(call.id)
        if task is not None:
            task.cancel()

    async def transfer(self, call: Call, to: str, *, from_: str | None, timeout_seconds: int, result_url: str) -> None:
        if to == INVALID:
            raise CarrierError(f"{to} is not a valid number.", code="21211", status=400)
        await self.hang_up(call)

    async def restream(self, call: Call, stream: Stream, answer_url: str) -> None:
        raise CarrierError("A simulated call has no other stream.")

    async def send_digits(self, call: Call, digits: str) -> bool:
        return False

    async def answer(self, call: Call, stream: Stream) -> None:
        raise CarrierError("A simulated call cannot come in.")

    async def reject(self, carrier_call_id: str, *, busy: bool) -> None:
        raise CarrierError("A simulated call cannot come in.")

    async def close(self) -> None:
        tasks = list(self._calls.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self, order: Order, carrier_call_id: str) -> None:
        await self._sleep(RINGS_AFTER_S)
        await self._tell(order, CallChange(carrier_call_id, "ringing", 1))
        await self._sleep(RINGS_FOR_S)
        outcome = OUTCOMES.get(order.to)
        if outcome is not None:
            await self._tell(order, CallChange(carrier_call_id, outcome, 2, hangup_cause=outcome))
            return
        leg = SimulatedLeg(order.stream.parameters.get("participant"))
        session_id, livemode = order.stream.url.rsplit("/", 2)[-2], False
        try:
            live = await self._switchboard.connect(session_id, livemode, leg.bound)
        except StreamRefused as refusal:
            await self._tell(order, CallChange(carrier_call_id, "failed", 2, hangup_cause=refusal.code))
            return
        answered_by: AnsweredBy | None = None
        if order.machine_detection:
            answered_by = "machine" if order.to == MACHINE else "human"
        try:
            await self._tell(order, CallChange(carrier_call_id, "in_progress", 2, answered_by=answered_by))
            while not leg.closed:
                live.audio(leg, leg.participant_id or "", FRAME, 8000, None)
                await self._sleep(0.02)
        finally:
            await asyncio.shield(self._leave(live, leg, order, carrier_call_id))

    async def _leave(self, live: LiveSession, leg: SimulatedLeg, order: Order, carrier_call_id: str) -> None:
        await self._switchboard.disconnect(live, leg)
        await self._tell(order, CallChange(carrier_call_id, "completed", 3, hangup_cause="hangup"))

    async def _tell(self, order: Order, change: CallChange) -> None:
        if self._told is not None:
            try:
                await self._told(order.call_id, change)
            except Exception:
                log.exception("call %s could not be stored", order.call_id)


class SimulatedLeg:
    late_ms = 0.0
    writable = True

    def __init__(self, participant: str | None) -> None:
        self.id = new_id("leg_")
        self.output = OutputFormat()
        self.participant_id = participant
        self.closed = False
        self.heard = 0
        """Frames."""

    def bound(self, live: LiveSession) -> SimulatedLeg:
        """To whom it was placed for. Raises :class:`StreamRefused`."""
        found = live.find(self.participant_id) if self.participant_id is not None else live.find("customer")
        if found is None:
            raise StreamRefused(1008, "unknown_speaker", "There is no such participant.")
        self.participant_id = found.id
        return self

    def deliver(self, event: events.SessionEvent) -> None:
        pass

    def deliver_audio(
        self, listener: Participant, speaker: str, turn_id: str | None, payload: bytes, now_ms: float
    ) -> None:
        self.heard += 1

    def hold_input(self, held: bool) -> None:
        pass

    def close(self, code: int, reason: str) -> None:
        self.closed = True
