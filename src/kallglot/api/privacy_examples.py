"""One example each of what an organization's policy, deletion and export answer."""

from __future__ import annotations

from typing import Any, Final

_SESSION_ID: Final = "sess_01JQ8Z5V7W3T9N4K2M6P8R1S0A"

_POLICY: Final[dict[str, Any]] = {
    "retention": {"transcripts_days": 90, "recordings_days": 14, "events_days": None},
    "redaction": {
        "card_numbers": True,
        "patterns": [{"name": "customer number", "pattern": "\\bK-\\d{6}\\b", "replacement": None}],
    },
    "engines": {"recognition": {"de": ["deepgram", "local"]}, "translation": {}, "synthesis": {}},
}

ORGANIZATION: Final[dict[str, Any]] = {
    "id": "org_01JQ8Z5V7W3T9N4K2M6P8R1S0F",
    "object": "organization",
    "name": "Default",
    "status": "active",
    "plan": "selfhosted",
    "credits_remaining": 412,
    "credits_used": 588,
    "plan_credits": 0,
    "period_start": None,
    "period_end": None,
    "subscription": None,
    "created_at": "2026-03-26T11:00:00Z",
    **_POLICY,
}

ANSWERS: Final[dict[str, tuple[int, dict[str, Any]]]] = {
    "get_organization": (200, ORGANIZATION),
    "update_organization": (200, ORGANIZATION),
    "delete_session": (200, {"id": _SESSION_ID, "object": "session", "deleted": True}),
    "export_session": (200, {}),
}

REQUESTS: Final[dict[str, tuple[str, dict[str, Any], bool]]] = {
    "update_organization": (
        "UpdateOrganization",
        {
            "retention": {"transcripts_days": 90, "recordings_days": 14},
            "redaction": {
                "card_numbers": True,
                "patterns": [{"name": "customer number", "pattern": "\\bK-\\d{6}\\b"}],
            },
            "engines": {"recognition": {"*": ["local"]}},
        },
        True,
    ),
}
