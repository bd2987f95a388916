"""``/v1/phone_numbers``: numbers, and what a call to each of them does."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from kallglot.accounts.model import PhoneNumber
from kallglot.accounts.policy import engines
from kallglot.api import connections, destinations, views
from kallglot.api.auditing import note
from kallglot.api.auth import Caller, requires
from kallglot.api.body import parse, read_json
from kallglot.api.carrier_models import CreatePhoneNumber, Policy, UpdatePhoneNumber
from kallglot.api.creation import check
from kallglot.api.idempotency import Finish
from kallglot.api.openapi import documented
from kallglot.api.ports.store import UnitOfWork
from kallglot.api.services import ApiServices, services
from kallglot.api.sessions import Cursor, Limit, page_of
from kallglot.errors import KallglotError
from kallglot.ids import PHONE_NUMBER, new_id

router = APIRouter(prefix="/v1/phone_numbers", tags=["telephony"])

_ID: Final = re.compile(r"[A-Za-z0-9_]{1,64}")


@router.post("", status_code=201, **documented("create_phone_number"))
async def create(request: Request, caller: Caller = requires("telephony:manage", "management")) -> Response:
    """Registers a number that the connection's account has at its carrier, and what a call to it does."""
    given = services(request)
    body = await read_json(request)
    asked = parse(CreatePhoneNumber, body)
    _check(asked.policy, caller, given)

    async def work(finish: Finish) -> tuple[int, bytes]:
        async with given.store.write() as unit:
            await unit.connections.lock(caller.organization_id)
            connection = await connections.find(unit, asked.connection_id, caller, "connection_id")
            made = PhoneNumber(
                id=new_id(PHONE_NUMBER),
                organization_id=caller.organization_id,
                number=asked.number,
                carrier=connection.carrier,
                active=True,
                created_at=given.clock.now(),
                livemode=caller.livemode,
                connection_id=connection.id,
                label=asked.label,
                policy=None if asked.policy is None else asked.policy.kept(),
            )
            if not await unit.phone_numbers.add(made):
                raise KallglotError("invalid_field_value", f"number: {asked.number} is in use.", param="number")
            await note(unit, request, caller, "phone_number.created", made.id, number=made.number)
            answer = json.dumps(views.phone_number(made)).encode()
            await finish(unit, 201, answer)
        return 201, answer

    return await given.idempotency.run(request, caller.key, body, work)


@router.get("", **documented("list_phone_numbers"))
async def list_numbers(
    request: Request,
    caller: Caller = requires("telephony:manage", "management"),
    limit: Limit = 20,
    starting_after: Cursor = None,
    ending_before: Cursor = None,
) -> dict[str, Any]:
    """The organization's numbers, newest first."""
    page = page_of(limit, starting_after, ending_before)
    async with services(request).store.read() as unit:
        found, more = await unit.phone_numbers.list(caller.organization_id, caller.livemode, page)
    return views.listing("/v1/phone_numbers", [views.phone_number(one) for one in found], more)


@router.get("/{number_id}", **documented("get_phone_number"))
async def get(
    request: Request, number_id: str, caller: Caller = requires("telephony:manage", "management")
) -> dict[str, Any]:
    """One number."""
    async with services(request).store.read() as unit:
        return views.phone_number(await _find(unit, number_id, caller))


@router.patch("/{number_id}", **documented("update_phone_number"))
async def update(
    request: Request, number_id: str, caller: Caller = requires("telephony:manage", "management")
) -> dict[str, Any]:
    """Changes what is given; a policy is replaced as a whole, and `policy: null` removes it."""
    given = services(request)
    asked = parse(UpdatePhoneNumber, await read_json(request))
    _check(asked.policy, caller, given)
    async with given.store.write() as unit:
        await unit.connections.lock(caller.organization_id)
        changed = await _find(unit, number_id, caller)
        if "connection_id" in asked.model_fields_set:
            connection = await connections.find(unit, asked.connection_id, caller, "connection_id")
            changed = replace(changed, connection_id=connection.id, carrier=connection.carrier)
        plain = {name: getattr(asked, name) for name in ("label", "active") if name in asked.model_fields_set}
        changed = replace(changed, **plain)
        if "policy" in asked.model_fields_set:
            changed = replace(changed, policy=None if asked.policy is None else asked.policy.kept())
        await unit.phone_numbers.update(changed)
        if asked.model_fields_set:
            fields = sorted(asked.model_fields_set)
            await note(unit, request, caller, "phone_number.updated", changed.id, changed=fields)
    return views.phone_number(changed)


@router.delete("/{number_id}", **documented("delete_phone_number"))
async def remove(
    request: Request, number_id: str, caller: Caller = requires("telephony:manage", "management")
) -> dict[str, Any]:
    """Forgets a number; at the carrier it stays."""
    async with services(request).store.write() as unit:
        found = await _find(unit, number_id, caller)
        await unit.phone_numbers.delete(found.id)
        await note(unit, request, caller, "phone_number.deleted", found.id, number=found.number)
    return {"id": number_id, "object": "phone_number", "deleted": True}


def _check(policy: Policy | None, caller: Caller, given: ApiServices) -> None:
    """Raises what a session of this policy would be refused for."""
    if policy is None:
        return
    destinations.check(policy.webhook_url, "policy.webhook_url", given)
    asked = policy.session()
    if asked is None:
        return
    try:
        check(asked, given, engines(caller.organization.policy))
    except KallglotError as error:
        error.param = f"policy.{error.param}"
        raise


async def _find(unit: UnitOfWork, number_id: str, caller: Caller) -> PhoneNumber:
    found = None
    if _ID.fullmatch(number_id):
        found = await unit.phone_numbers.get(number_id, caller.organization_id, caller.livemode)
    if found is None:
        raise KallglotError("phone_number_not_found", "There is no such phone number.")
    return found
