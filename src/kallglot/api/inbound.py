"""A call that comes in to a number of ours, and the session that it gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from kallglot.accounts.model import PhoneNumber
from kallglot.accounts.plans import plan_named
from kallglot.accounts.policy import engines, redaction
from kallglot.api.body import check_storable, parse
from kallglot.api.creation import Owner, keep, new_session
from kallglot.api.models import CreateSession, Engines
from kallglot.api.services import ApiServices
from kallglot.carriers.callbacks import Incoming
from kallglot.carriers.exchange import Exchange
from kallglot.carriers.model import Call, Connection
from kallglot.errors import KallglotError
from kallglot.outbox import Event
from kallglot.session.model import Session
from kallglot.speech import orders


class NoSession(Exception):
    """Why a call gets none. ``busy``: it might at another time."""

    def __init__(self, why: str, *, busy: bool = False) -> None:
        super().__init__(why)
        self.busy = busy


async def session_for(
    given: ApiServices,
    exchange: Exchange,
    connection: Connection,
    incoming: Incoming,
    made: Callable[[Session], Call],
    told: Callable[[Call | None, Call, datetime], Sequence[Event]],
) -> Call:
    """Makes the session that the number's policy says, and the call in it, in one transaction. Where the carrier asks
    twice at the same time, both get the call of the first. Raises :class:`NoSession`."""
    number = await exchange.calls.number(incoming.to or "", connection.livemode)
    if number is None or number.connection_id != connection.id:
        raise NoSession(f"{incoming.to} is no active number of this connection.")
    asked = await _asked(given, number, incoming)
    now = given.clock.now()
    try:
        async with given.store.write() as unit:
            # Whoever asks about the same call at the same time waits here, and finds it.
            await unit.connections.lock(connection.organization_id)
            organization = await unit.organizations.get(connection.organization_id)
            if organization is None or organization.status != "active":
                raise NoSession("The organization is not active.")
            known = await unit.calls.by_carrier_id(connection.carrier, incoming.carrier_call_id)
            if known is not None:
                return known
            masked, plan = redaction(organization.policy), plan_named(organization.plan)
            chosen = engines(organization.policy)
            owner = Owner(organization.id, connection.livemode, plan, redaction=masked, engines=chosen)
            session = _session(asked, owner, number, connection, given)
            await keep(session, owner, unit)
            call = made(session)
            stored = await unit.calls.add(call, told(None, call, now))
        given.sessions.expect(session.id)
        return stored
    except KallglotError as error:
        busy = error.code in ("concurrent_session_limit_exceeded", "overloaded")
        raise NoSession(error.message, busy=busy) from None


async def _asked(given: ApiServices, number: PhoneNumber, incoming: Incoming) -> CreateSession:
    policy: dict[str, Any] | None = None if number.policy is None else dict(number.policy)
    if policy is None:
        raise NoSession(f"{number.number} has no policy.")
    busy_for = given.admission()
    if busy_for is not None:
        raise NoSession("The server is at its limit.", busy=True)
    url = policy.get("webhook_url")
    if url is not None:
        policy = await given.instructions(str(url), number, incoming)
        if policy is None:
            raise NoSession("The customer's webhook did not take the call.")
    try:
        check_storable(policy)
        asked = parse(CreateSession, policy)
    except KallglotError as error:
        raise NoSession(f"The number's policy cannot be used: {error.message}") from None
    return asked if url is not None or asked.engines is None else _with_engines(asked, asked.engines, given)


def _with_engines(asked: CreateSession, chosen: Engines, given: ApiServices) -> CreateSession:
    """An engine that the operator has taken away since the policy was written does not cost the call."""
    left = orders.without(
        chosen.model_dump(exclude_none=True),
        lambda kind, name: name != orders.LOCAL and name not in given.languages.names(kind),
    )
    return asked.model_copy(update={"engines": Engines.model_validate(left)})


def _session(
    asked: CreateSession, owner: Owner, number: PhoneNumber, connection: Connection, given: ApiServices
) -> Session:
    session = new_session(asked, None, owner, given)
    return replace(
        session,
        carrier=connection.carrier,
        phone_number=number.number,
        routing={**(session.routing or {}), "connection_id": connection.id, "direction": "inbound"},
    )
