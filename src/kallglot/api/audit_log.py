"""``/v1/audit_log``: who did what."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from kallglot.accounts.audit import AuditFilter
from kallglot.api import views
from kallglot.api.auth import Caller, requires
from kallglot.api.models import Moment
from kallglot.api.openapi import documented
from kallglot.api.services import services
from kallglot.api.sessions import Cursor, Limit, page_of, utc

router = APIRouter(prefix="/v1/audit_log", tags=["organization"])

_Action = Annotated[
    str | None,
    Query(
        max_length=80, pattern=r"^[a-z_]+(\.[a-z_]+)*$", description="One only: api_key.created, connection.updated …"
    ),
]
_Actor = Annotated[
    str | None,
    Query(max_length=80, pattern=r"^[A-Za-z0-9_]+$", description="The id of an API key, operator, system, stripe."),
]
_Target = Annotated[
    str | None, Query(max_length=80, pattern=r"^[A-Za-z0-9_]+$", description="The id of what was acted on.")
]


@router.get("", **documented("list_audit_log"))
async def list_audit_log(
    request: Request,
    caller: Caller = requires("admin", "management"),
    limit: Limit = 20,
    starting_after: Cursor = None,
    ending_before: Cursor = None,
    action: _Action = None,
    actor: _Actor = None,
    target: _Target = None,
    created_after: Annotated[Moment | None, Query()] = None,
    created_before: Annotated[Moment | None, Query()] = None,
) -> dict[str, Any]:
    """Administrative acts, newest first. A live key sees all of them, a test key those done with test keys."""
    where = AuditFilter(
        action,
        actor,
        target,
        utc(created_after, "created_after"),
        utc(created_before, "created_before"),
        by_test_keys=not caller.livemode,
    )
    page = page_of(limit, starting_after, ending_before)
    async with services(request).store.read() as unit:
        found, more = await unit.audit.list(caller.organization_id, page, where)
    return views.listing("/v1/audit_log", [views.audit_entry(one) for one in found], more)
