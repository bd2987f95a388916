"""JSON as it comes: what is null counts as left out, and numbers may be written as texts. Pure.

Words are told once: a message is not to be passed over for a confidence that is null.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

import msgspec

T = TypeVar("T")


def decoded(message: str | bytes, kind: type[T]) -> T:
    """Raises ``msgspec.MsgspecError`` or :class:`ValueError` for what is none."""
    return msgspec.convert(_filled(msgspec.json.decode(message)), kind, strict=False)


def _filled(value: Any) -> Any:
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {name: _filled(one) for name, one in fields.items() if one is not None}
    if isinstance(value, list):
        return [_filled(one) for one in cast("list[Any]", value)]
    return value
