"""The OpenAPI document: every operation with an example, every error it can answer with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema

from kallglot.api import analysis_models, call_models, carrier_models, compat, privacy_models, refusals, webhook_models
from kallglot.api.auth import Requirement
from kallglot.api.examples import ANSWERS, REQUESTS
from kallglot.api.models import MODELS
from kallglot.api.problems import envelope, problem
from kallglot.errors import KallglotError

_REQUEST_ID: Final = "req_01JQ8Z5V7W3T9N4K2M6P8R1S0G"
_TEXT_FORMATS: Final = ("text/plain", "application/x-subrip", "text/vtt")
_SOUND_FORMATS: Final = ("audio/mpeg", "audio/wav", "audio/ogg")
_BINARY: Final[dict[str, Any]] = {"schema": {"type": "string", "format": "binary"}}
_TEXT: Final[dict[str, Any]] = {"schema": {"type": "string"}}
_IDEMPOTENT: Final = frozenset(
    "create_session end_session create_api_key rotate_api_key create_connection create_phone_number dial"
    " hang_up_call hold_call unhold_call mute_call unmute_call send_digits transfer_call create_webhook_endpoint"
    " test_webhook_endpoint rotate_webhook_secret resend_webhook_delivery rotate_organization_webhook_secret"
    " create_analysis".split()
)


def documented(operation: str) -> dict[str, Any]:
    """What a route's decorator says of it: operation id, answers with examples, body."""
    status, example = ANSWERS[operation]
    responses: dict[int | str, dict[str, Any]] = {
        status: {
            "description": "Done.",
            "content": {"application/json": {"schema": _shape(example), "example": example}},
        }
    }
    if operation == "get_recording_audio":
        responses[status] = {"description": "The sound.", "content": dict.fromkeys(_SOUND_FORMATS, _BINARY)}
        responses[206] = {"description": "The range that was asked for.", "content": responses[status]["content"]}
        responses[416] = {"description": "There is nothing in that range.", "content": {"text/plain": _TEXT}}
    if operation == "export_session":
        responses[status] = {"description": "A ZIP file.", "content": {"application/zip": _BINARY}}
    if operation == "download_recording":
        responses[status] = {"description": "Where the sound is."}
    if operation == "get_transcript":
        for kind in _TEXT_FORMATS:
            responses[status]["content"][kind] = {"schema": {"type": "string"}}
    for code, errors in refusals.by_status(refusals.CODES[operation]).items():
        responses[code] = _error(errors)
    if operation == "readiness":
        problems = {"status": "unavailable", "problems": ["the database does not answer"], "warnings": []}
        responses[503] = {
            "description": "Not ready.",
            "content": {"application/json": {"schema": _shape(example), "example": problems}},
        }
    for code, response in responses.items():
        response["headers"] = _headers(operation, int(code))
    extra: dict[str, Any] = {}
    if operation in REQUESTS:
        model, request, required = REQUESTS[operation]
        schema = {"$ref": f"#/components/schemas/{model}"}
        extra["requestBody"] = {
            "required": required,
            "content": {"application/json": {"schema": schema, "example": request}},
        }
    parameters = [_IDEMPOTENCY_KEY] if operation in _IDEMPOTENT else []
    if operation == "list_sessions":
        parameters.append(_METADATA_FILTER)
    if parameters:
        extra["parameters"] = parameters
    return {"operation_id": operation, "responses": responses, "openapi_extra": extra, "response_model": None}


def install(app: FastAPI, base_url: str, routers: Sequence[APIRouter]) -> None:
    """Makes ``app.openapi()`` give the finished document of what ``routers`` do."""

    def build() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
                servers=[{"url": base_url}],
            )
            models = [
                (model, "validation")
                for model in (
                    *MODELS,
                    *call_models.MODELS,
                    *analysis_models.MODELS,
                    *carrier_models.MODELS,
                    *compat.MODELS,
                    *webhook_models.MODELS,
                    *privacy_models.MODELS,
                )
            ]
            _, definitions = models_json_schema(models, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            schemas.update(definitions.get("$defs", {}))
            schemas["Error"] = _ERROR_SCHEMA
            schemas["Problem"] = _PROBLEM_SCHEMA
            document["components"]["headers"] = _HEADERS
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            compat.describe(schemas["CreateSession"])
            _drop_what_never_comes(document)
            _name_scopes(document, routers)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = build  # type: ignore[method-assign]


def _drop_what_never_comes(document: dict[str, Any]) -> None:
    """FastAPI documents a 422 of its own for each operation with parameters; here that is a 400."""
    for operations in document["paths"].values():
        for operation in operations.values():
            if "unprocessable" not in refusals.CODES[operation["operationId"]]:
                operation["responses"].pop("422", None)


def _name_scopes(document: dict[str, Any], routers: Sequence[APIRouter]) -> None:
    """The scopes that each operation really asks for, as its security requirement's roles (OpenAPI 3.1). One that is
    needed only sometimes is in an alternative of its own: either may be what the request takes."""
    for route in (route for router in routers for route in router.routes):
        if not isinstance(route, APIRoute) or not route.include_in_schema:
            continue
        asked = [one.call for one in route.dependant.dependencies if isinstance(one.call, Requirement)]
        always = [scope for one in asked for scope in one.scopes]
        sometimes = [scope for one in asked for scope in one.sometimes]
        enough = [always, [*always, *sometimes]] if sometimes else [always]
        for method in (route.methods or ()) if asked else ():
            operation = document["paths"][route.path_format][method.lower()]
            operation["security"] = [dict.fromkeys(one, some) for some in enough for one in operation["security"]]


_ERROR_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["type", "code", "message", "param", "request_id", "retry_after", "doc_url"],
            "properties": {
                "type": {"type": "string"},
                "code": {"type": "string"},
                "message": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "request_id": {"type": ["string", "null"]},
                "retry_after": {"type": ["integer", "null"]},
                "doc_url": {"type": "string"},
            },
        }
    },
}


