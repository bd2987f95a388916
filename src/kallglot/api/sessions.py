"""``/v1/sessions``: create, read, list, change, end."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from kallglot.accounts.ports import Page
from kallglot.api import compat, views
from kallglot.api.auth import Caller, requires, tell_credits
from kallglot.api.body import parse, read_json
from kallglot.api.creation import keep, new_session, owner_of, route, routed
from kallglot.api.idempotency import Finish
from kallglot.api.models import CreateSession, EndSession, Moment, UpdateSession
from kallglot.api.openapi import documented
from kallglot.api.ports.sessions import SessionFilter
from kallglot.api.services import ApiServices, services
from kallglot.errors import KallglotError
from kallglot.session.model import Session
from kallglot.texts import storable

router = APIRouter(prefix="/v1/sessions", tags=["sessions"])

_ID: Final = re.compile(r"[A-Za-z0-9_]{1,64}")
_METADATA_FILTER: Final = re.compile(r"metadata\[(.{1,40})\]", re.DOTALL)

Limit = Annotated[int, Query(ge=1, le=100, description="How many at most.")]
Cursor = Annotated[str | None, Query(max_length=64, pattern=r"^[A-Za-z0-9_]+$", description="An id of the list.")]


async def find(given: ApiServices, caller: Caller, session_id: str) -> Session:
    """The caller's own session. Raises ``session_not_found``."""
    if _ID.fullmatch(session_id):
        async with given.store.read() as unit:
            found = await unit.sessions.get(session_id, caller.organization_id, caller.livemode)
        if found is not None:
            return found
    raise KallglotError("session_not_found", "There is no such session.")


@router.post("", status_code=201, **documented("create_session"))
async def create(request: Request, caller: Caller = requires("sessions:write", "sessions_write")) -> Response:
    """Creates a session. Costs one API credit with a live key."""
    given = services(request)
    if caller.organization.status == "inactive":
        raise KallglotError("organization_inactive", "The organization's subscription is not active.")
    body = await read_json(request)
    current, provider = compat.take_provider(body)
    asked = parse(CreateSession, current)
    owner = owner_of(caller)

    async def work(finish: Finish) -> tuple[int, bytes]:
        busy_for = given.admission()
        if busy_for is not None:
            raise KallglotError("overloaded", "The server is at its limit; try again shortly.", retry_after=busy_for)
        session = new_session(asked, provider, owner, given)
        async with given.store.write() as unit:
            if provider is None:
                session = routed(session, await route(asked.routing, caller, unit))
            await keep(session, owner, unit)
            answer = json.dumps(views.session(session, given)).encode()
            await finish(unit, 201, answer)
        given.sessions.expect(session.id)
        return 201, answer

    headers = compat.DEPRECATION if provider is not None else None
    response = await given.idempotency.run(request, caller.key, body, work, headers)
    async with given.store.read() as unit:
        organization = await unit.organizations.get(caller.organization_id)
    tell_credits(request, organization or caller.organization)
    return response


@router.get("", **documented("list_sessions"))
async def list_sessions(
    request: Request,
    caller: Caller = requires("sessions:read", "sessions_read"),
    limit: Limit = 20,
    starting_after: Cursor = None,
    ending_before: Cursor = None,
    status: Annotated[Literal["created", "connecting", "active", "ending", "ended"] | None, Query()] = None,
    mode: Annotated[
        Literal["bidirectional_translation", "assistive_translation", "ai_agent", "help_chat_voice"] | None, Query()
    ] = None,
    created_after: Annotated[Moment | None, Query()] = None,
    created_before: Annotated[Moment | None, Query()] = None,
) -> dict[str, Any]:
    """Sessions, newest first. ``metadata[key]=value`` finds those that carry it."""
    given = services(request)
    where = SessionFilter(
        caller.organization_id,
        caller.livemode,
        status,
        mode,
        _metadata_filter(request),
        utc(created_after, "created_after"),
        utc(created_before, "created_before"),
    )
    page = page_of(limit, starting_after, ending_before)
    async with given.store.read() as unit:
        found, more = await unit.sessions.list(where, page)
        calls = await unit.calls.newest([one.id for one in found])
    return views.listing("/v1/sessions", [views.session(one, given, calls.get(one.id)) for one in found], more)


@router.get("/{session_id}", **documented("get_session"))
async def get(
    request: Request, session_id: str, caller: Caller = requires("sessions:read", "sessions_read")
) -> dict[str, Any]:
    """One session; while it has not ended, with a fresh stream token."""
    given = services(request)
    return await _shown(given, await find(given, caller, session_id))


@router.patch("/{session_id}", **documented("update_session"))
async def update(
    request: Request, session_id: str, caller: Caller = requires("sessions:write", "sessions_write")
) -> dict[str, Any]:
    """Changes metadata: keys given are set, a null value removes its key, ``metadata: null`` removes all."""
    given = services(request)
    asked = parse(UpdateSession, await read_json(request))
    await find(given, caller, session_id)
    async with given.store.write() as unit:
        current = await unit.sessions.get(session_id, caller.organization_id, caller.livemode)
        if current is None:
            raise KallglotError("session_not_found", "There is no such session.")
        metadata = None
        if asked.metadata is not None:
            merged = {**(current.metadata or {}), **asked.metadata}
            metadata = {key: value for key, value in merged.items() if value is not None}
            if len(metadata) > 50:
                raise KallglotError("invalid_field_value", "metadata: at most 50 keys are kept.", param="metadata")
        await unit.sessions.set_metadata(session_id, metadata)
    return await _shown(given, await find(given, caller, session_id))


@router.post("/{session_id}/end", **documented("end_session"))
async def end(
    request: Request, session_id: str, caller: Caller = requires("sessions:write", "sessions_write")
) -> Response:
    """Ends a session. Ending an ended one answers as the first time."""
    given = services(request)
    body = await read_json(request, optional=True)
    asked = parse(EndSession, body)
    session = await find(given, caller, session_id)

    async def work(finish: Finish) -> tuple[int, bytes]:
        ended = await given.sessions.end(session, asked.reason)
        answer = json.dumps(views.session_ended(ended)).encode()
        async with given.store.write() as unit:
            await finish(unit, 200, answer)
        return 200, answer

    return await given.idempotency.run(request, caller.key, body, work)


async def _shown(given: ApiServices, session: Session) -> dict[str, Any]:
    async with given.store.read() as unit:
        calls = await unit.calls.newest([session.id])
    return views.session(session, given, calls.get(session.id))


def page_of(limit: int, starting_after: str | None, ending_before: str | None) -> Page:
    if starting_after is not None and ending_before is not None:
        raise KallglotError(
            "conflicting_fields", "Either starting_after or ending_before, not both.", param="ending_before"
        )
    return Page(limit, starting_after, ending_before)


def _metadata_filter(request: Request) -> dict[str, str] | None:
    wanted: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        match = _METADATA_FILTER.fullmatch(name)
        if match is None:
            continue
        if not storable(name + value) or len(value) > 500 or len(wanted) >= 10:
            raise KallglotError(
                "invalid_field_value", f"{name[:60]}: at most 10 keys, 500 characters each.", param=name[:60]
            )
        wanted[match.group(1)] = value
    return wanted or None


def utc(moment: datetime | None, name: str) -> datetime | None:
    """Raises ``invalid_field_value`` for a moment that only its own zone can hold."""
    if moment is None:
        return None
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise KallglotError(
            "invalid_field_value", f"{name}: expected a time between the years 1 and 9999.", param=name
        ) from None
