"""``/v1/api_keys``. Whoever has the scope ``admin`` may give every scope, so that keys with it are given out with care;
a test key makes, sees and changes test keys only."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from kallglot.accounts.keys import KeyOver, check_usable, locks_out, make, rotate
from kallglot.accounts.model import ApiKey
from kallglot.api import views
from kallglot.api.auditing import note
from kallglot.api.auth import Caller, requires
from kallglot.api.body import parse, read_json
from kallglot.api.idempotency import Finish
from kallglot.api.models import CreateApiKey, Moment, RotateApiKey, UpdateApiKey
from kallglot.api.openapi import documented
from kallglot.api.ports.store import UnitOfWork
from kallglot.api.services import services
from kallglot.api.sessions import Cursor, Limit, page_of, utc
from kallglot.clock import iso
from kallglot.errors import KallglotError

router = APIRouter(prefix="/v1/api_keys", tags=["organization"])

_ID: Final = re.compile(r"[A-Za-z0-9_]{1,64}")


@router.post("", status_code=201, **documented("create_api_key"))
async def create_key(request: Request, caller: Caller = requires("admin", "management")) -> Response:
    """Makes an API key. Its secret is in this answer and nowhere else."""
    given = services(request)
    body = await read_json(request)
    asked = parse(CreateApiKey, body)
    now = given.clock.now()
    expires_at = _to_come(asked.expires_at, now)
    livemode = caller.livemode if asked.livemode is None else asked.livemode
    if livemode and not caller.livemode:
        raise KallglotError("insufficient_permissions", "A test key makes test keys only.", param="livemode")

    async def work(finish: Finish) -> tuple[int, bytes]:
        key, secret = make(
            caller.organization_id, asked.name, livemode=livemode, scopes=asked.scopes, now=now, expires_at=expires_at
        )
        answer = json.dumps(views.api_key(key, secret)).encode()
        async with given.store.write() as unit:
            await unit.api_keys.add(key)
            await note(unit, request, caller, "api_key.created", key.id, **_described(key))
            await finish(unit, 201, answer)
        return 201, answer

    return await given.idempotency.run(request, caller.key, body, work)


@router.get("", **documented("list_api_keys"))
async def list_keys(
    request: Request,
    caller: Caller = requires("admin", "management"),
    limit: Limit = 20,
    starting_after: Cursor = None,
    ending_before: Cursor = None,
) -> dict[str, Any]:
    """The organization's API keys without their secrets: all for a live key, test keys for a test key."""
    page = page_of(limit, starting_after, ending_before)
    livemode = None if caller.livemode else False
    async with services(request).store.read() as unit:
        found, more = await unit.api_keys.list(caller.organization_id, page, livemode=livemode)
    return views.listing("/v1/api_keys", [views.api_key(key) for key in found], more)


@router.get("/{key_id}", **documented("get_api_key"))
async def get_key(request: Request, key_id: str, caller: Caller = requires("admin", "management")) -> dict[str, Any]:
    """One API key, without its secret."""
    async with services(request).store.read() as unit:
        return views.api_key(await _find(unit, key_id, caller))


@router.patch("/{key_id}", **documented("update_api_key"))
async def update_key(request: Request, key_id: str, caller: Caller = requires("admin", "management")) -> dict[str, Any]:
    """Changes what is given, from the next request on. A key that was revoked or has expired stays as it is."""
    given = services(request)
    asked = parse(UpdateApiKey, await read_json(request))
    now = given.clock.now()
    fields = {name: getattr(asked, name) for name in asked.model_fields_set}
    if "scopes" in fields:
        fields["scopes"] = tuple(dict.fromkeys(fields["scopes"]))
    if "expires_at" in fields:
        fields["expires_at"] = _to_come(asked.expires_at, now)
    async with given.store.write() as unit:
        await unit.organizations.lock(caller.organization_id)
        key = await _find(unit, key_id, caller)
        try:
            check_usable(key, now)
        except KeyOver as over:
            raise KallglotError("unprocessable", f"{over} Make another one.") from None
        changed = replace(key, **fields)
        if changed != key:
            await _keep_a_door_open(unit, key, changed, now)
            await unit.api_keys.update(changed)
            different = sorted(name for name in fields if getattr(changed, name) != getattr(key, name))
            await note(unit, request, caller, "api_key.updated", key.id, changed=different, **_described(changed))
    return views.api_key(changed)


