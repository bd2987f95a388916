"""Events as Stripe sends them: the fields that are read, among some that are not."""

from __future__ import annotations

import itertools
import json
from typing import Any

from stripe import WebhookSignature

SECRET = "whsec_test_9f2c"
PLANS = "price_pro=pro,price_starter=starter"
NOW = 1_774_522_800
"""2026-03-26T11:00:00Z"""
MONTH = 31 * 86_400
YEAR_LATER = 1_806_058_800

_numbers = itertools.count(1)


def event(type: str, thing: dict[str, Any], *, created: int = NOW, id: str | None = None) -> dict[str, Any]:
    return {
        "id": id or f"evt_{next(_numbers)}",
        "object": "event",
        "api_version": "2026-03-25.dahlia",
        "created": created,
        "data": {"object": thing},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": type,
    }


def checkout(
    organization_id: str | None, customer: str | None = "cus_1", *, id: str = "cs_1", **changes: Any
) -> dict[str, Any]:
    created = changes.pop("created", NOW)
    type = changes.pop("type", "checkout.session.completed")
    thing: dict[str, Any] = {
        "id": id,
        "object": "checkout.session",
        "client_reference_id": organization_id,
        "customer": customer,
        "customer_details": {"email": "somebody@example.com"},
        "mode": "subscription",
        "payment_status": "paid",
        "metadata": {},
        "subscription": "sub_1",
    }
    return event(type, thing | changes, created=created)


def top_up(organization_id: str, credits: Any, *, id: str = "cs_2", **changes: Any) -> dict[str, Any]:
    bought = {"mode": "payment", "subscription": None, "metadata": {"credits": credits}}
    return checkout(organization_id, changes.pop("customer", None), id=id, **(bought | changes))


def subscription(
    what: str, status: str, *, created: int = NOW, price: str = "price_pro", id: str = "sub_1", **changes: Any
) -> dict[str, Any]:
    """``born`` is when it was made; of one that was not just created, ``NOW`` where it is not said."""
    born = changes.pop("born", created if what == "created" else NOW)
    item = {"id": "si_1", "price": {"id": price, "object": "price"}, "current_period_start": NOW, "quantity": 1}
    thing: dict[str, Any] = {
        "id": id,
        "object": "subscription",
        "created": born,
        "customer": "cus_1",
        "status": status,
        "items": {"object": "list", "data": [item]},
        "metadata": {},
    }
    return event(f"customer.subscription.{what}", thing | changes, created=created)


def line(start: int, end: int, price: str = "price_pro", *, proration: bool = False) -> dict[str, Any]:
    details = {"proration": proration, "subscription": "sub_1", "subscription_item": "si_1"}
    return {
        "id": "il_1",
        "object": "line_item",
        "parent": {"type": "subscription_item_details", "subscription_item_details": details},
        "period": {"start": start, "end": end},
        "pricing": {"type": "price_details", "price_details": {"price": price, "product": "prod_1"}},
    }


def older_line(start: int, end: int, price: str = "price_pro", *, proration: bool = False) -> dict[str, Any]:
    """Before "basil"."""
    return {
        "id": "il_1",
        "object": "line_item",
        "type": "subscription",
        "proration": proration,
        "period": {"start": start, "end": end},
        "price": {"id": price, "object": "price"},
        "subscription": "sub_1",
    }


def invoice(start: int = NOW, end: int = NOW + MONTH, *lines: dict[str, Any], **changes: Any) -> dict[str, Any]:
    created = changes.pop("created", start)
    thing: dict[str, Any] = {
        "id": f"in_{start}",
        "object": "invoice",
        "customer": "cus_1",
        "billing_reason": "subscription_cycle",
        "period_start": start - MONTH,
        "period_end": start,
        "parent": {
            "type": "subscription_details",
            "subscription_details": {"metadata": {}, "subscription": changes.pop("subscription", "sub_1")},
        },
        "lines": {"object": "list", "data": list(lines or [line(start, end)])},
    }
    return event("invoice.paid", thing | changes, created=created)


def signed(event: dict[str, Any] | bytes, *, secret: str = SECRET, at: int | None = None) -> tuple[bytes, str]:
    """The body and its ``Stripe-Signature``, by the SDK's own scheme."""
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    return body, WebhookSignature.generate_signature_header(body.decode(), secret, at)
