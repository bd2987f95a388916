"""``/v1/organization``."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request

from kallglot.accounts import policy
from kallglot.api import views
from kallglot.api.auditing import note
from kallglot.api.auth import Caller, requires
from kallglot.api.body import parse, read_json
from kallglot.api.creation import check_engines
from kallglot.api.openapi import documented
from kallglot.api.privacy_models import RedactionPattern, UpdateOrganization
from kallglot.api.services import services
from kallglot.errors import KallglotError

router = APIRouter(prefix="/v1", tags=["organization"])


@router.get("/organization", **documented("get_organization"))
async def get(caller: Caller = requires("admin", "management")) -> dict[str, Any]:
    """The organization that the key belongs to, with its credits."""
    return views.organization(caller.organization)


@router.patch("/organization", **documented("update_organization"))
async def update(request: Request, caller: Caller = requires("admin", "management")) -> dict[str, Any]:
    """Changes its name, how long what is kept, what transcripts do without, and which engines are asked. What is left
    out stays."""
    given = services(request)
    body = await read_json(request)
    # Patterns are compiled to be checked; calls go on meanwhile.
    asked = await asyncio.to_thread(parse, UpdateOrganization, body)
    if not caller.livemode:
        raise KallglotError("insufficient_permissions", "A test key does not change what live calls are kept by.")
    check_engines(asked.engines, given)
    changes = asked.model_dump(exclude_unset=True)
    renamed: str | None = changes.pop("name", None)
    if asked.redaction is not None and "patterns" in asked.redaction.model_fields_set:
        changes["redaction"]["patterns"] = [_named(one) for one in asked.redaction.patterns]
    async with given.store.write() as unit:
        organization = await unit.organizations.lock(caller.organization_id)
        if organization is None:
            raise KallglotError("resource_not_found", "There is no such organization.")
        if renamed is not None:
            await unit.organizations.rename(organization.id, renamed)
        if changes:
            await unit.organizations.set_policy(organization.id, policy.changed(organization.policy, changes))
        if renamed is not None or changes:
            names = sorted([*_names(changes), *(["name"] if renamed is not None else [])])
            await note(unit, request, caller, "organization.updated", organization.id, changed=names)
        after = await unit.organizations.get(organization.id)
    return views.organization(after or organization)


def _named(one: RedactionPattern) -> dict[str, str]:
    replacement = f"[{one.name}]" if one.replacement is None else one.replacement
    return {"name": one.name, "pattern": one.pattern, "replacement": replacement}


def _names(changes: dict[str, Any]) -> list[str]:
    """``retention.events_days``; only the part where all of it went back to the default."""
    return [
        name
        for part, fields in changes.items()
        for name in ([part] if fields is None else [f"{part}.{field}" for field in fields])
    ]
