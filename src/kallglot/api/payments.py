"""Where Stripe tells what was paid. There is nothing at this address while no secret for it is set."""

from __future__ import annotations

import logging

from fastapi import APIRouter, Request

from kallglot.api.services import services
from kallglot.billing.payments import Clerk
from kallglot.billing.stripe import PROVIDER, NotGenuine
from kallglot.errors import KallglotError

log = logging.getLogger(__name__)

router = APIRouter(prefix="/v1/payments", include_in_schema=False)


@router.post("/stripe")
async def stripe(request: Request) -> dict[str, object]:
    """200 for whatever is genuine, whatever became of it: Stripe would send it again."""
    given = services(request)
    if given.stripe is None:
        raise KallglotError("resource_not_found", "There is nothing at this address.")
    try:
        notice = given.stripe.read(await request.body(), request.headers.get("stripe-signature"))
    except NotGenuine:
        log.warning("a request to %s has no good signature", request.url.path)
        raise KallglotError("invalid_request", "The request is not signed, or signed too long ago.") from None
    except ValueError as error:
        log.warning("an event of Stripe's cannot be read: %s", error)
        raise KallglotError("invalid_request", f"The event cannot be read: {error}.") from None
    if notice is None:
        return {"received": True, "outcome": "nothing depends on it"}
    async with given.store.write() as unit:
        outcome = await Clerk(unit, PROVIDER, given.stripe.plans, given.clock.now()).act(notice)
    return {"received": True, "outcome": outcome}
