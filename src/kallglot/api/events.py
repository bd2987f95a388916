"""``/v1/events``: what has happened."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from kallglot.api import views
from kallglot.api.auth import Caller, requires
from kallglot.api.models import Moment
from kallglot.api.openapi import documented
from kallglot.api.ports.events import EventFilter
from kallglot.api.services import services
from kallglot.api.sessions import Cursor, Limit, page_of, utc

router = APIRouter(prefix="/v1/events", tags=["events"])

EventType = Annotated[str | None, Query(max_length=80, pattern=r"^[a-z_]+(\.[a-z_]+)*$", description="One type only.")]
OfSession = Annotated[str | None, Query(max_length=64, pattern=r"^[A-Za-z0-9_]+$", description="Of one session.")]


@router.get("", **documented("list_events"))
async def list_events(
    request: Request,
    caller: Caller = requires("sessions:read", "sessions_read"),
    limit: Limit = 20,
    starting_after: Cursor = None,
    ending_before: Cursor = None,
    type: EventType = None,
    session_id: OfSession = None,
    created_after: Annotated[Moment | None, Query()] = None,
    created_before: Annotated[Moment | None, Query()] = None,
) -> dict[str, Any]:
    """Events, newest first, in the form in which webhooks carry them."""
    where = EventFilter(
        caller.organization_id,
        caller.livemode,
        type,
        session_id,
        utc(created_after, "created_after"),
        utc(created_before, "created_before"),
    )
    page = page_of(limit, starting_after, ending_before)
    async with services(request).store.read() as unit:
        found, more = await unit.events.list(where, page)
    return views.listing("/v1/events", [views.event(one) for one in found], more)
