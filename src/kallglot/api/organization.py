"""``/v1/organization`` and ``/v1/api_keys``."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from kallglot.accounts.keys import hash_secret, new_secret
from kallglot.accounts.model import SCOPES, ApiKey
from kallglot.api import views
from kallglot.api.auth import Caller, requires
from kallglot.api.body import parse, read_json
from kallglot.api.idempotency import Finish
from kallglot.api.models import CreateApiKey
from kallglot.api.openapi import documented
from kallglot.api.ports import Page, UnitOfWork
from kallglot.api.services import services
from kallglot.api.sessions import Cursor, Limit, page_of, utc
from kallglot.clock import iso
from kallglot.errors import KallglotError
from kallglot.ids import API_KEY, new_id

router = APIRouter(prefix="/v1", tags=["organization"])

_ID: Final = re.compile(r"[A-Za-z0-9_]{1,64}")
_AT_A_TIME: Final = 100


@router.get("/organization", **documented("get_organization"))
async def get(caller: Caller = requires("admin", "management")) -> dict[str, Any]:
    """The organization that the key belongs to, with its credits."""
    return views.organization(caller.organization)


@router.post("/api_keys", status_code=201, **documented("create_api_key"))
async def create_key(request: Request, caller: Caller = requires("admin", "management")) -> Response:
    """Makes an API key. Its secret is in this answer and nowhere else."""
    given = services(request)
    body = await read_json(request)
    asked = parse(CreateApiKey, body)
    now = given.clock.now()
    expires_at = utc(asked.expires_at, "expires_at")
    if expires_at is not None and expires_at <= now:
        message = f"expires_at: expected a time to come, got {iso(expires_at)}."
        raise KallglotError("invalid_field_value", message, param="expires_at")
    livemode = caller.livemode if asked.livemode is None else asked.livemode
    if livemode and not caller.livemode:
        raise KallglotError("insufficient_permissions", "A test key makes test keys only.", param="livemode")

    async def work(finish: Finish) -> tuple[int, bytes]:
        secret = new_secret(livemode)
        key = ApiKey(
            id=new_id(API_KEY),
            organization_id=caller.organization_id,
            name=asked.name,
            livemode=livemode,
            scopes=tuple(dict.fromkeys(asked.scopes or SCOPES)),
            secret_hash=hash_secret(secret),
            hint=secret[-4:],
            created_at=now,
            expires_at=expires_at,
        )
        answer = json.dumps(views.api_key(key, secret)).encode()
        async with given.store.write() as unit:
            await unit.api_keys.add(key)
            await finish(unit, 201, answer)
        return 201, answer

    return await given.idempotency.run(request, caller.key, body, work)


@router.get("/api_keys", **documented("list_api_keys"))
async def list_keys(
    request: Request,
    caller: Caller = requires("admin", "management"),
    limit: Limit = 20,
    starting_after: Cursor = None,
    ending_before: Cursor = None,
) -> dict[str, Any]:
    """The organization's API keys without their secrets: all for a live key, test keys for a test key."""
    page = page_of(limit, starting_after, ending_before)
    async with services(request).store.read() as unit:
        for cursor, param in ((starting_after, "starting_after"), (ending_before, "ending_before")):
            if cursor is not None and not _visible(await unit.api_keys.get(cursor), caller):
                raise KallglotError("invalid_field_value", f"{param} names no object of this list.", param=param)
        found, more = await _visible_keys(unit, caller, page)
    return views.listing("/v1/api_keys", [views.api_key(key) for key in found], more)


@router.get("/api_keys/{key_id}", **documented("get_api_key"))
async def get_key(request: Request, key_id: str, caller: Caller = requires("admin", "management")) -> dict[str, Any]:
    """One API key, without its secret."""
    async with services(request).store.read() as unit:
        return views.api_key(await _find(unit, key_id, caller))


@router.delete("/api_keys/{key_id}", **documented("revoke_api_key"))
async def revoke_key(request: Request, key_id: str, caller: Caller = requires("admin", "management")) -> dict[str, Any]:
    """Revokes an API key at once. Revoking a revoked one changes nothing."""
    given = services(request)
    async with given.store.write() as unit:
        await _find(unit, key_id, caller)
        await unit.api_keys.revoke(key_id, given.clock.now())
        return views.api_key(await _find(unit, key_id, caller))


async def _visible_keys(unit: UnitOfWork, caller: Caller, page: Page) -> tuple[list[ApiKey], bool]:
    """A page of the keys that the caller may see, read past those that it may not."""
    found: list[ApiKey] = []
    backwards = page.ending_before is not None
    cursor = page.ending_before if backwards else page.starting_after
    more = True
    while more and len(found) <= page.limit:
        asked = Page(_AT_A_TIME, ending_before=cursor) if backwards else Page(_AT_A_TIME, starting_after=cursor)
        keys, more = await unit.api_keys.list(caller.organization_id, asked)
        seen = [key for key in keys if _visible(key, caller)]
        found = [*seen, *found] if backwards else [*found, *seen]
        if keys:
            cursor = keys[0].id if backwards else keys[-1].id
    more = len(found) > page.limit
    return (found[-page.limit :] if backwards else found[: page.limit]), more


def _visible(key: ApiKey | None, caller: Caller) -> bool:
    return key is not None and key.organization_id == caller.organization_id and (caller.livemode or not key.livemode)


async def _find(unit: UnitOfWork, key_id: str, caller: Caller) -> ApiKey:
    key = await unit.api_keys.get(key_id) if _ID.fullmatch(key_id) else None
    if key is None or not _visible(key, caller):
        raise KallglotError("resource_not_found", "There is no such API key.")
    return key
