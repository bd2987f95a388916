"""Webhooks as clients see them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from kallglot.api.ports.webhooks import Dispatch
from kallglot.clock import iso
from kallglot.webhooks.letters import letter
from kallglot.webhooks.model import Endpoint, Secrets

SHOWN_OF_BODY: Final = 1000
"""Characters."""


def endpoint(one: Endpoint, secrets: Secrets, now: datetime, *, revealed: bool = False) -> dict[str, Any]:
    """``revealed``: with its secret, in the answer that makes it and in no other."""
    return {
        "id": one.id,
        "object": "webhook_endpoint",
        "url": one.url,
        "description": one.description,
        "events": list(one.events),
        "enabled": one.enabled,
        "status": "enabled" if one.enabled else "disabled",
        "livemode": one.livemode,
        **_secret(secrets, now, revealed),
        "created_at": iso(one.created_at),
        "disabled_at": _moment(one.disabled_at),
        "disabled_reason": one.disabled_reason,
        "failing_since": _moment(one.failing_since),
    }


def organization_secret(secrets: Secrets | None, now: datetime, *, revealed: bool = False) -> dict[str, Any]:
    return {"object": "webhook_secret", **_secret(secrets, now, revealed)}


def delivery(one: Dispatch) -> dict[str, Any]:
    delivery = one.delivery
    return {
        "id": delivery.id,
        "object": "webhook_delivery",
        "webhook_endpoint_id": delivery.endpoint_id,
        "event_id": delivery.event_id,
        "event_type": one.event.type,
        "status": delivery.status,
        "attempts": delivery.attempts,
        "next_attempt_at": _moment(delivery.next_attempt_at),
        "created_at": iso(delivery.created_at),
        "completed_at": _moment(delivery.completed_at),
        "request": {"url": one.endpoint.url, "body": letter(one.event).body.decode()[:SHOWN_OF_BODY]},
        "log": [
            {
                "at": iso(attempt.at),
                "duration_ms": attempt.duration_ms,
                "status": attempt.status,
                "error": attempt.error,
                "response": attempt.response,
            }
            for attempt in delivery.log
        ],
    }


def _secret(secrets: Secrets | None, now: datetime, revealed: bool) -> dict[str, Any]:
    current = None if secrets is None else secrets.current
    overlaps = secrets is not None and len(secrets.valid(now)) > 1
    return {
        "hint": None if current is None else current[-4:],
        "secret": current if revealed else None,
        "previous_secret_expires_at": _moment(secrets.previous_until) if secrets is not None and overlaps else None,
    }


def _moment(one: datetime | None) -> str | None:
    return None if one is None else iso(one)
