"""``/v1/connections``: an organization's accounts at carriers."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from kallglot.api import credentials, views
from kallglot.api.auditing import note
from kallglot.api.auth import Caller, requires
from kallglot.api.body import parse, read_json
from kallglot.api.carrier_models import CREATE, UPDATE
from kallglot.api.idempotency import Finish
from kallglot.api.openapi import documented
from kallglot.api.ports.store import UnitOfWork
from kallglot.api.services import services
from kallglot.api.sessions import Cursor, Limit, page_of
from kallglot.carriers.model import Connection
from kallglot.errors import KallglotError

router = APIRouter(prefix="/v1/connections", tags=["telephony"])

_ID: Final = re.compile(r"[A-Za-z0-9_]{1,64}")


@router.post("", status_code=201, **documented("create_connection"))
async def create(request: Request, caller: Caller = requires("telephony:manage", "management")) -> Response:
    """Connects an account at a carrier. What is secret is encrypted, and in no answer. Twilio's signatures are checked
    with `auth_token` or `shared_keys`: an API key alone cannot do that. The addresses in the answer belong into the
    carrier's settings."""
    given = services(request)
    body = await read_json(request)
    asked = parse(CREATE[_carrier(body)], body)

    async def work(finish: Finish) -> tuple[int, bytes]:
        async with given.store.write() as unit:
            await unit.connections.lock(caller.organization_id)
            default = asked.default
            if default is None:
                owner = (caller.organization_id, caller.livemode, asked.carrier)
                default = not await unit.connections.has_default(*owner)
            made = credentials.made(asked, caller.organization_id, caller.livemode, default, given.clock.now())
            await unit.connections.add(made)
            await note(unit, request, caller, "connection.created", made.id, carrier=made.carrier, name=made.name)
            answer = json.dumps(views.connection(made, given)).encode()
            await finish(unit, 201, answer)
        return 201, answer

    return await given.idempotency.run(request, caller.key, body, work)


@router.get("", **documented("list_connections"))
async def list_connections(
    request: Request,
    caller: Caller = requires("telephony:manage", "management"),
    limit: Limit = 20,
    starting_after: Cursor = None,
    ending_before: Cursor = None,
) -> dict[str, Any]:
    """The organization's connections, newest first."""
    given = services(request)
    page = page_of(limit, starting_after, ending_before)
    async with given.store.read() as unit:
        found, more = await unit.connections.list(caller.organization_id, caller.livemode, page)
    return views.listing("/v1/connections", [views.connection(one, given) for one in found], more)


@router.get("/{connection_id}", **documented("get_connection"))
async def get(
    request: Request, connection_id: str, caller: Caller = requires("telephony:manage", "management")
) -> dict[str, Any]:
    """One connection."""
    given = services(request)
    async with given.store.read() as unit:
        return views.connection(await find(unit, connection_id, caller), given)


@router.patch("/{connection_id}", **documented("update_connection"))
async def update(
    request: Request, connection_id: str, caller: Caller = requires("telephony:manage", "management")
) -> dict[str, Any]:
    """Changes what is given. After a new `auth_token` the old one still checks signatures, until
    `previous_auth_token` is set to null; in `shared_keys` a null value removes its key."""
    given = services(request)
    body = await read_json(request)
    async with given.store.write() as unit:
        await unit.connections.lock(caller.organization_id)
        current = await find(unit, connection_id, caller)
        asked = parse(UPDATE[current.carrier], body)
        changed = credentials.changed(current, asked)
        await unit.connections.update(changed)
        if asked.model_fields_set:
            await note(unit, request, caller, "connection.updated", changed.id, changed=sorted(asked.model_fields_set))
    return views.connection(changed, given)


@router.delete("/{connection_id}", **documented("delete_connection"))
async def remove(
    request: Request, connection_id: str, caller: Caller = requires("telephony:manage", "management")
) -> dict[str, Any]:
    """Deletes a connection, its secrets included. Refused while active numbers use it."""
    async with services(request).store.write() as unit:
        await unit.connections.lock(caller.organization_id)
        found = await find(unit, connection_id, caller)
        if not await unit.connections.delete(found.id):
            message = "Active phone numbers use this connection: delete them first, or give them another."
            raise KallglotError("invalid_request", message)
        await note(unit, request, caller, "connection.deleted", found.id, carrier=found.carrier, name=found.name)
    return {"id": connection_id, "object": "connection", "deleted": True}


async def find(unit: UnitOfWork, connection_id: str, caller: Caller, param: str | None = None) -> Connection:
    """The caller's own connection, active or not. Raises ``connection_not_found``."""
    found = None
    if _ID.fullmatch(connection_id):
        found = await unit.connections.get(connection_id, caller.organization_id, caller.livemode)
    if found is None:
        raise KallglotError("connection_not_found", "There is no such connection.", param=param)
    return found


def _carrier(body: dict[str, Any]) -> str:
    if "carrier" not in body:
        raise KallglotError("missing_required_field", "carrier is required.", param="carrier")
    carrier = body["carrier"]
    if not isinstance(carrier, str) or carrier not in CREATE:
        raise KallglotError("invalid_field_value", "carrier: expected 'twilio' or 'telnyx'.", param="carrier")
    return carrier
