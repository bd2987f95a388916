"""From a validated request to a session that can be kept: defaults, languages, routing, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import combinations
from typing import Any

from kallglot.accounts import credits, policy
from kallglot.accounts.plans import Plan
from kallglot.api import destinations, news
from kallglot.api.auth import Caller
from kallglot.api.compat import Provider, stored
from kallglot.api.models import CreateSession, Engines, OneVoice, Routing
from kallglot.api.ports.store import UnitOfWork
from kallglot.api.services import ApiServices
from kallglot.errors import KallglotError
from kallglot.ids import PARTICIPANT, SESSION, new_id
from kallglot.session.model import Participant, Role, Session
from kallglot.speech import orders
from kallglot.speech.orders import Orders
from kallglot.webhooks.model import of_session


@dataclass(frozen=True, slots=True)
class Route:
    """``connection_id`` where nothing but the organisation's default says it."""

    carrier: str | None = None
    phone_number: str | None = None
    connection_id: str | None = None


def check(asked: CreateSession, given: ApiServices, chosen: Orders | None = None) -> tuple[Participant, ...]:
    """The participants. Raises what the request is refused for, whoever sends it; ``chosen`` are the engines that the
    organisation wants."""
    _refuse_what_is_not_there(asked)
    destinations.check(asked.webhook_url, "webhook_url", given)
    participants = _participants(asked)
    check_engines(asked.engines, given)
    _check_languages(participants, given, _chosen(asked, chosen))
    return participants


def check_engines(asked: Engines | None, given: ApiServices) -> None:
    """Raises ``invalid_field_value`` for a name that no engine of the kind has."""
    for kind, key, at, name in orders.names(None if asked is None else asked.model_dump(exclude_none=True)):
        if name != orders.LOCAL and name not in given.languages.names(kind):
            param = f"engines.{kind}.{key}.{at}"
            raise KallglotError(
                "invalid_field_value", f'{param}: there is no engine for {kind} called "{name}".', param=param
            )


def _chosen(asked: CreateSession, of_organization: Orders | None) -> dict[str, Any] | None:
    own = None if asked.engines is None else asked.engines.model_dump(exclude_none=True)
    return orders.over(own, of_organization)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose session it is. ``api_key_id`` is None where a call made it."""

    organization_id: str
    livemode: bool
    plan: Plan
    api_key_id: str | None = None
    redaction: Mapping[str, Any] | None = None
    """What its transcript is to do without, as the organization's policy says now."""
    engines: Orders | None = None
    """Those that the organization wants, likewise."""


def owner_of(caller: Caller) -> Owner:
    masked = policy.redaction(caller.organization.policy)
    chosen = policy.engines(caller.organization.policy)
    return Owner(caller.organization_id, caller.livemode, caller.plan, caller.key.id, masked, chosen)


async def keep(session: Session, owner: Owner, unit: UnitOfWork) -> None:
    """Takes what a session costs, and stores it. Raises what there is none for."""
    # Taking the credit locks the organization's row, so that two creations at once are counted one by one.
    if owner.livemode and not await unit.organizations.take_credit(
        owner.organization_id,
        1,
        credits.SESSION,
        session.id,
        session.created_at,
        mode=session.mode,
        api_key_id=session.api_key_id,
    ):
        raise KallglotError("insufficient_api_credits", "API credits exhausted. Purchase more credits to continue.")
    live = await unit.sessions.count_live(owner.organization_id, owner.livemode)
    if live >= owner.plan.concurrent_sessions:
        message = f"The plan allows {owner.plan.concurrent_sessions} sessions at a time."
        raise KallglotError("concurrent_session_limit_exceeded", message, retry_after=30)
    await unit.sessions.add(session)
    endpoint = of_session(session)
    if endpoint is not None:
        await unit.webhook_endpoints.add(endpoint, None)
    await unit.events.add([news.session_created(session)])


def new_session(asked: CreateSession, provider: Provider | None, owner: Owner, given: ApiServices) -> Session:
    """The session, but for the carrier that :func:`route` finds. Raises what the request is refused for."""
    participants = check(asked, given, owner.engines)
    now = given.clock.now()
    return Session(
        id=new_id(SESSION),
        organization_id=owner.organization_id,
        livemode=owner.livemode,
        status="created",
        mode=asked.mode,
        participants=participants,
        created_at=now,
        source_language=asked.source_language or _first(participants, "customer"),
        target_language=asked.target_language or _first(participants, "agent"),
        api_key_id=owner.api_key_id,
        carrier=None if provider is None else provider.type,
        phone_number=None if provider is None else provider.phone_number,
        routing=_kept_routing(asked.routing),
        provider=None if provider is None else stored(provider),
        voice=_kept_voice(asked),
        recording=asked.recording.model_dump(),
        transcription=asked.transcription.model_dump(),
        translation=asked.translation.model_dump(),
        ai_agent=None if asked.ai_agent is None else asked.ai_agent.model_dump(exclude_none=True),
        webhook_url=asked.webhook_url,
        metadata=asked.metadata,
        deadline_at=now + timedelta(seconds=given.never_connected_seconds),
        redaction=owner.redaction,
        engines=_chosen(asked, owner.engines),
    )


