"""``/v1/webhook_endpoints``: where events are delivered to."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from kallglot.api import destinations, samples, views, webhook_views
from kallglot.api.auditing import note
from kallglot.api.auth import Caller, requires
from kallglot.api.body import parse, read_json
from kallglot.api.idempotency import Finish
from kallglot.api.openapi import documented
from kallglot.api.ports.store import Store, UnitOfWork
from kallglot.api.ports.webhooks import Dispatch
from kallglot.api.services import services
from kallglot.api.sessions import Cursor, Limit, page_of
from kallglot.api.webhook_models import CreateWebhookEndpoint, RotateSecret, SendTestEvent, UpdateWebhookEndpoint
from kallglot.errors import KallglotError
from kallglot.ids import DELIVERY, WEBHOOK_ENDPOINT, new_id
from kallglot.webhooks.model import Delivery, Endpoint, Secrets
from kallglot.webhooks.ports import Target
from kallglot.webhooks.signatures import new_secret

router = APIRouter(prefix="/v1/webhook_endpoints", tags=["webhooks"])

MOST: Final = 16
"""Endpoints of an organisation, in each mode."""
SCOPE: Final = ("webhooks:manage", "management")
_ID: Final = re.compile(r"[A-Za-z0-9_]{1,64}")


@router.post("", status_code=201, **documented("create_webhook_endpoint"))
async def create(request: Request, caller: Caller = requires(*SCOPE)) -> Response:
    """Makes an endpoint. Its signing secret is in this answer and nowhere else."""
    given = services(request)
    body = await read_json(request)
    asked = parse(CreateWebhookEndpoint, body)
    destinations.check(asked.url, "url", given)

    async def work(finish: Finish) -> tuple[int, bytes]:
        now = given.clock.now()
        made = Endpoint(
            new_id(WEBHOOK_ENDPOINT),
            caller.organization_id,
            caller.livemode,
            asked.url,
            tuple(asked.events),
            now,
            description=asked.description,
            enabled=asked.enabled,
            disabled_at=None if asked.enabled else now,
            disabled_reason=None if asked.enabled else "by_request",
        )
        secrets = Secrets(new_secret())
        answer = json.dumps(webhook_views.endpoint(made, secrets, now, revealed=True)).encode()
        async with given.store.write() as unit:
            await unit.webhook_endpoints.lock(caller.organization_id)
            if await unit.webhook_endpoints.count(caller.organization_id, caller.livemode) >= MOST:
                message = f"An organization has at most {MOST} webhook endpoints in each mode: delete one first."
                raise KallglotError("invalid_request", message)
            await unit.webhook_endpoints.add(made, secrets.current)
            await note(unit, request, caller, "webhook_endpoint.created", made.id, events=list(made.events))
            await finish(unit, 201, answer)
        return 201, answer

    return await given.idempotency.run(request, caller.key, body, work)


@router.get("", **documented("list_webhook_endpoints"))
async def list_endpoints(
    request: Request,
    caller: Caller = requires(*SCOPE),
    limit: Limit = 20,
    starting_after: Cursor = None,
    ending_before: Cursor = None,
) -> dict[str, Any]:
    """The organization's endpoints, newest first. Those of sessions with a `webhook_url` are not among them."""
    given = services(request)
    page = page_of(limit, starting_after, ending_before)
    async with given.store.read() as unit:
        found, more = await unit.webhook_endpoints.list(caller.organization_id, caller.livemode, page)
    now = given.clock.now()
    return views.listing("/v1/webhook_endpoints", [_shown(one, now) for one in found], more)


@router.get("/{endpoint_id}", **documented("get_webhook_endpoint"))
async def get(request: Request, endpoint_id: str, caller: Caller = requires(*SCOPE)) -> dict[str, Any]:
    """One endpoint, without its secret."""
    given = services(request)
    async with given.store.read() as unit:
        return _shown(await find(unit, endpoint_id, caller), given.clock.now())


@router.patch("/{endpoint_id}", **documented("update_webhook_endpoint"))
async def update(request: Request, endpoint_id: str, caller: Caller = requires(*SCOPE)) -> dict[str, Any]:
    """Changes what is given. What is on its way to an endpoint has failed when it is disabled; one that is enabled
    again, or has a new `url`, begins without what is known of its failures."""
    given = services(request)
    asked = parse(UpdateWebhookEndpoint, await read_json(request))
    changes = {
        name: getattr(asked, name) for name in ("url", "description", "events") if name in asked.model_fields_set
    }
    destinations.check(changes.get("url"), "url", given)
    if asked.enabled and "enabled" in asked.model_fields_set:
        async with given.store.read() as unit:
            before = await find(unit, endpoint_id, caller)
        if not before.endpoint.enabled:
            await fail_stranded(given.store, endpoint_id, given.clock.now())
    async with given.store.write() as unit:
        await find(unit, endpoint_id, caller)
        now = given.clock.now()
        changed = sorted(changes)
        if "enabled" in asked.model_fields_set:
            did = (
                await unit.webhook_endpoints.enable(endpoint_id)
                if asked.enabled
                else await unit.webhook_endpoints.disable(endpoint_id, "by_request", now)
            )
            changed += ["enabled" if asked.enabled else "disabled"] if did else []
        await unit.webhook_endpoints.change(endpoint_id, changes)
        if changed:
            await note(unit, request, caller, "webhook_endpoint.updated", endpoint_id, changed=changed)
        return _shown(await find(unit, endpoint_id, caller), now)


