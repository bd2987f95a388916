"""Analyses of sessions: ask for one, read it."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from kallglot.accounts import credits
from kallglot.analysis.model import PARTS, Analysis
from kallglot.analysis.notices import view
from kallglot.api import views
from kallglot.api.analysis_models import CreateAnalysis
from kallglot.api.auth import Caller, requires, tell_credits
from kallglot.api.body import parse, read_json
from kallglot.api.idempotency import Finish
from kallglot.api.openapi import documented
from kallglot.api.ports.store import UnitOfWork
from kallglot.api.services import ApiServices, services
from kallglot.api.sessions import Cursor, Limit, find, page_of
from kallglot.errors import KallglotError
from kallglot.ids import ANALYSIS, new_id
from kallglot.session.model import Session

router = APIRouter(prefix="/v1", tags=["analyses"])

AGAIN_SECONDS: Final = 5
_ID: Final = re.compile(r"[A-Za-z0-9_]{1,64}")


@router.post("/sessions/{session_id}/analysis", status_code=202, **documented("create_analysis"))
async def create(
    request: Request, session_id: str, caller: Caller = requires("analysis:write", "analysis")
) -> Response:
    """Asks for an analysis of an ended session. Costs one API credit with a live key, which is given back where the
    analysis fails."""
    given = services(request)
    if caller.organization.status == "inactive":
        raise KallglotError("organization_inactive", "The organization's subscription is not active.")
    body = await read_json(request, optional=True)
    asked = parse(CreateAnalysis, body)
    if asked.profile not in given.analysis_profiles:
        known = ", ".join(sorted(given.analysis_profiles))
        raise KallglotError("invalid_field_value", f"profile: expected one of {known}.", param="profile")
    await find(given, caller, session_id)

    async def work(finish: Finish) -> tuple[int, bytes]:
        async with given.store.write() as unit:
            analysis = await _keep(asked, session_id, caller, unit, given)
            answer = json.dumps(view(analysis)).encode()
            await finish(unit, 202, answer)
        given.wake_analyst()
        return 202, answer

    response = await given.idempotency.run(request, caller.key, body, work)
    async with given.store.read() as unit:
        organization = await unit.organizations.get(caller.organization_id)
    tell_credits(request, organization or caller.organization)
    return response


@router.get("/sessions/{session_id}/analyses", **documented("list_analyses"))
async def list_analyses(
    request: Request,
    session_id: str,
    caller: Caller = requires("analysis:read", "analysis"),
    limit: Limit = 20,
    starting_after: Cursor = None,
    ending_before: Cursor = None,
) -> dict[str, Any]:
    """The analyses of a session, newest first."""
    given = services(request)
    page = page_of(limit, starting_after, ending_before)
    await find(given, caller, session_id)
    async with given.store.read() as unit:
        found, more = await unit.analyses.list(session_id, page)
    return views.listing(f"/v1/sessions/{session_id}/analyses", [view(one) for one in found], more)


@router.get("/analyses/{analysis_id}", **documented("get_analysis"))
async def get(
    request: Request, analysis_id: str, caller: Caller = requires("analysis:read", "analysis")
) -> dict[str, Any]:
    """One analysis."""
    return view(await _find(services(request), caller, analysis_id))


@router.get("/analysis/{analysis_id}", **documented("get_analysis_older"))
async def get_older(
    request: Request, analysis_id: str, caller: Caller = requires("analysis:read", "analysis")
) -> dict[str, Any]:
    """The older address of the same."""
    return view(await _find(services(request), caller, analysis_id))


async def _keep(
    asked: CreateAnalysis, session_id: str, caller: Caller, unit: UnitOfWork, given: ApiServices
) -> Analysis:
    """Takes what an analysis costs, and stores it. Raises what it is refused for."""
    # Neither deleted nor its transcript taken away meanwhile.
    if await unit.privacy.lock(session_id) is None:
        raise KallglotError("session_not_found", "There is no such session.")
    session = await unit.sessions.get(session_id, caller.organization_id, caller.livemode)
    _refuse(session)
    calls = await unit.calls.newest([session_id])
    analysis = Analysis(
        id=new_id(ANALYSIS),
        session_id=session_id,
        organization_id=caller.organization_id,
        livemode=caller.livemode,
        status="processing",
        profile=asked.profile,
        include=tuple(part for part in PARTS if part in asked.include),
        created_at=given.clock.now(),
        api_key_id=caller.key.id,
        call_id=calls[session_id].id if session_id in calls else None,
    )
    if caller.livemode and not await unit.organizations.take_credit(
        caller.organization_id,
        1,
        credits.ANALYSIS,
        analysis.id,
        analysis.created_at,
        mode=None if session is None else session.mode,
        api_key_id=caller.key.id,
    ):
        raise KallglotError("insufficient_api_credits", "API credits exhausted. Purchase more credits to continue.")
    await unit.analyses.add(analysis)
    return analysis


def _refuse(session: Session | None) -> None:
    if session is None:
        raise KallglotError("session_not_found", "There is no such session.")
    if session.status != "ended":
        message = "The session has not ended: end it first."
        raise KallglotError("transcript_not_ready", message, retry_after=AGAIN_SECONDS)
    if session.transcript_deleted_at is not None:
        raise KallglotError("resource_not_found", "The transcript was kept for as long as it had to be, and is gone.")


async def _find(given: ApiServices, caller: Caller, analysis_id: str) -> Analysis:
    """The caller's own analysis. Raises ``analysis_not_found``."""
    if _ID.fullmatch(analysis_id):
        async with given.store.read() as unit:
            found = await unit.analyses.get(analysis_id, caller.organization_id, caller.livemode)
        if found is not None:
            return found
    raise KallglotError("analysis_not_found", "There is no such analysis.")