def _refuse_what_is_not_there(asked: CreateSession) -> None:
    if asked.ai_agent is None:
        return
    if asked.mode in ("bidirectional_translation", "assistive_translation"):
        raise KallglotError("conflicting_fields", f"ai_agent does not go with mode {asked.mode}.", param="ai_agent")
    if asked.ai_agent.agent_id is not None:
        raise KallglotError(
            "ai_agent_not_found", f"There is no agent {asked.ai_agent.agent_id}.", param="ai_agent.agent_id"
        )
    raise KallglotError("feature_not_available", "AI agents are not part of this version.", param="ai_agent")


def _participants(asked: CreateSession) -> tuple[Participant, ...]:
    """One customer and one agent where none are named; a role's language stands for those who name none."""
    spoken: dict[Role, str | None] = {"customer": asked.source_language, "agent": asked.target_language}
    if asked.participants is None:
        roles: tuple[Role, ...] = ("customer", "agent")
        return tuple(Participant(new_id(PARTICIPANT), role, spoken[role]) for role in roles)
    return tuple(
        Participant(new_id(PARTICIPANT), one.role, one.language or spoken[one.role], one.name)
        for one in asked.participants
    )


def _first(participants: tuple[Participant, ...], role: Role) -> str | None:
    return next((one.language for one in participants if one.role == role and one.language), None)


def _check_languages(participants: tuple[Participant, ...], given: ApiServices, chosen: Orders | None) -> None:
    """Everyone hears everyone: each two languages spoken in the session have to be served."""
    spoken = list(dict.fromkeys(one.language for one in participants))
    if len(spoken) > 1:
        pairs = list(combinations(spoken, 2))
    else:
        pairs = [(spoken[0], spoken[0] if len(participants) > 1 else None)]
    for source, target in pairs:
        missing = given.languages.missing_for(source, target, chosen)
        if missing is not None:
            raise KallglotError("unsupported_language_pair", missing, param="target_language")


def routed(session: Session, found: Route) -> Session:
    """The session with its way to the call; a default connection is written down, for the default may change."""
    routing = session.routing
    if found.connection_id is not None:
        routing = {**(routing or {}), "connection_id": found.connection_id}
    return replace(session, carrier=found.carrier, phone_number=found.phone_number, routing=routing)


async def route(routing: Routing | None, caller: Caller, unit: UnitOfWork) -> Route:
    """connection, then SIP, then an owned number, then, where a direction is given, the organisation's default
    connection; no routing at all is a session of streams only."""
    if routing is None:
        return Route()
    if routing.connection_id is not None:
        found = await unit.connections.get(routing.connection_id, caller.organization_id, caller.livemode)
        if found is None or not found.active:
            message = f"There is no connection {routing.connection_id}."
            raise KallglotError("connection_not_found", message, param="routing.connection_id")
        return Route(found.carrier)
    if routing.type == "sip":
        return _sip(routing)
    if routing.phone_number is not None:
        return await _number(routing.phone_number, routing.direction == "outbound", caller, unit)
    if routing.direction is None:
        message = "routing names no way to the call: expected phone_number, connection_id, type or direction."
        raise KallglotError("routing_unavailable", message, param="routing")
    default = await unit.connections.default(caller.organization_id, caller.livemode)
    if default is None:
        message = "The organization has no default connection: make one with POST /v1/connections."
        raise KallglotError("routing_unavailable", message, param="routing")
    return Route(default.carrier, None, default.id)


def _sip(routing: Routing) -> Route:
    for dials, param in (
        (routing.direction == "outbound", "routing.direction"),
        (routing.sip is not None and routing.sip.uri is not None, "routing.sip.uri"),
    ):
        if dials:
            message = "This version does not dial by SIP; the call has to come in."
            raise KallglotError("feature_not_available", message, param=param)
    return Route("sip")


async def _number(number: str, outbound: bool, caller: Caller, unit: UnitOfWork) -> Route:
    """To dial, the number's connection is needed, or the default one of its carrier."""
    param = "routing.phone_number"
    owned = await unit.phone_numbers.owned(caller.organization_id, number, caller.livemode)
    if owned is None:
        message = f"{number} is not an active number of this organization."
        raise KallglotError("routing_unavailable", message, param=param)
    if outbound:
        owner = (caller.organization_id, caller.livemode)
        through = None if owned.connection_id is None else await unit.connections.get(owned.connection_id, *owner)
        if through is None or not through.active:
            through = await unit.connections.default(*owner, owned.carrier)
        if through is None:
            message = f"There is no active connection to dial with from {number}."
            raise KallglotError("routing_unavailable", message, param=param)
    return Route(owned.carrier, owned.number)


def _kept_routing(routing: Routing | None) -> dict[str, Any] | None:
    """The password of a SIP leg is not kept: nothing here uses it yet."""
    if routing is None:
        return None
    return routing.model_dump(exclude_none=True, exclude={"sip": {"password"}})


def _kept_voice(asked: CreateSession) -> dict[str, Any] | None:
    if asked.voice is None:
        return None
    if isinstance(asked.voice, OneVoice):
        return asked.voice.model_dump()
    return {language: voice.model_dump() for language, voice in asked.voice.items()}
