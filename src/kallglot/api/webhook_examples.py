"""One example each of what is asked and answered about webhooks."""

from __future__ import annotations

from typing import Any, Final

_AT: Final = "2026-03-26T11:00:00Z"
_ID: Final = "wh_01JQ8Z5V7W3T9N4K2M6P8R1S0P"

ENDPOINT: Final[dict[str, Any]] = {
    "id": _ID,
    "object": "webhook_endpoint",
    "url": "https://example.com/kallglot",
    "description": "orders",
    "events": ["session.ended", "transcript.ready"],
    "enabled": True,
    "status": "enabled",
    "livemode": True,
    "hint": "Fkw=",
    "secret": None,
    "previous_secret_expires_at": None,
    "created_at": _AT,
    "disabled_at": None,
    "disabled_reason": None,
    "failing_since": None,
}

DELIVERY: Final[dict[str, Any]] = {
    "id": "wh_del_01JQ8Z5V7W3T9N4K2M6P8R1S0Q",
    "object": "webhook_delivery",
    "webhook_endpoint_id": _ID,
    "event_id": "evt_01JQ8Z5V7W3T9N4K2M6P8R1S0M",
    "event_type": "session.ended",
    "status": "pending",
    "attempts": 1,
    "next_attempt_at": "2026-03-26T11:01:02Z",
    "created_at": _AT,
    "completed_at": None,
    "request": {
        "url": ENDPOINT["url"],
        "body": '{"id":"evt_01JQ8Z5V7W3T9N4K2M6P8R1S0M","object":"event","type":"session.ended",…',
    },
    "log": [{"at": _AT, "duration_ms": 87, "status": 500, "error": None, "response": "Internal Server Error"}],
}
_NEW: Final[dict[str, Any]] = {**DELIVERY, "attempts": 0, "next_attempt_at": _AT, "log": []}

_SECRET: Final[dict[str, Any]] = {
    "object": "webhook_secret",
    "hint": "Fkw=",
    "secret": None,
    "previous_secret_expires_at": "2026-03-27T11:00:00Z",
}


def _list(url: str, *data: dict[str, Any]) -> dict[str, Any]:
    return {"object": "list", "url": url, "has_more": False, "data": list(data)}


ANSWERS: Final[dict[str, tuple[int, dict[str, Any]]]] = {
    "create_webhook_endpoint": (201, {**ENDPOINT, "secret": "whsec_…"}),
    "list_webhook_endpoints": (200, _list("/v1/webhook_endpoints", ENDPOINT)),
    "get_webhook_endpoint": (200, ENDPOINT),
    "update_webhook_endpoint": (200, ENDPOINT),
    "delete_webhook_endpoint": (200, {"id": _ID, "object": "webhook_endpoint", "deleted": True}),
    "test_webhook_endpoint": (202, _NEW),
    "rotate_webhook_secret": (
        200,
        {**ENDPOINT, "secret": "whsec_…", "previous_secret_expires_at": "2026-03-27T11:00:00Z"},
    ),
    "list_webhook_deliveries": (200, _list(f"/v1/webhook_endpoints/{_ID}/deliveries", DELIVERY)),
    "get_webhook_delivery": (200, DELIVERY),
    "resend_webhook_delivery": (202, _NEW),
    "get_organization_webhook_secret": (200, _SECRET),
    "rotate_organization_webhook_secret": (200, {**_SECRET, "secret": "whsec_…"}),
}

REQUESTS: Final[dict[str, tuple[str, dict[str, Any], bool]]] = {
    "create_webhook_endpoint": (
        "CreateWebhookEndpoint",
        {"url": ENDPOINT["url"], "description": "orders", "events": ENDPOINT["events"]},
        True,
    ),
    "update_webhook_endpoint": ("UpdateWebhookEndpoint", {"events": ["*"], "enabled": True}, True),
    "test_webhook_endpoint": ("SendTestEvent", {"type": "transcript.ready"}, False),
    "rotate_webhook_secret": ("RotateSecret", {"expires_in_seconds": 86400}, False),
    "rotate_organization_webhook_secret": ("RotateSecret", {"expires_in_seconds": 86400}, False),
}
