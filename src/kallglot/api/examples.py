"""One example an operation, as it goes over the wire."""

from __future__ import annotations

from typing import Any, Final

from kallglot.api import analysis_examples, privacy_examples, usage_examples, webhook_examples

SESSION_ID: Final = "sess_01JQ8Z5V7W3T9N4K2M6P8R1S0A"
_AT: Final = "2026-03-26T11:00:00Z"

CALL: Final[dict[str, Any]] = {
    "id": "call_01JQ8Z5V7W3T9N4K2M6P8R1S0H",
    "object": "call",
    "session_id": SESSION_ID,
    "provider": "twilio",
    "connection_id": "pcon_01JQ8Z5V7W3T9N4K2M6P8R1S0J",
    "provider_call_id": "CA0123456789abcdef0123456789abcdef",
    "direction": "outbound",
    "status": "in_progress",
    "from": "+14155551234",
    "to": "+4930901820",
    "participant_id": "part_01JQ8Z5V7W3T9N4K2M6P8R1S0B",
    "held": False,
    "muted": False,
    "answered_by": None,
    "hangup_cause": None,
    "transfer": None,
    "duration_seconds": None,
    "livemode": True,
    "created_at": _AT,
    "answered_at": "2026-03-26T11:00:09Z",
    "ended_at": None,
}

SESSION: Final[dict[str, Any]] = {
    "id": SESSION_ID,
    "object": "session",
    "status": "created",
    "mode": "bidirectional_translation",
    "provider": None,
    "phone_number": None,
    "call": None,
    "source_language": "en",
    "target_language": "es",
    "participants": [
        {"id": "part_01JQ8Z5V7W3T9N4K2M6P8R1S0B", "role": "customer", "language": "en", "name": None},
        {"id": "part_01JQ8Z5V7W3T9N4K2M6P8R1S0C", "role": "agent", "language": "es", "name": None},
    ],
    "stream": {
        "url": f"wss://voice.example.com/v1/sessions/{SESSION_ID}/connect",
        "token": "kst_live_…",
        "expires_at": "2026-03-26T11:05:00Z",
    },
    "sip_uri": None,
    "routing": None,
    "voice": None,
    "recording": {"enabled": False, "channels": "dual"},
    "transcription": {"partials": True, "terms": [], "profanity_filter": False},
    "translation": {"glossary": [], "original_audio": "mute", "formality": None},
    "ai_agent": None,
    "engines": {"recognition": {"en": ["deepgram", "local"]}},
    "webhook_url": None,
    "metadata": {"ticket_id": "ticket_456"},
    "livemode": True,
    "created_at": _AT,
    "started_at": None,
    "ended_at": None,
    "end_reason": None,
    "duration_seconds": None,
    "usage": None,
}

_ENGINES: Final[list[dict[str, Any]]] = [
    {"kind": "recognition", "engine": "deepgram", "language": "en", "seconds": 3.4, "characters": 0},
    {"kind": "translation", "engine": "deepl", "language": "es", "seconds": 0.0, "characters": 41},
    {"kind": "synthesis", "engine": "espeak-ng", "language": "es", "seconds": 2.9, "characters": 44},
]

API_KEY: Final[dict[str, Any]] = {
    "id": "key_01JQ8Z5V7W3T9N4K2M6P8R1S0D",
    "object": "api_key",
    "name": "contact centre",
    "livemode": True,
    "scopes": ["sessions:read", "sessions:write"],
    "hint": "x7Qa",
    "secret": None,
    "created_at": _AT,
    "expires_at": None,
    "revoked_at": None,
    "last_used_at": None,
    "replaced_by": None,
}

AUDIT_ENTRY: Final[dict[str, Any]] = {
    "id": "aud_01JQ8Z5V7W3T9N4K2M6P8R1S0Q",
    "object": "audit_entry",
    "actor": {"type": "api_key", "id": API_KEY["id"]},
    "action": "connection.updated",
    "target": "pcon_01JQ8Z5V7W3T9N4K2M6P8R1S0J",
    "details": {"changed": ["auth_token", "default"]},
    "request_id": "req_01JQ8Z5V7W3T9N4K2M6P8R1S0G",
    "created_at": _AT,
}

RECORDING: Final[dict[str, Any]] = {
    "id": "rec_01JQ8Z5V7W3T9N4K2M6P8R1S0H",
    "object": "recording",
    "session_id": SESSION_ID,
    "channel": "mixed",
    "channels": 2,
    "status": "ready",
    "format": "mp3",
    "duration": 312.4,
    "size": 936720,
    "sample_rate": 8000,
    "bit_depth": 16,
    "download_url": "/v1/recordings/rec_01JQ8Z5V7W3T9N4K2M6P8R1S0H/audio",
    "created_at": _AT,
    "expires_at": "2026-04-25T11:05:46Z",
}