_PROBLEM_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "description": "RFC 9457, for clients whose Accept prefers it.",
    "required": ["type", "title", "status", "detail", "code", "param", "request_id", "retry_after"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "param": {"type": ["string", "null"]},
        "request_id": {"type": ["string", "null"]},
        "retry_after": {"type": ["integer", "null"]},
    },
}


def _header(kind: str, description: str, example: Any) -> dict[str, Any]:
    return {"description": description, "schema": {"type": kind}, "example": example}


_HEADERS: Final[dict[str, dict[str, Any]]] = {
    "X-Request-ID": _header("string", "Names this request in the server's log.", _REQUEST_ID),
    "X-API-Credits-Remaining": _header("integer", "API credits left.", 412),
    "X-API-Credits-Used": _header("integer", "API credits spent.", 588),
    "X-RateLimit-Limit": _header("integer", "Requests a minute.", 120),
    "X-RateLimit-Remaining": _header("integer", "Requests left in this window.", 118),
    "X-RateLimit-Reset": _header("integer", "Unix second at which the window begins anew.", 1774522860),
    "RateLimit": _header("string", "What is left, as the IETF draft writes it.", '"sessions_read";r=118;t=42'),
    "RateLimit-Policy": _header("string", "What is allowed, likewise.", '"sessions_read";q=120;w=60'),
    "Retry-After": _header("integer", "Seconds after which a retry may help.", 12),
    "Deprecation": _header("string", "RFC 9745: the request has an older form.", "@1774483200"),
    "Idempotent-Replayed": _header("string", "true: the answer of an earlier request with the same key.", "true"),
}
_CALLER_HEADERS: Final = tuple(_HEADERS)[1:8]
_IDEMPOTENCY_KEY: Final[dict[str, Any]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Makes a repeated request answer as the first did.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}
_METADATA_FILTER: Final[dict[str, Any]] = {
    "name": "metadata",
    "in": "query",
    "required": False,
    "style": "deepObject",
    "explode": True,
    "description": "metadata[key]=value: those that carry all of these, at most 10.",
    "schema": {"type": "object", "maxProperties": 10, "additionalProperties": {"type": "string", "maxLength": 500}},
}


def _headers(operation: str, status: int) -> dict[str, Any]:
    names = ["X-Request-ID"]
    if operation not in ("health", "readiness") and status not in (401, 500):
        names.extend(_CALLER_HEADERS)
    if status in (409, 429) or (status == 503 and operation != "readiness"):
        names.append("Retry-After")
    if status < 300 and operation in _IDEMPOTENT:
        names.append("Idempotent-Replayed")
    if status < 300 and operation == "create_session":
        names.append("Deprecation")
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _error(errors: list[KallglotError]) -> dict[str, Any]:
    """One answer for all errors of a status, with an example for each."""
    return {
        "description": ", ".join(error.code for error in errors),
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/Error"},
                "examples": {error.code: {"value": envelope(error, _REQUEST_ID)} for error in errors},
            },
            "application/problem+json": {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": {error.code: {"value": problem(error, error.status, _REQUEST_ID)} for error in errors},
            },
        },
    }


_OR_NULL: Final = frozenset(
    (
        "account_sid api_key_sid region edge public_key call_control_app_id texml_app_id"
        " webhook_url connection_id label provider_call_id answered_by hangup_cause answered_at ended_at from to"
        " participant_id period_start period_end subscription engine summary error completed_at call_id"
        " description hint secret previous_secret_expires_at disabled_at disabled_reason failing_since next_attempt_at"
        " expires_at revoked_at last_used_at target request_id response"
    ).split()
)


_OBJECT_OR_NULL: Final = frozenset(
    ("metadata recording transcription translation lags policy call transfer sentiment compliance performance").split()
)
_ANYTHING: Final = frozenset(
    (
        "duration duration_seconds size sample_rate download_url expires_at source_language target_language stream"
        " language recognition synthesis transcripts_days recordings_days events_days keywords"
        " engines"
    ).split()
)


def _shape(example: Any) -> dict[str, Any]:
    """A JSON Schema that fits the example: its fields required, a null one of any type."""
    if isinstance(example, dict):
        properties = {name: _shape(value) for name, value in example.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        for name in _OBJECT_OR_NULL & properties.keys():  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
            properties[name] = {"type": ["object", "null"]}
        for name in _ANYTHING & properties.keys():  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
            properties[name] = {}
        for name in _OR_NULL & properties.keys():  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
            properties[name] = {"type": ["string", "null"]}
        return {"type": "object", "required": list(properties), "properties": properties}  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(example, list):
        return {"type": "array", "items": {}}
    if isinstance(example, bool):
        return {"type": "boolean"}
    if isinstance(example, str):
        return {"type": "string"}
    if isinstance(example, int | float):
        return {"type": "number"}
    return {}
