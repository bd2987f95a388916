"""JSON bodies, read strictly: what a database or another client could not take is refused here."""

from __future__ import annotations

import json
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from kallglot.api.problems import from_validation
from kallglot.errors import KallglotError
from kallglot.texts import storable

Model = TypeVar("Model", bound=BaseModel)
MAX_DEPTH = 32


async def read_json(request: Request, *, optional: bool = False) -> dict[str, Any]:
    """The body as an object; ``{}`` for an empty one where it is ``optional``.

    Raises ``invalid_json`` and, for characters that no text column holds, ``invalid_field_value``.
    """
    raw = await request.body()
    if optional and not raw.strip():
        return {}
    try:
        value = json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant)
    except RecursionError:
        raise KallglotError("invalid_json", "The body is nested too deeply.") from None
    except ValueError as error:
        raise KallglotError("invalid_json", f"The body is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise KallglotError("invalid_json", f"The body must be a JSON object, got {type(value).__name__}.")
    found = cast("dict[str, Any]", value)
    check_storable(found)
    return found


def parse(model: type[Model], body: dict[str, Any]) -> Model:
    """Raises the error of the catalogue that fits what is wrong first."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise from_validation(error) from None


def check_storable(value: Any, path: str = "", depth: int = 0) -> None:
    """Raises ``invalid_field_value`` for text that no column holds, ``invalid_json`` for what is nested too deeply."""
    if depth > MAX_DEPTH:
        raise KallglotError("invalid_json", "The body is nested too deeply.")
    if isinstance(value, str):
        if not storable(value):
            raise KallglotError(
                "invalid_field_value", f"{path}: text without NUL and unpaired surrogates is expected.", param=path
            )
    elif isinstance(value, dict):
        for key, inner in cast("dict[str, Any]", value).items():
            check_storable(key, path or "body", depth)
            check_storable(inner, f"{path}.{key}" if path else key, depth + 1)
    elif isinstance(value, list):
        for number, inner in enumerate(cast("list[Any]", value)):
            check_storable(inner, f"{path}.{number}", depth + 1)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