CONNECTION: Final[dict[str, Any]] = {
    "id": "pcon_01JQ8Z5V7W3T9N4K2M6P8R1S0J",
    "object": "connection",
    "carrier": "twilio",
    "name": "Twilio",
    "active": True,
    "default": True,
    "livemode": True,
    "account_sid": "AC0123456789abcdef0123456789abcdef",
    "api_key_sid": None,
    "region": None,
    "edge": None,
    "public_key": None,
    "call_control_app_id": None,
    "texml_app_id": None,
    "require_signature": True,
    "auth_token_set": True,
    "previous_auth_token_set": False,
    "api_key_secret_set": False,
    "api_key_set": False,
    "shared_keys": [],
    "voice_url": "https://voice.example.com/v1/carriers/twilio/pcon_01JQ8Z5V7W3T9N4K2M6P8R1S0J/voice",
    "status_url": "https://voice.example.com/v1/carriers/twilio/pcon_01JQ8Z5V7W3T9N4K2M6P8R1S0J/status",
    "webhook_url": None,
    "created_at": _AT,
}

PHONE_NUMBER: Final[dict[str, Any]] = {
    "id": "pn_01JQ8Z5V7W3T9N4K2M6P8R1S0K",
    "object": "phone_number",
    "number": "+14155551234",
    "carrier": "twilio",
    "connection_id": CONNECTION["id"],
    "label": "support",
    "policy": {
        "mode": "bidirectional_translation",
        "source_language": "en",
        "target_language": "es",
        "engines": {"recognition": {"en": ["local"]}},
    },
    "active": True,
    "livemode": True,
    "created_at": _AT,
}

EVENT: Final[dict[str, Any]] = {
    "id": "evt_01JQ8Z5V7W3T9N4K2M6P8R1S0M",
    "object": "event",
    "type": "session.provider.connected",
    "api_version": "v1",
    "created_at": _AT,
    "data": {"session_id": SESSION_ID, "call_id": "call_01JQ8Z5V7W3T9N4K2M6P8R1S0N"},
    "session_id": SESSION_ID,
    "provider": {"type": "twilio", "call_sid": "CA0123456789abcdef0123456789abcdef", "status": "connected"},
}

_TURN: Final[dict[str, Any]] = {
    "sequence": 1,
    "id": "turn_01JQ8Z5V7W3T9N4K2M6P8R1S0E",
    "speaker": "customer",
    "participant_id": "part_01JQ8Z5V7W3T9N4K2M6P8R1S0B",
    "language": "en",
    "text": "I want to change my order.",
    "translation": {"language": "es", "text": "Quiero cambiar mi pedido."},
    "translations": [{"language": "es", "text": "Quiero cambiar mi pedido."}],
    "confidence": None,
    "start_ms": 1240,
    "end_ms": 2980,
    "timestamp": "2026-03-26T11:00:04Z",
}


def _list(url: str, *data: dict[str, Any]) -> dict[str, Any]:
    return {"object": "list", "url": url, "has_more": False, "data": list(data)}


