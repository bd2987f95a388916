"""One example each of what is asked and answered about analyses."""

from __future__ import annotations

from typing import Any, Final

_SESSION_ID: Final = "sess_01JQ8Z5V7W3T9N4K2M6P8R1S0A"

ANALYSIS: Final[dict[str, Any]] = {
    "id": "anl_01JQ8Z5V7W3T9N4K2M6P8R1S0R",
    "object": "analysis",
    "session_id": _SESSION_ID,
    "call_id": "call_01JQ8Z5V7W3T9N4K2M6P8R1S0H",
    "profile": "support",
    "status": "completed",
    "include": ["summary", "sentiment", "compliance", "keywords", "performance"],
    "summary": "4 turns in 19 s, 2 by the customer and 2 by the agent. An extract, its sentences picked by counting"
    " words:\nCustomer (0:01): “I want to change my order.”\nAgent (0:14): “Your order is changed to the blue chair.”",
    "sentiment": {
        "customer": "Neutral. Counted with word lists, which know no irony: 0 positive words and 0 negative words in 2"
        " turns.",
        "agent": "Positive. Counted with word lists, which know no irony: 2 positive words (glad, happy) and 0 negative"
        " words in 2 turns.",
    },
    "compliance": {
        "status": "flagged",
        "flags": [
            {
                "code": "goodbye_missing",
                "message": "The agent did not say goodbye, or thank you.",
                "turn_id": None,
                "sequence": None,
                "speaker": None,
                "start_ms": None,
            }
        ],
        "unchecked": [],
    },
    "keywords": [{"keyword": "order", "count": 3, "speakers": ["agent", "customer"], "score": 1.0}],
    "performance": {
        "score": 0.93,
        "score_parts": {"response": 1.0, "interruptions": 1.0, "silence": 0.72, "balance": 1.0},
        "talk_seconds": {"customer": 7.1, "agent": 8.4},
        "talk_ratio": {"customer": 0.458, "agent": 0.542},
        "turns": {"customer": 2, "agent": 2},
        "words_per_minute": {"customer": 152.1, "agent": 157.2},
        "interruptions": {"customer": 0, "agent": 0},
        "silence": {
            "total_seconds": 4.0,
            "share": 0.205,
            "longest_seconds": 2.2,
            "longest_start_ms": 4310,
            "gaps_over_3s": 0,
        },
        "response_times": {
            "customer": {"count": 1, "median_seconds": 0.8, "p95_seconds": 0.8},
            "agent": {"count": 2, "median_seconds": 1.6, "p95_seconds": 2.2},
        },
    },
    "engine": "extractive",
    "error": None,
    "livemode": True,
    "created_at": "2026-03-26T11:06:00Z",
    "completed_at": "2026-03-26T11:06:01Z",
}
_PROCESSING: Final[dict[str, Any]] = {
    **ANALYSIS,
    "status": "processing",
    **dict.fromkeys(("summary", "sentiment", "compliance", "keywords", "performance", "engine", "completed_at")),
}

ANSWERS: Final[dict[str, tuple[int, dict[str, Any]]]] = {
    "create_analysis": (202, _PROCESSING),
    "get_analysis": (200, ANALYSIS),
    "get_analysis_older": (200, ANALYSIS),
    "list_analyses": (
        200,
        {"object": "list", "url": f"/v1/sessions/{_SESSION_ID}/analyses", "has_more": False, "data": [ANALYSIS]},
    ),
}

REQUESTS: Final[dict[str, tuple[str, dict[str, Any], bool]]] = {
    "create_analysis": ("CreateAnalysis", {"profile": "support", "include": ["summary", "compliance"]}, False),
}
