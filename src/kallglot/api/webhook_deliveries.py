"""What became of deliveries: ``/v1/webhook_endpoints/{id}/deliveries`` and ``/v1/webhook_deliveries``."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from kallglot.api import views, webhook_views
from kallglot.api.auditing import note
from kallglot.api.auth import Caller, requires
from kallglot.api.body import read_json
from kallglot.api.events import EventType
from kallglot.api.idempotency import Finish
from kallglot.api.openapi import documented
from kallglot.api.ports.store import UnitOfWork
from kallglot.api.ports.webhooks import Dispatch
from kallglot.api.services import services
from kallglot.api.sessions import Cursor, Limit, page_of
from kallglot.api.webhooks import SCOPE, delivery_to, find
from kallglot.errors import KallglotError
from kallglot.webhooks.model import DeliveryStatus

router = APIRouter(prefix="/v1", tags=["webhooks"])

_ID: Final = re.compile(r"[A-Za-z0-9_]{1,64}")


@router.get("/webhook_endpoints/{endpoint_id}/deliveries", **documented("list_webhook_deliveries"))
async def list_deliveries(
    request: Request,
    endpoint_id: str,
    caller: Caller = requires(*SCOPE),
    limit: Limit = 20,
    starting_after: Cursor = None,
    ending_before: Cursor = None,
    status: Annotated[DeliveryStatus | None, Query(description="One status only.")] = None,
    type: EventType = None,
) -> dict[str, Any]:
    """What was and is to be delivered to an endpoint, newest first."""
    page = page_of(limit, starting_after, ending_before)
    async with services(request).store.read() as unit:
        await find(unit, endpoint_id, caller)
        found, more = await unit.webhook_log.list(endpoint_id, page, status, type)
    url = f"/v1/webhook_endpoints/{endpoint_id}/deliveries"
    return views.listing(url, [webhook_views.delivery(one) for one in found], more)


@router.get("/webhook_deliveries/{delivery_id}", **documented("get_webhook_delivery"))
async def get(request: Request, delivery_id: str, caller: Caller = requires(*SCOPE)) -> dict[str, Any]:
    """One delivery, with its last attempts. Its id is in the header `Kallglot-Webhook-Id`."""
    async with services(request).store.read() as unit:
        return webhook_views.delivery(await _find(unit, delivery_id, caller))


@router.post("/webhook_deliveries/{delivery_id}/resend", status_code=202, **documented("resend_webhook_delivery"))
async def resend(request: Request, delivery_id: str, caller: Caller = requires(*SCOPE)) -> Response:
    """Delivers the same event to the same endpoint again, whatever became of this delivery, which stays as it is."""
    given = services(request)
    body = await read_json(request, optional=True)

    async def work(finish: Finish) -> tuple[int, bytes]:
        async with given.store.write() as unit:
            known = await _find(unit, delivery_id, caller, hold=True)
            made = delivery_to(known.endpoint, known.event.id, given.clock.now())
            await unit.webhook_log.add(made)
            await note(unit, request, caller, "webhook_delivery.resent", made.id, of=delivery_id)
            answer = json.dumps(webhook_views.delivery(Dispatch(made, known.event, known.endpoint))).encode()
            await finish(unit, 202, answer)
        return 202, answer

    return await given.idempotency.run(request, caller.key, body, work)


async def _find(unit: UnitOfWork, delivery_id: str, caller: Caller, *, hold: bool = False) -> Dispatch:
    found = None
    if _ID.fullmatch(delivery_id):
        found = await unit.webhook_log.get(delivery_id, caller.organization_id, caller.livemode, hold=hold)
    if found is None:
        raise KallglotError("resource_not_found", "There is no such webhook delivery.")
    return found
