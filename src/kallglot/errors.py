"""The error catalogue that clients see: one row a code, one exception that carries it.

Everything that can go wrong on purpose raises :class:`KallglotError`; anything else is a 500.
"""

from __future__ import annotations

from typing import Final

DOC_URL: Final = "https://developer.kallglot.com/errors#"

_TYPES: Final[dict[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "permission_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    410: "not_found_error",
    413: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    500: "api_error",
    502: "upstream_error",
    503: "api_error",
}

_CODES_BY_STATUS: Final[dict[int, tuple[str, ...]]] = {
    400: (
        "invalid_request",
        "missing_required_field",
        "invalid_field_value",
        "unknown_field",
        "conflicting_fields",
        "invalid_language_code",
        "unsupported_language_pair",
        "invalid_mode",
        "invalid_phone_number",
        "routing_unavailable",
        "idempotency_mismatch",
        "invalid_idempotency_key",
        "invalid_json",
    ),
    401: (
        "missing_api_key",
        "invalid_api_key",
        "expired_api_key",
        "revoked_api_key",
        "invalid_token",
        "expired_token",
    ),
    402: ("insufficient_api_credits",),
    403: ("insufficient_permissions", "organization_inactive", "organization_suspended", "feature_not_available"),
    404: (
        "session_not_found",
        "call_not_found",
        "recording_not_found",
        "analysis_not_found",
        "agent_not_found",
        "ai_agent_not_found",
        "knowledge_base_not_found",
        "webhook_endpoint_not_found",
        "connection_not_found",
        "phone_number_not_found",
        "resource_not_found",
    ),
    409: (
        "idempotency_conflict",
        "session_already_ended",
        "transcript_not_ready",
        "recording_not_ready",
        "call_not_active",
    ),
    410: ("recording_expired",),
    413: ("request_too_large",),
    422: ("unprocessable",),
    429: ("rate_limit_exceeded", "concurrent_session_limit_exceeded"),
    500: ("internal_error",),
    502: ("carrier_error", "sip_dial_failed", "engine_error"),
    503: ("overloaded", "unavailable"),
}

STATUS_OF: Final[dict[str, int]] = {code: status for status, codes in _CODES_BY_STATUS.items() for code in codes}
"""HTTP status by error code."""


class KallglotError(Exception):
    """An error of the catalogue.

    ``code`` is one of :data:`STATUS_OF`; ``param`` the path of the field at fault (``routing.sip.uri``);
    ``retry_after`` whole seconds after which a retry may help.
    """

    def __init__(self, code: str, message: str, *, param: str | None = None, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.retry_after = retry_after
        self.status = STATUS_OF[code]

    @property
    def type(self) -> str:
        return _TYPES[self.status]

    @property
    def doc_url(self) -> str:
        return DOC_URL + self.code
