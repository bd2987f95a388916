"""The telephone side of a server, put together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from kallglot.carriers.addresses import Addresses
from kallglot.carriers.client import CarrierClient
from kallglot.carriers.exchange import Exchange, Streams
from kallglot.carriers.lines import Lines
from kallglot.carriers.model import Connection
from kallglot.carriers.observed import ObservedClient
from kallglot.carriers.ports import Calls
from kallglot.carriers.simulated import SimulatedCarrier
from kallglot.clock import Clock
from kallglot.session.switchboard import Switchboard
from kallglot.session.tokens import StreamTokens
from kallglot.work import Observe, unobserved

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Desk:
    exchange: Exchange
    lines: Lines
    simulated: SimulatedCarrier
    chores: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    def back(self, process: str) -> None:
        """``process`` runs again, and listens."""
        self._chore(self.exchange.rejoin_all(process), "rejoin")

    def stream_lost(self, call_id: str) -> None:
        if not self.closing.is_set():
            self._chore(self.exchange.rejoin(call_id), f"{call_id}-rejoin")

    def _chore(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self.chores.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self.chores.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed", task.get_name(), exc_info=error)

    async def close(self) -> None:
        self.closing.set()
        for chore in list(self.chores):
            chore.cancel()
        await asyncio.gather(*self.chores, return_exceptions=True)
        await self.simulated.close()
        await self.lines.close()


def open_desk(
    calls: Calls,
    switchboard: Switchboard,
    streams: Streams,
    tokens: StreamTokens,
    addresses: Addresses,
    clock: Clock,
    *,
    twilio_url: str | None = None,
    telnyx_url: str | None = None,
    observe: Observe = unobserved,
) -> Desk:
    """The URLs are of stand-ins for the carriers' REST APIs, in tests."""
    simulated = SimulatedCarrier(switchboard)

    def client(connection: Connection) -> CarrierClient:
        made = _client(calls, twilio_url, telnyx_url, connection)
        return ObservedClient(made, connection.carrier, observe, clock)

    lines = Lines(client)
    exchange = Exchange(calls, switchboard, streams, lines, simulated, tokens, addresses, clock)
    simulated.tells(exchange.told_of)
    switchboard.on_ended = exchange.session_ended
    return Desk(exchange, lines, simulated)


def _client(calls: Calls, twilio_url: str | None, telnyx_url: str | None, connection: Connection) -> CarrierClient:
    # Imported when there is a connection: the SDKs would take a sixth of every start.
    if connection.carrier == "telnyx":
        from kallglot.carriers.telnyx import TelnyxClient

        return TelnyxClient(connection, base_url=telnyx_url)

    async def holder(carrier_call_id: str) -> str | None:
        call = await calls.by_carrier_id("twilio", carrier_call_id)
        return None if call is None else call.id

    from kallglot.carriers.twilio import Elsewhere, TwilioClient

    return TwilioClient(connection, None if twilio_url is None else Elsewhere(twilio_url), holder=holder)
