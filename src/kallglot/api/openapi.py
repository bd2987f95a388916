"""The OpenAPI document: every operation with an example, every error it can answer with."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from kallglot.api.examples import ANSWERS, REQUESTS
from kallglot.api.models import MODELS
from kallglot.api.problems import envelope
from kallglot.errors import KallglotError

_EXAMPLE_CODES: Final[dict[int, tuple[str, str, str | None]]] = {
    400: ("invalid_field_value", "limit: expected less than or equal to 100.", "limit"),
    401: ("invalid_api_key", "The API key is not valid.", None),
    402: ("insufficient_api_credits", "API credits exhausted. Purchase more credits to continue.", None),
    403: ("insufficient_permissions", "The API key lacks the scope sessions:write.", None),
    404: ("session_not_found", "There is no such session.", None),
    409: ("idempotency_conflict", "A request with this Idempotency-Key is still running.", None),
    413: ("request_too_large", "The body is larger than 1048576 bytes.", None),
    422: ("unprocessable", "The request was refused before it was run.", None),
    429: ("rate_limit_exceeded", "Too many requests; try again in 12 seconds.", None),
    500: ("internal_error", "Something went wrong on our side.", None),
    503: ("overloaded", "The server is at its limit; try again shortly.", None),
}

_ALWAYS: Final = (400, 401, 403, 413, 422, 429, 500, 503)
_MORE: Final[dict[str, tuple[int, ...]]] = {
    "create_session": (402, 404, 409),
    "list_sessions": (),
    "get_session": (404,),
    "update_session": (404,),
    "end_session": (404, 409),
    "list_recordings": (404,),
    "get_transcript": (404,),
    "get_organization": (),
    "create_api_key": (409,),
    "list_api_keys": (),
    "get_api_key": (404,),
    "revoke_api_key": (404,),
    "list_languages": (),
}
_TEXT_FORMATS: Final = ("text/plain", "application/x-subrip", "text/vtt")
_IDEMPOTENT: Final = ("create_session", "end_session", "create_api_key")


def documented(operation: str) -> dict[str, Any]:
    """What a route's decorator says of it: operation id, answers with examples, body."""
    status, example = ANSWERS[operation]
    responses: dict[int | str, dict[str, Any]] = {
        status: {
            "description": "Done.",
            "content": {"application/json": {"schema": _shape(example), "example": example}},
        }
    }
    if operation == "get_transcript":
        for kind in _TEXT_FORMATS:
            responses[status]["content"][kind] = {"schema": {"type": "string"}}
    if operation == "readiness":
        problems = {"status": "unavailable", "problems": ["the database does not answer"]}
        responses[503] = {
            "description": "Not ready.",
            "content": {"application/json": {"schema": _shape(example), "example": problems}},
        }
    errors = sorted((*_ALWAYS, *_MORE[operation])) if operation in _MORE else [413, 500]
    for code in errors:
        responses.setdefault(code, _error(code))
    extra: dict[str, Any] = {}
    if operation in REQUESTS:
        model, request, required = REQUESTS[operation]
        schema = {"$ref": f"#/components/schemas/{model}"}
        extra["requestBody"] = {
            "required": required,
            "content": {"application/json": {"schema": schema, "example": request}},
        }
    if operation in _IDEMPOTENT:
        extra["parameters"] = [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "Makes a repeated request answer as the first did.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
            }
        ]
    return {"operation_id": operation, "responses": responses, "openapi_extra": extra, "response_model": None}


def install(app: FastAPI, base_url: str) -> None:
    """Makes ``app.openapi()`` give the finished document."""

    def build() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
                servers=[{"url": base_url}],
            )
            _, definitions = models_json_schema(
                [(model, "validation") for model in MODELS], ref_template="#/components/schemas/{model}"
            )
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            schemas.update(definitions.get("$defs", {}))
            schemas["Error"] = _ERROR_SCHEMA
            schemas["Problem"] = {"type": "object", "description": "RFC 9457."}
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            _allow_older_provider(schemas["CreateSession"])
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = build  # type: ignore[method-assign]


def _allow_older_provider(create_session: dict[str, Any]) -> None:
    create_session["properties"]["provider"] = {
        "type": ["object", "null"],
        "deprecated": True,
        "description": "The older form of routing.",
        "required": ["type"],
        "properties": {"type": {"enum": ["twilio", "telnyx", "sip"]}},
    }


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


def _error(status: int) -> dict[str, Any]:
    code, message, param = _EXAMPLE_CODES[status]
    error = KallglotError(code, message, param=param, retry_after=12 if status in (409, 429, 503) else None)
    return {
        "description": code,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/Error"},
                "example": envelope(error, "req_01JQ8Z5V7W3T9N4K2M6P8R1S0G"),
            },
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}},
        },
    }


def _shape(example: Any) -> dict[str, Any]:
    """A JSON Schema that fits the example: its fields required, a null one of any type."""
    if isinstance(example, dict):
        properties = {name: _shape(value) for name, value in example.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        free = {"metadata", "recording", "transcription", "translation"} & properties.keys()  # pyright: ignore[reportUnknownArgumentType]
        for name in free:
            properties[name] = {"type": ["object", "null"]}
        for name in {
            "source_language",
            "target_language",
            "stream",
            "language",
            "recognition",
            "synthesis",
        } & properties.keys():  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
            properties[name] = {}
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
