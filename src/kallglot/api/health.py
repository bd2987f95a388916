"""Whether the server lives, whether it is ready, and what it can do."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from kallglot.accounts import policy
from kallglot.api import views
from kallglot.api.auth import Caller, requires
from kallglot.api.openapi import documented
from kallglot.api.services import services

router = APIRouter()


@router.get("/healthz", tags=["operations"], **documented("health"))
async def health() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz", tags=["operations"], **documented("readiness"))
async def readiness(request: Request) -> JSONResponse:
    """200 when calls can be taken; 503 with what is wrong. ``warnings`` should be looked at, and stop no call."""
    given = services(request)
    problems = list(given.readiness())
    status = "unavailable" if problems else "ready"
    body = {"status": status, "problems": problems, "warnings": list(given.warnings())}
    return JSONResponse(body, 503 if problems else 200)


@router.get("/v1/languages", tags=["languages"], **documented("list_languages"))
async def languages(request: Request, caller: Caller = requires("sessions:read", "sessions_read")) -> dict[str, Any]:
    """What can be recognised, translated and spoken here, and by which engine: the names that ``engines`` of a session
    takes, in the order that holds for the organization."""
    known = services(request).languages.languages(policy.engines(caller.organization.policy))
    found = [{"id": one.code, "object": "language", **asdict(one)} for one in known]
    return views.listing("/v1/languages", found, False)