ANSWERS: Final[dict[str, tuple[int, dict[str, Any]]]] = {
    "create_session": (201, SESSION),
    "list_sessions": (200, _list("/v1/sessions", SESSION)),
    "get_session": (200, SESSION),
    "update_session": (200, SESSION),
    "end_session": (
        200,
        {
            "id": SESSION_ID,
            "object": "session",
            "status": "ended",
            "duration_seconds": 312.4,
            "ended_at": "2026-03-26T11:05:44Z",
            "end_reason": "completed",
        },
    ),
    "list_recordings": (200, _list(f"/v1/sessions/{SESSION_ID}/recordings", RECORDING)),
    "get_recording": (200, RECORDING),
    "get_recording_audio": (200, {}),
    "download_recording": (302, {}),
    "delete_recording": (200, {"id": RECORDING["id"], "object": "recording", "deleted": True}),
    "get_timings": (
        200,
        {
            "object": "session.timings",
            "session_id": SESSION_ID,
            "turns": [
                {
                    "turn_id": "turn_01JQ8Z5V7W3T9N4K2M6P8R1S0E",
                    "speech_start_ms": 1240,
                    "speech_end_ms": 2980,
                    "first_partial_ms": 1690,
                    "committed_ms": 3570,
                    "translated_ms": 3590,
                    "final_ms": 3600,
                    "first_audio_ms": 3640,
                    "heard_ms": 5420,
                    "listeners": [
                        {
                            "participant_id": "part_01JQ8Z5V7W3T9N4K2M6P8R1S0C",
                            "listener": "agent",
                            "language": "es",
                            "first_audio_ms": 3640,
                            "heard_ms": 5420,
                            "cleared": False,
                        }
                    ],
                }
            ],
            "lags": {"first_audio": {"median": 0.66, "p95": 0.66, "max": 0.66}},
        },
    ),
    "get_transcript": (
        200,
        {
            "id": "trn_01JQ8Z5V7W3T9N4K2M6P8R1S0A",
            "object": "transcript",
            "session_id": SESSION_ID,
            "status": "completed",
            "turns": [{**_TURN, "engines": _ENGINES}],
            "metadata": {"total_turns": 1, "duration_seconds": 312.4, "languages_detected": ["en"]},
        },
    ),
    "dial": (202, {**CALL, "status": "queued", "answered_at": None}),
    "list_session_calls": (200, _list(f"/v1/sessions/{SESSION_ID}/calls", CALL)),
    "get_call": (200, CALL),
    "hang_up_call": (200, {**CALL, "status": "completed", "hangup_cause": "hangup", "ended_at": _AT}),
    "hold_call": (200, {**CALL, "held": True}),
    "unhold_call": (200, CALL),
    "mute_call": (200, {**CALL, "muted": True}),
    "unmute_call": (200, CALL),
    "send_digits": (200, CALL),
    "transfer_call": (200, {**CALL, "transfer": {"to": "+4930901821", "status": "started"}}),
    "list_events": (200, _list("/v1/events", EVENT)),
    "create_connection": (201, CONNECTION),
    "list_connections": (200, _list("/v1/connections", CONNECTION)),
    "get_connection": (200, CONNECTION),
    "update_connection": (200, {**CONNECTION, "previous_auth_token_set": True}),
    "delete_connection": (200, {"id": CONNECTION["id"], "object": "connection", "deleted": True}),
    "create_phone_number": (201, PHONE_NUMBER),
    "list_phone_numbers": (200, _list("/v1/phone_numbers", PHONE_NUMBER)),
    "get_phone_number": (200, PHONE_NUMBER),
    "update_phone_number": (200, PHONE_NUMBER),
    "delete_phone_number": (200, {"id": PHONE_NUMBER["id"], "object": "phone_number", "deleted": True}),
    "create_api_key": (201, {**API_KEY, "secret": "sk_live_…"}),
    "list_api_keys": (200, _list("/v1/api_keys", API_KEY)),
    "get_api_key": (200, API_KEY),
    "update_api_key": (200, API_KEY),
    "rotate_api_key": (201, {**API_KEY, "id": "key_01JQ8Z5V7W3T9N4K2M6P8R1S0P", "secret": "sk_live_…"}),
    "list_audit_log": (200, _list("/v1/audit_log", AUDIT_ENTRY)),
    "revoke_api_key": (200, {**API_KEY, "revoked_at": _AT}),
    "health": (200, {"status": "ok"}),
    "readiness": (200, {"status": "ready", "problems": [], "warnings": []}),
    "list_languages": (
        200,
        _list(
            "/v1/languages",
            {
                "id": "en",
                "object": "language",
                "code": "en",
                "name": "English",
                "recognition": "moonshine-tiny-en",
                "synthesis": "espeak-ng",
                "translation_to": [
                    {"language": "es", "engine": "apertium", "note": None, "engines": ["apertium", "deepl"]}
                ],
                "recognizers": ["moonshine-tiny-en", "deepgram"],
                "synthesizers": ["espeak-ng"],
                "recognition_note": None,
                "synthesis_note": None,
            },
        ),
    ),
}

ANSWERS.update(analysis_examples.ANSWERS)
ANSWERS.update(usage_examples.ANSWERS)
ANSWERS.update(privacy_examples.ANSWERS)
ANSWERS.update(webhook_examples.ANSWERS)

REQUESTS: Final[dict[str, tuple[str, dict[str, Any], bool]]] = {
    "create_session": (
        "CreateSession",
        {
            "mode": "bidirectional_translation",
            "source_language": "en",
            "target_language": "es",
            "metadata": {"ticket_id": "ticket_456"},
        },
        True,
    ),
    "update_session": ("UpdateSession", {"metadata": {"ticket_id": "ticket_457", "queue": None}}, True),
    "end_session": ("EndSession", {"reason": "completed"}, False),
    "dial": ("Dial", {"to": CALL["to"], "from": CALL["from"], "timeout_seconds": 30}, True),
    "send_digits": ("SendDigits", {"digits": "12ww#"}, True),
    "transfer_call": ("Transfer", {"to": "+4930901821", "type": "blind"}, True),
    "create_connection": (
        "CreateConnection",
        {"carrier": "twilio", "account_sid": CONNECTION["account_sid"], "auth_token": "the-auth-token-of-the-account"},
        True,
    ),
    "update_connection": ("UpdateConnection", {"auth_token": "the-new-auth-token", "default": True}, True),
    "create_phone_number": (
        "CreatePhoneNumber",
        {
            "number": PHONE_NUMBER["number"],
            "connection_id": CONNECTION["id"],
            "label": PHONE_NUMBER["label"],
            "policy": PHONE_NUMBER["policy"],
        },
        True,
    ),
    "update_phone_number": ("UpdatePhoneNumber", {"policy": {"webhook_url": "https://example.com/calls"}}, True),
    "update_api_key": ("UpdateApiKey", {"name": "contact centre", "scopes": ["sessions:read"]}, True),
    "rotate_api_key": ("RotateApiKey", {"expires_in_seconds": 3600}, False),
    "create_api_key": ("CreateApiKey", {"name": "contact centre", "scopes": ["sessions:read", "sessions:write"]}, True),
}
"""By operation: the model of its body, an example, and whether a body is required."""

REQUESTS.update(analysis_examples.REQUESTS)
REQUESTS.update(webhook_examples.REQUESTS)
REQUESTS.update(privacy_examples.REQUESTS)
