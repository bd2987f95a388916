"""From a validated request to a session that can be kept: defaults, languages, routing, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from itertools import combinations
from typing import Any

from kallglot.api.auth import Caller
from kallglot.api.compat import Provider, stored
from kallglot.api.models import CreateSession, OneVoice, Routing
from kallglot.api.ports import PhoneNumberRepository
from kallglot.api.services import ApiServices
from kallglot.errors import KallglotError
from kallglot.ids import PARTICIPANT, SESSION, new_id
from kallglot.session.model import Participant, Role, Session


@dataclass(frozen=True, slots=True)
class Route:
    carrier: str | None = None
    phone_number: str | None = None


def new_session(asked: CreateSession, provider: Provider | None, caller: Caller, given: ApiServices) -> Session:
    """The session, but for the carrier that :func:`route` finds. Raises what the request is refused for."""
    _refuse_what_is_not_there(asked)
    participants = _participants(asked)
    _check_languages(participants, given)
    now = given.clock.now()
    return Session(
        id=new_id(SESSION),
        organization_id=caller.organization_id,
        livemode=caller.livemode,
        status="created",
        mode=asked.mode,
        participants=participants,
        created_at=now,
        source_language=asked.source_language or _first(participants, "customer"),
        target_language=asked.target_language or _first(participants, "agent"),
        api_key_id=caller.key.id,
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


def _check_languages(participants: tuple[Participant, ...], given: ApiServices) -> None:
    """Everyone hears everyone: each two languages spoken in the session have to be served."""
    spoken = list(dict.fromkeys(one.language for one in participants))
    if len(spoken) > 1:
        pairs = list(combinations(spoken, 2))
    else:
        pairs = [(spoken[0], spoken[0] if len(participants) > 1 else None)]
    for source, target in pairs:
        missing = given.languages.missing_for(source, target)
        if missing is not None:
            raise KallglotError("unsupported_language_pair", missing, param="target_language")


async def route(routing: Routing | None, caller: Caller, numbers: PhoneNumberRepository) -> Route:
    """connection, then SIP, then an owned number; no routing at all is a session of streams only."""
    if routing is None:
        return Route()
    if routing.connection_id is not None:
        raise KallglotError(
            "connection_not_found", f"There is no connection {routing.connection_id}.", param="routing.connection_id"
        )
    for dials, param in (
        (routing.direction == "outbound", "routing.direction"),
        (routing.sip is not None and routing.sip.uri is not None, "routing.sip.uri"),
    ):
        if dials:
            message = "This version does not dial; the call has to come in."
            raise KallglotError("feature_not_available", message, param=param)
    if routing.type is None and routing.phone_number is None:
        message = "routing names no way to the call: expected phone_number, connection_id or type."
        raise KallglotError("routing_unavailable", message, param="routing")
    if routing.type == "sip":
        return Route("sip")
    owned = await numbers.owned(caller.organization_id, routing.phone_number or "")
    if owned is None:
        raise KallglotError(
            "routing_unavailable",
            f"{routing.phone_number} is not an active number of this organization.",
            param="routing.phone_number",
        )
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