@router.delete("/{endpoint_id}", **documented("delete_webhook_endpoint"))
async def remove(request: Request, endpoint_id: str, caller: Caller = requires(*SCOPE)) -> dict[str, Any]:
    """Deletes an endpoint and its deliveries; nothing is delivered to it any more."""
    async with services(request).store.write() as unit:
        found = await find(unit, endpoint_id, caller)
        await unit.webhook_endpoints.delete(found.endpoint.id)
        await note(unit, request, caller, "webhook_endpoint.deleted", endpoint_id)
    return {"id": endpoint_id, "object": "webhook_endpoint", "deleted": True}


@router.post("/{endpoint_id}/test", status_code=202, **documented("test_webhook_endpoint"))
async def send_test(request: Request, endpoint_id: str, caller: Caller = requires(*SCOPE)) -> Response:
    """Sends an event with sample data and `"test": true` to this endpoint, whether it is subscribed to its type or
    not."""
    given = services(request)
    body = await read_json(request, optional=True)
    asked = parse(SendTestEvent, body)

    async def work(finish: Finish) -> tuple[int, bytes]:
        async with given.store.write() as unit:
            to = (await find(unit, endpoint_id, caller, hold=True)).endpoint
            now = given.clock.now()
            event = samples.event(asked.type, caller.organization_id, caller.livemode, now)
            made = delivery_to(to, event.id, now)
            await unit.webhook_log.add(made, event)
            await note(unit, request, caller, "webhook_endpoint.tested", to.id, type=asked.type)
            answer = json.dumps(webhook_views.delivery(Dispatch(made, event, to))).encode()
            await finish(unit, 202, answer)
        return 202, answer

    return await given.idempotency.run(request, caller.key, body, work)


@router.post("/{endpoint_id}/rotate_secret", **documented("rotate_webhook_secret"))
async def rotate(request: Request, endpoint_id: str, caller: Caller = requires(*SCOPE)) -> Response:
    """Gives the endpoint a new signing secret, which is in this answer and nowhere else. The one until now signs too,
    for `expires_in_seconds`; one that was before it no longer."""
    given = services(request)
    body = await read_json(request, optional=True)
    asked = parse(RotateSecret, body)

    async def work(finish: Finish) -> tuple[int, bytes]:
        async with given.store.write() as unit:
            await find(unit, endpoint_id, caller)
            now = given.clock.now()
            secret = new_secret()
            await unit.webhook_endpoints.rotate(endpoint_id, secret, overlap(asked, now))
            details = {"expires_in_seconds": asked.expires_in_seconds}
            await note(unit, request, caller, "webhook_endpoint.secret_rotated", endpoint_id, **details)
            after = await find(unit, endpoint_id, caller)
            answer = json.dumps(webhook_views.endpoint(after.endpoint, after.secrets, now, revealed=True)).encode()
            await finish(unit, 200, answer)
        return 200, answer

    return await given.idempotency.run(request, caller.key, body, work)


async def find(unit: UnitOfWork, endpoint_id: str, caller: Caller, *, hold: bool = False) -> Target:
    """The caller's own endpoint, but not a session's. Raises ``webhook_endpoint_not_found``."""
    found = None
    if _ID.fullmatch(endpoint_id):
        found = await unit.webhook_endpoints.get(endpoint_id, caller.organization_id, caller.livemode, hold=hold)
    if found is None:
        raise KallglotError("webhook_endpoint_not_found", "There is no such webhook endpoint.")
    return found


async def fail_stranded(store: Store, endpoint_id: str, now: datetime) -> None:
    """Before an endpoint is enabled: what was on its way when it was disabled is not delivered after all. A piece at a
    time, so that others write in between."""
    failed = 1
    while failed:
        async with store.write() as unit:
            failed = await unit.webhook_endpoints.fail_stranded(endpoint_id, now)


def overlap(asked: RotateSecret, now: datetime) -> datetime | None:
    return now + timedelta(seconds=asked.expires_in_seconds) if asked.expires_in_seconds else None


def delivery_to(to: Endpoint, event_id: str, now: datetime) -> Delivery:
    """Raises ``unprocessable`` where nothing is delivered."""
    if not to.enabled:
        message = "The webhook endpoint is disabled: enable it first, with PATCH and enabled: true."
        raise KallglotError("unprocessable", message)
    return Delivery(new_id(DELIVERY), to.id, event_id, "pending", 0, now, next_attempt_at=now)


def _shown(one: Target, now: datetime) -> dict[str, Any]:
    return webhook_views.endpoint(one.endpoint, one.secrets, now)
