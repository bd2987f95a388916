"""One example each of what ``/v1/usage`` answers."""

from __future__ import annotations

from typing import Any, Final

_USED: Final[dict[str, Any]] = {
    "sessions": 2,
    "session_seconds": 612.48,
    "translation_seconds": 230.12,
    "ai_agent_seconds": 0.0,
    "session_minutes": 10.208,
    "translation_minutes": 3.835,
    "ai_agent_minutes": 0.0,
    "credits_used": 2,
}

ANSWERS: Final[dict[str, tuple[int, dict[str, Any]]]] = {
    "get_usage": (
        200,
        {
            "object": "usage",
            "start": "2026-03-26T00:00:00Z",
            "end": "2026-03-27T00:00:00Z",
            "livemode": True,
            "group_by": ["day", "mode"],
            "data": [{"day": "2026-03-26", "mode": "bidirectional_translation", "api_key_id": None, **_USED}],
            "total": _USED,
            "engines": [
                {
                    "day": "2026-03-26",
                    "mode": "bidirectional_translation",
                    "api_key_id": None,
                    "kind": "recognition",
                    "engine": "deepgram",
                    "sessions": 2,
                    "seconds": 498.2,
                    "characters": 0,
                }
            ],
        },
    ),
    "list_credit_entries": (
        200,
        {
            "object": "list",
            "url": "/v1/usage/ledger",
            "has_more": False,
            "data": [
                {
                    "id": "4711",
                    "object": "credit_entry",
                    "amount": -1,
                    "reason": "session",
                    "reference": "sess_01JQ8Z5V7W3T9N4K2M6P8R1S0A",
                    "balance_after": 412,
                    "mode": "bidirectional_translation",
                    "api_key_id": "key_01JQ8Z5V7W3T9N4K2M6P8R1S0D",
                    "created_at": "2026-03-26T11:00:00Z",
                }
            ],
        },
    ),
}
