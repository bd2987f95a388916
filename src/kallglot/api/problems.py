"""Errors as clients get them: the one envelope, or problem+json (RFC 9457) for those who prefer it."""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import Request
from starlette.responses import Response

from kallglot.errors import KallglotError

_CODES: Final = {
    "missing": "missing_required_field",
    "extra_forbidden": "unknown_field",
    "language": "invalid_language_code",
    "phone_number": "invalid_phone_number",
    "conflicting_fields": "conflicting_fields",
}
"""Error code by the type of the validation error; ``invalid_field_value`` for all others."""

_NEVER_SHOWN: Final = frozenset(
    (
        "account_sid auth_token previous_auth_token api_key api_key_sid api_key_secret shared_keys public_key"
        " password username"
    ).split()
)
"""Fields whose value an answer does not repeat: it is a secret, or one that landed in the wrong field."""

_NOT_A_FIELD: Final = ("body", "query", "path", "header", "[key]")


def render(request: Request, error: KallglotError, status: int | None = None) -> Response:
    """``status`` is the answer's where it is not the one of the error's code."""
    status = error.status if status is None else status
    state = request.scope.setdefault("state", {})
    request_id = state.get("request_id")
    state["error_code"] = error.code
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if _prefers_problem(request.headers.get("accept", "")):
        return Response(json.dumps(problem(error, status, request_id)), status, headers, "application/problem+json")
    return Response(json.dumps(envelope(error, request_id)), status, headers, "application/json")


def envelope(error: KallglotError, request_id: str | None) -> dict[str, Any]:
    return {
        "error": {
            "type": error.type,
            "code": error.code,
            "message": error.message,
            "param": error.param,
            "request_id": request_id,
            "retry_after": error.retry_after,
            "doc_url": error.doc_url,
        }
    }


def problem(error: KallglotError, status: int, request_id: str | None) -> dict[str, Any]:
    return {
        "type": error.doc_url,
        "title": error.code,
        "status": status,
        "detail": error.message,
        "code": error.code,
        "param": error.param,
        "request_id": request_id,
        "retry_after": error.retry_after,
    }


def from_validation(error: ValidationError) -> KallglotError:
    """The first thing that is wrong, in the catalogue's terms."""
    return from_details(error.errors(include_url=False)[0])


def from_details(details: ErrorDetails) -> KallglotError:
    location = [part for part in details["loc"] if part not in _NOT_A_FIELD]
    param = ".".join(str(part) for part in location) or None
    name = param or "The body"
    code = _CODES.get(details["type"], "invalid_field_value")
    if param in ("mode", "policy.mode") and code == "invalid_field_value":
        code = "invalid_mode"
    match code:
        case "missing_required_field":
            message = f"{name} is required."
        case "unknown_field":
            message = f"{name} is not a field of this request."
        case _:
            reason = details["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
            message = (
                f"{name}: expected {reason}" if details["msg"].startswith("Input should be ") else f"{name}: {reason}"
            )
            message = f"{message}{_given(details)}."
    return KallglotError(code, message, param=param)


def _given(details: ErrorDetails) -> str:
    given = details.get("input")
    if _NEVER_SHOWN.isdisjoint(details["loc"]) and (given is None or isinstance(given, str | int | float | bool)):
        return f", got {json.dumps(given)[:80]}"
    return ""


def _prefers_problem(accept: str) -> bool:
    """Whether problem+json is named and not outweighed by plain JSON."""
    weights: dict[str, float] = {}
    for part in accept.split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = float(parameter[2:])
                except ValueError:
                    weight = 0.0
        weights[kind] = weight
    wanted = weights.get("application/problem+json", 0.0)
    return wanted > 0 and wanted >= weights.get("application/json", 0.0)
