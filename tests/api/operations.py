"""The operations of the OpenAPI document, and where each of them takes ids."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

CURSORS: Final = ("starting_after", "ending_before")
IN_QUERIES: Final = frozenset((*CURSORS, "actor", "target"))
IN_BODIES: Final = frozenset(("participant",))
"""Names of ids that do not end in ``_id``."""


@dataclass(frozen=True, slots=True)
class IdField:
    place: Literal["path", "query", "body"]
    path: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.path[-1]

    def __str__(self) -> str:
        return f"{self.place} {'.'.join(self.path)}"


@dataclass(frozen=True, slots=True)
class Operation:
    id: str
    method: str
    path: str
    scopes: tuple[str, ...]
    """All of them are needed; none where it asks for no key."""
    sometimes: tuple[str, ...]
    """Needed too for some of what it is asked for."""
    example: Any
    """The body of its example, None where it takes none."""
    ids: tuple[IdField, ...]
    responses: dict[str, Any]

    @property
    def in_path(self) -> list[IdField]:
        return [field for field in self.ids if field.place == "path"]

    def body(self) -> Any:
        return copy.deepcopy(self.example)

    def codes(self, status: int) -> set[str]:
        """The error codes documented for a status."""
        content = self.responses.get(str(status), {}).get("content", {})
        return set(content.get("application/json", {}).get("examples", {}))

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def operations(document: dict[str, Any]) -> list[Operation]:
    return [
        _operation(document, path, method.upper(), described)
        for path, methods in document["paths"].items()
        for method, described in methods.items()
    ]


def names_an_id(name: str, besides: frozenset[str]) -> bool:
    return name == "id" or name.endswith("_id") or name in besides


def _operation(document: dict[str, Any], path: str, method: str, described: dict[str, Any]) -> Operation:
    ids = [
        IdField(parameter["in"], (parameter["name"],))
        for parameter in described.get("parameters", [])
        if parameter["in"] == "path" or (parameter["in"] == "query" and names_an_id(parameter["name"], IN_QUERIES))
    ]
    body = described.get("requestBody", {}).get("content", {}).get("application/json")
    if body is not None:
        found = dict.fromkeys(_ids_of(document, body["schema"], (), ()))
        ids += [IdField("body", place) for place in found]
    enough = [set(scopes) for one in described.get("security", []) for scopes in one.values()]
    scopes = set.intersection(*enough) if enough else set[str]()
    sometimes = set[str]().union(*enough) - scopes
    assert bool(scopes) == ("security" in described), f"{method} {path} asks for a key, and names no scope"
    example = None if body is None else body["example"]
    return Operation(
        described["operationId"],
        method,
        path,
        tuple(sorted(scopes)),
        tuple(sorted(sometimes)),
        example,
        tuple(ids),
        described["responses"],
    )


def _ids_of(
    document: dict[str, Any], schema: Any, place: tuple[str, ...], seen: tuple[str, ...]
) -> Iterator[tuple[str, ...]]:
    """Where objects of this schema hold ids; in lists ``0`` is every element."""
    reference = schema.get("$ref")
    if reference is not None:
        if reference not in seen:
            inner = document["components"]["schemas"][reference.rpartition("/")[2]]
            yield from _ids_of(document, inner, place, (*seen, reference))
        return
    for several in ("anyOf", "oneOf", "allOf"):
        for inner in schema.get(several, ()):
            yield from _ids_of(document, inner, place, seen)
    for name, inner in schema.get("properties", {}).items():
        if names_an_id(name, IN_BODIES):
            yield (*place, name)
        yield from _ids_of(document, inner, (*place, name), seen)
    if isinstance(schema.get("items"), dict):
        yield from _ids_of(document, schema["items"], (*place, "0"), seen)


def put(body: Any, path: tuple[str, ...], value: Any) -> Any:
    """``body`` with ``value`` there, what leads to it made where it is missing."""
    if not path:
        return value
    head, *rest = path
    if head == "0":
        return [put(body[0] if isinstance(body, list) and body else {}, tuple(rest), value)]
    found = dict(body) if isinstance(body, dict) else {}
    found[head] = put(found.get(head), tuple(rest), value)
    return found


def at(body: Any, path: tuple[str, ...]) -> Any:
    """What is there, None where nothing is."""
    for name in path:
        if name == "0" and isinstance(body, list):
            body = body[0] if body else None
        else:
            body = body.get(name) if isinstance(body, dict) else None
    return body
