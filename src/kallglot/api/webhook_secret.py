"""``/v1/organization/webhook_secret``: what signs the deliveries of sessions with a ``webhook_url`` of their own."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from kallglot.api import webhook_views
from kallglot.api.auditing import note
from kallglot.api.auth import Caller, requires
from kallglot.api.body import parse, read_json
from kallglot.api.idempotency import Finish
from kallglot.api.openapi import documented
from kallglot.api.services import services
from kallglot.api.webhook_models import RotateSecret
from kallglot.api.webhooks import SCOPE, overlap
from kallglot.errors import KallglotError
from kallglot.webhooks.signatures import new_secret

router = APIRouter(prefix="/v1/organization/webhook_secret", tags=["webhooks"])


@router.get("", **documented("get_organization_webhook_secret"))
async def get(request: Request, caller: Caller = requires(*SCOPE)) -> dict[str, Any]:
    """How the organization's secret ends. Nothing, while none was needed."""
    given = services(request)
    async with given.store.read() as unit:
        found = await unit.webhook_endpoints.organization_secrets(caller.organization_id)
    return webhook_views.organization_secret(found, given.clock.now())


@router.post("/rotate", **documented("rotate_organization_webhook_secret"))
async def rotate(request: Request, caller: Caller = requires(*SCOPE)) -> Response:
    """Gives the organization a new secret, which is in this answer and nowhere else. The one until now signs too, for
    `expires_in_seconds`. Live and test sessions are signed with the same, so that this takes a live key."""
    given = services(request)
    if not caller.livemode:
        message = "Live sessions are signed with this secret too: it takes a live key to see a new one."
        raise KallglotError("insufficient_permissions", message)
    body = await read_json(request, optional=True)
    asked = parse(RotateSecret, body)

    async def work(finish: Finish) -> tuple[int, bytes]:
        async with given.store.write() as unit:
            now = given.clock.now()
            await unit.webhook_endpoints.rotate_organization(caller.organization_id, new_secret(), overlap(asked, now))
            details = {"expires_in_seconds": asked.expires_in_seconds}
            await note(unit, request, caller, "organization.webhook_secret_rotated", caller.organization_id, **details)
            after = await unit.webhook_endpoints.organization_secrets(caller.organization_id)
            answer = json.dumps(webhook_views.organization_secret(after, now, revealed=True)).encode()
            await finish(unit, 200, answer)
        return 200, answer

    return await given.idempotency.run(request, caller.key, body, work)