@router.post("/{key_id}/rotate", status_code=201, **documented("rotate_api_key"))
async def rotate_key(request: Request, key_id: str, caller: Caller = requires("admin", "management")) -> Response:
    """Makes a key with the same name, scopes and mode, its secret in this answer and nowhere else; the old one ends
    after `expires_in_seconds`. Where that had an expiry, the new one gets the same span of life, from now."""
    given = services(request)
    body = await read_json(request, optional=True)
    asked = parse(RotateApiKey, body)

    async def work(finish: Finish) -> tuple[int, bytes]:
        now = given.clock.now()
        async with given.store.write() as unit:
            await unit.organizations.lock(caller.organization_id)
            key = await _find(unit, key_id, caller)
            try:
                rotation = rotate(key, now, timedelta(seconds=asked.expires_in_seconds))
            except KeyOver as over:
                raise KallglotError("unprocessable", str(over)) from None
            answer = json.dumps(views.api_key(rotation.new, rotation.secret)).encode()
            await unit.api_keys.add(rotation.new)
            await unit.api_keys.update(rotation.old)
            assert rotation.old.expires_at is not None
            details = {"replaced_by": rotation.new.id, "expires_at": iso(rotation.old.expires_at)}
            await note(unit, request, caller, "api_key.rotated", key.id, **details)
            await finish(unit, 201, answer)
        return 201, answer

    async with given.store.read() as unit:
        await _find(unit, key_id, caller)
    return await given.idempotency.run(request, caller.key, body, work)


@router.delete("/{key_id}", **documented("revoke_api_key"))
async def revoke_key(request: Request, key_id: str, caller: Caller = requires("admin", "management")) -> dict[str, Any]:
    """Revokes an API key at once. Revoking a revoked one changes nothing. Refused for the last live key with which the
    organization can administer itself: rotate that, or make another one first."""
    given = services(request)
    now = given.clock.now()
    async with given.store.write() as unit:
        await unit.organizations.lock(caller.organization_id)
        key = await _find(unit, key_id, caller)
        if key.revoked_at is None:
            revoked = replace(key, revoked_at=now)
            await _keep_a_door_open(unit, key, revoked, now)
            await unit.api_keys.revoke(key.id, now)
            await note(unit, request, caller, "api_key.revoked", key.id, name=key.name)
            key = revoked
    return views.api_key(key)


async def _keep_a_door_open(unit: UnitOfWork, key: ApiKey, changed: ApiKey, now: datetime) -> None:
    """Raises ``unprocessable`` where the organization would lock itself out. Its row has to be locked."""
    if locks_out(await unit.api_keys.living(key.organization_id), key, changed, now):
        message = (
            "After this, no live API key with the scope admin would be valid for another day, and nobody could"
            " administer the organization: make another one first, or rotate this one."
        )
        raise KallglotError("unprocessable", message)


def _described(key: ApiKey) -> dict[str, Any]:
    expires_at = None if key.expires_at is None else iso(key.expires_at)
    return {"name": key.name, "livemode": key.livemode, "scopes": list(key.scopes), "expires_at": expires_at}


def _to_come(given: Moment | None, now: datetime) -> datetime | None:
    at = utc(given, "expires_at")
    if at is not None and at <= now:
        message = f"expires_at: expected a time to come, got {iso(at)}."
        raise KallglotError("invalid_field_value", message, param="expires_at")
    return at


async def _find(unit: UnitOfWork, key_id: str, caller: Caller) -> ApiKey:
    key = await unit.api_keys.get(key_id) if _ID.fullmatch(key_id) else None
    if key is None or key.organization_id != caller.organization_id or (key.livemode and not caller.livemode):
        raise KallglotError("resource_not_found", "There is no such API key.")
    return key
