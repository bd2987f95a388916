"""What each operation can be refused with, an example each, as the OpenAPI document shows it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from kallglot.errors import KallglotError

_AUTHENTICATED: Final = (
    "missing_api_key invalid_api_key expired_api_key revoked_api_key insufficient_permissions organization_suspended"
    " rate_limit_exceeded internal_error"
).split()
_BODY: Final = "invalid_json invalid_field_value unknown_field request_too_large unprocessable".split()
_IDEMPOTENT: Final = "idempotency_mismatch invalid_idempotency_key idempotency_conflict".split()
_LIST: Final = "invalid_field_value conflicting_fields".split()
_SESSION: Final = ["session_not_found"]
_RECORDING: Final = ["recording_not_found"]
_CONNECTION: Final = ["connection_not_found"]
_NUMBER: Final = ["phone_number_not_found"]
_CALL: Final = ["call_not_found"]
_ANALYSIS: Final = [*_AUTHENTICATED, "analysis_not_found"]
_WEBHOOK: Final = ["webhook_endpoint_not_found"]
_CONTROL: Final = [*_AUTHENTICATED, *_BODY, *_IDEMPOTENT, *_CALL, "call_not_active", "carrier_error", "unavailable"]
_POLICY: Final = "conflicting_fields invalid_mode invalid_language_code unsupported_language_pair".split()

CODES: Final[dict[str, Sequence[str]]] = {
    "create_session": [
        *_AUTHENTICATED,
        *_BODY,
        *_IDEMPOTENT,
        "missing_required_field",
        "conflicting_fields",
        "invalid_mode",
        "invalid_language_code",
        "unsupported_language_pair",
        "invalid_phone_number",
        "routing_unavailable",
        "insufficient_api_credits",
        "organization_inactive",
        "feature_not_available",
        "connection_not_found",
        "ai_agent_not_found",
        "concurrent_session_limit_exceeded",
        "overloaded",
    ],
    "list_sessions": [*_AUTHENTICATED, *_LIST, "invalid_mode"],
    "get_session": [*_AUTHENTICATED, *_SESSION],
    "update_session": [*_AUTHENTICATED, *_BODY, *_SESSION, "missing_required_field"],
    "end_session": [*_AUTHENTICATED, *_BODY, *_IDEMPOTENT, *_SESSION],
    "list_recordings": [*_AUTHENTICATED, *_LIST, *_SESSION],
    "get_recording": [*_AUTHENTICATED, *_RECORDING],
    "get_recording_audio": [
        *_AUTHENTICATED,
        *_RECORDING,
        "invalid_field_value",
        "recording_not_ready",
        "recording_expired",
        "unavailable",
    ],
    "download_recording": [*_AUTHENTICATED, *_RECORDING, "invalid_field_value"],
    "delete_recording": [*_AUTHENTICATED, *_RECORDING, "recording_not_ready"],
    "get_timings": [*_AUTHENTICATED, *_SESSION],
    "get_transcript": [*_AUTHENTICATED, *_SESSION, "invalid_field_value", "resource_not_found"],
    "dial": [
        *_AUTHENTICATED,
        *_BODY,
        *_IDEMPOTENT,
        *_SESSION,
        "missing_required_field",
        "invalid_phone_number",
        "routing_unavailable",
        "session_already_ended",
        "carrier_error",
        "unavailable",
    ],
    "create_analysis": [
        *_AUTHENTICATED,
        *_BODY,
        *_IDEMPOTENT,
        *_SESSION,
        "organization_inactive",
        "insufficient_api_credits",
        "transcript_not_ready",
        "resource_not_found",
    ],
    "list_analyses": [*_AUTHENTICATED, *_LIST, *_SESSION],
    **dict.fromkeys("get_analysis get_analysis_older".split(), _ANALYSIS),
    "list_session_calls": [*_AUTHENTICATED, *_SESSION],
    "get_call": [*_AUTHENTICATED, *_CALL],
    **dict.fromkeys("hang_up_call hold_call unhold_call mute_call unmute_call".split(), _CONTROL),
    "send_digits": [*_CONTROL, "missing_required_field"],
    "transfer_call": [
        *_CONTROL,
        "missing_required_field",
        "invalid_phone_number",
        "routing_unavailable",
        "session_already_ended",
    ],
    "list_events": [*_AUTHENTICATED, *_LIST],
    "create_connection": [*_AUTHENTICATED, *_BODY, *_IDEMPOTENT, "missing_required_field"],
    "list_connections": [*_AUTHENTICATED, *_LIST],
    "get_connection": [*_AUTHENTICATED, *_CONNECTION],
    "update_connection": [*_AUTHENTICATED, *_BODY, *_CONNECTION, "missing_required_field"],
    "delete_connection": [*_AUTHENTICATED, *_CONNECTION, "invalid_request"],
    "create_phone_number": [
        *_AUTHENTICATED,
        *_BODY,
        *_IDEMPOTENT,
        *_CONNECTION,
        *_POLICY,
        "missing_required_field",
        "invalid_phone_number",
    ],
    "list_phone_numbers": [*_AUTHENTICATED, *_LIST],
    "get_phone_number": [*_AUTHENTICATED, *_NUMBER],
    "update_phone_number": [
        *_AUTHENTICATED,
        *_BODY,
        *_CONNECTION,
        *_NUMBER,
        *_POLICY,
        "missing_required_field",
    ],
    "delete_phone_number": [*_AUTHENTICATED, *_NUMBER],
    "get_organization": _AUTHENTICATED,
    "update_organization": [*_AUTHENTICATED, *_BODY, "missing_required_field"],
    "delete_session": [*_AUTHENTICATED, *_SESSION, "unprocessable"],
    "export_session": [
        *_AUTHENTICATED,
        *_SESSION,
        "transcript_not_ready",
        "recording_not_ready",
        "unavailable",
    ],
    "create_api_key": [*_AUTHENTICATED, *_BODY, *_IDEMPOTENT, "missing_required_field"],
    "list_api_keys": [*_AUTHENTICATED, *_LIST],
    "get_api_key": [*_AUTHENTICATED, "resource_not_found"],
    "update_api_key": [*_AUTHENTICATED, *_BODY, "resource_not_found"],
    "rotate_api_key": [*_AUTHENTICATED, *_BODY, *_IDEMPOTENT, "resource_not_found"],
    "revoke_api_key": [*_AUTHENTICATED, "resource_not_found", "unprocessable"],
    "list_audit_log": [*_AUTHENTICATED, *_LIST],
    "get_usage": [*_AUTHENTICATED, "invalid_field_value"],
    "list_credit_entries": [*_AUTHENTICATED, *_LIST],
    "create_webhook_endpoint": [*_AUTHENTICATED, *_BODY, *_IDEMPOTENT, "missing_required_field", "invalid_request"],
    "list_webhook_endpoints": [*_AUTHENTICATED, *_LIST],
    "get_webhook_endpoint": [*_AUTHENTICATED, *_WEBHOOK],
    "update_webhook_endpoint": [*_AUTHENTICATED, *_BODY, *_WEBHOOK],
    "delete_webhook_endpoint": [*_AUTHENTICATED, *_WEBHOOK],
    "test_webhook_endpoint": [*_AUTHENTICATED, *_BODY, *_IDEMPOTENT, *_WEBHOOK],
    "rotate_webhook_secret": [*_AUTHENTICATED, *_BODY, *_IDEMPOTENT, *_WEBHOOK],
    "list_webhook_deliveries": [*_AUTHENTICATED, *_LIST, *_WEBHOOK],
    "get_webhook_delivery": [*_AUTHENTICATED, "resource_not_found"],
    "resend_webhook_delivery": [*_AUTHENTICATED, *_BODY, *_IDEMPOTENT, "resource_not_found"],
    "get_organization_webhook_secret": _AUTHENTICATED,
    "rotate_organization_webhook_secret": [*_AUTHENTICATED, *_BODY, *_IDEMPOTENT],
    "list_languages": _AUTHENTICATED,
    "health": ["internal_error"],
    "readiness": ["internal_error"],
}

_EXAMPLES: Final[dict[str, tuple[str, str | None]]] = {
    "analysis_not_found": ("There is no such analysis.", None),
    "call_not_found": ("There is no such call.", None),
    "webhook_endpoint_not_found": ("There is no such webhook endpoint.", None),
    "call_not_active": ("The call is not active.", None),
    "carrier_error": ("Twilio refused: the account is suspended.", None),
    "session_already_ended": ("The session has ended.", None),
    "invalid_request": (
        "Active phone numbers use this connection: delete them first, or give them another.",
        None,
    ),
    "missing_required_field": ("name is required.", "name"),
    "invalid_field_value": ("limit: expected less than or equal to 100, got 500.", "limit"),
    "unknown_field": ("colour is not a field of this request.", "colour"),
    "conflicting_fields": ("Either starting_after or ending_before, not both.", "ending_before"),
    "invalid_language_code": (
        'source_language: expected a BCP 47 language code like de or en-US, got "german".',
        "source_language",
    ),
    "unsupported_language_pair": (
        "No engine translates from English to Spanish: apt-get install apertium apertium-eng-spa, then restart.",
        "target_language",
    ),
    "invalid_mode": (
        "mode: expected 'bidirectional_translation', 'assistive_translation', 'ai_agent' or 'help_chat_voice',"
        ' got "duet".',
        "mode",
    ),
    "invalid_phone_number": (
        'routing.phone_number: expected an E.164 number like +14155551234, got "123".',
        "routing.phone_number",
    ),
    "routing_unavailable": (
        "+14155551234 is not an active number of this organization.",
        "routing.phone_number",
    ),
    "idempotency_mismatch": ("This Idempotency-Key was used with a different request body.", None),
    "invalid_idempotency_key": (
        "Idempotency-Key: 1 to 255 visible ASCII characters are expected.",
        "Idempotency-Key",
    ),
    "invalid_json": ("The body is not JSON: Expecting value: line 1 column 1 (char 0).", None),
    "missing_api_key": ("An API key is required: Authorization: Bearer sk_… or X-API-Key: sk_….", None),
    "invalid_api_key": ("The API key is not valid.", None),
    "expired_api_key": ("The API key has expired.", None),
    "revoked_api_key": ("The API key was revoked.", None),
    "insufficient_api_credits": ("API credits exhausted. Purchase more credits to continue.", None),
    "insufficient_permissions": ("The API key lacks the scope sessions:write.", None),
    "organization_inactive": ("The organization's subscription is not active.", None),
    "organization_suspended": ("The organization is suspended.", None),
    "feature_not_available": ("AI agents are not part of this version.", "ai_agent"),
    "session_not_found": ("There is no such session.", None),
    "ai_agent_not_found": ("There is no agent agt_01HXYZ.", "ai_agent.agent_id"),
    "connection_not_found": ("There is no connection pcon_01HXYZ.", "routing.connection_id"),
    "phone_number_not_found": ("There is no such phone number.", None),
    "resource_not_found": ("There is no such API key.", None),
    "idempotency_conflict": ("A request with this Idempotency-Key is still running.", None),
    "request_too_large": ("The body is larger than 1048576 bytes.", None),
    "unprocessable": ("The request was refused before it was run.", None),
    "rate_limit_exceeded": ("Too many requests; try again in 12 seconds.", None),
    "concurrent_session_limit_exceeded": ("The plan allows 10 sessions at a time.", None),
    "internal_error": ("Something went wrong on our side.", None),
    "recording_not_found": ("There is no such recording.", None),
    "recording_not_ready": ("The recording is being made.", None),
    "transcript_not_ready": ("The session has not ended: end it first.", None),
    "recording_expired": ("The recording was kept until its expires_at, and is gone.", None),
    "unavailable": ("The recording cannot be fetched from where it is kept.", None),
    "overloaded": ("The server is at its limit; try again shortly.", None),
}
_RETRY_AFTER: Final = {
    "idempotency_conflict": 1,
    "rate_limit_exceeded": 12,
    "concurrent_session_limit_exceeded": 30,
    "overloaded": 5,
    "recording_not_ready": 5,
    "transcript_not_ready": 5,
    "unavailable": 5,
}


def by_status(codes: Iterable[str]) -> dict[int, list[KallglotError]]:
    """An example of each, by HTTP status."""
    found: dict[int, list[KallglotError]] = {}
    for code in codes:
        message, param = _EXAMPLES[code]
        error = KallglotError(code, message, param=param, retry_after=_RETRY_AFTER.get(code))
        found.setdefault(error.status, []).append(error)
    return dict(sorted(found.items()))
