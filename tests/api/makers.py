"""Real objects of every kind that an id can name, made over the API with somebody's key.

A new route whose path, query or body takes an id of a new kind fails the tests that are generated from the OpenAPI
document until its maker is here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import httpx
from tests.api.conftest import Api
from tests.api.operations import IdField, Operation, at, put

from kallglot import ids
from kallglot.session.model import Turn

PAIR: Final = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en"}
_numbers = count(4155550000)


@dataclass
class Tenant:
    """Somebody with a key, and what was made with it. ``marker`` is in the text of all of it."""

    api: Api
    key: str
    marker: str
    livemode: bool = True
    made: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        response = await self.api.call(method, path, body, key=self.key)
        assert response.status_code < 300, (method, path, response.text)
        return response.json()

    async def ids(self, kind: str) -> list[str]:
        """Of objects that are there to stay."""
        if kind not in self.made:
            self.made[kind] = await KINDS[kind].make(self)
        return self.made[kind]

    async def fresh(self, kind: str) -> str:
        """Of one that may be deleted."""
        return (await KINDS[kind].make(self))[0]

    async def number(self) -> str:
        """A registered number."""
        found = (await self.call("GET", "/v1/phone_numbers"))["data"]
        return found[0]["number"] if found else (await _number(self))[1]


Make = Callable[[Tenant], Awaitable[list[str]]]


@dataclass(frozen=True, slots=True)
class Kind:
    """``code`` is what another one's object is refused with; ``across_modes`` says that a live key sees test ones."""

    prefix: str
    make: Make
    code: str
    status: int = 404
    across_modes: bool = False


async def _session(owner: Tenant) -> list[str]:
    """One that is on, with a turn and metadata, and one that is over, with a recording."""
    on = await _talking(owner)
    over, _ = await owner.api.recorded(key=owner.key)
    return [on, over]


async def _talking(owner: Tenant) -> str:
    made = await owner.call("POST", "/v1/sessions", PAIR | {"metadata": {"note": owner.marker}})
    said = Turn(
        f"turn_{made['id']}",
        made["id"],
        1,
        made["participants"][0]["id"],
        "customer",
        "de",
        owner.marker,
        0,
        9,
        owner.api.clock.now(),
    )
    await owner.api.journal.add_turn(said)
    return made["id"]


async def _recording(owner: Tenant) -> list[str]:
    return [(await owner.api.recorded(key=owner.key))[1]]


async def _participant(owner: Tenant) -> list[str]:
    session_id = (await owner.ids("session_id"))[0]
    return [(await owner.call("GET", f"/v1/sessions/{session_id}"))["participants"][0]["id"]]


async def _call(owner: Tenant) -> list[str]:
    session_id = (await owner.ids("session_id"))[0]
    number = await owner.number()
    made = await owner.call("POST", f"/v1/sessions/{session_id}/dial", {"to": "+4930901820", "from": number})
    path = f"/v1/calls/{made['id']}"

    # A test key's calls are played by a carrier that goes on by itself; a live one's is played by hand.
    async with asyncio.timeout(30):
        while not owner.livemode and (await owner.call("GET", path))["status"] != "in_progress":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return [made["id"]]


async def _connection(owner: Tenant) -> list[str]:
    asked = {"carrier": "twilio", "account_sid": "AC" + "0" * 32, "auth_token": "t", "name": owner.marker}
    return [(await owner.call("POST", "/v1/connections", asked))["id"]]


async def _number(owner: Tenant) -> list[str]:
    """Its id, and the number itself."""
    connection_id = (await owner.ids("connection_id"))[0]
    asked = {"number": f"+1{next(_numbers)}", "connection_id": connection_id, "label": owner.marker}
    made = await owner.call("POST", "/v1/phone_numbers", asked)
    return [made["id"], made["number"]]


async def _number_id(owner: Tenant) -> list[str]:
    return (await _number(owner))[:1]


async def _key(owner: Tenant) -> list[str]:
    return [(await owner.call("POST", "/v1/api_keys", {"name": owner.marker}))["id"]]


async def _endpoint(owner: Tenant) -> list[str]:
    asked = {"url": "https://example.com/hooks", "events": ["*"], "description": owner.marker}
    return [(await owner.call("POST", "/v1/webhook_endpoints", asked))["id"]]


async def _delivery(owner: Tenant) -> list[str]:
    endpoint_id = (await owner.ids("endpoint_id"))[0]
    await _talking(owner)
    listed = (await owner.call("GET", f"/v1/webhook_endpoints/{endpoint_id}/deliveries"))["data"]
    return [listed[0]["id"]]


async def _analysis(owner: Tenant) -> list[str]:
    _, over = await owner.ids("session_id")
    return [(await owner.call("POST", f"/v1/sessions/{over}/analysis", {}))["id"]]


KINDS: Final = {
    "session_id": Kind(ids.SESSION, _session, "session_not_found"),
    "recording_id": Kind(ids.RECORDING, _recording, "recording_not_found"),
    "participant": Kind(ids.PARTICIPANT, _participant, "invalid_field_value", status=400),
    "call_id": Kind(ids.CALL, _call, "call_not_found"),
    "connection_id": Kind(ids.CONNECTION, _connection, "connection_not_found"),
    "number_id": Kind(ids.PHONE_NUMBER, _number_id, "phone_number_not_found"),
    "key_id": Kind(ids.API_KEY, _key, "resource_not_found", across_modes=True),
    "endpoint_id": Kind(ids.WEBHOOK_ENDPOINT, _endpoint, "webhook_endpoint_not_found"),
    "analysis_id": Kind(ids.ANALYSIS, _analysis, "analysis_not_found"),
    "delivery_id": Kind(ids.DELIVERY, _delivery, "resource_not_found"),
}
"""By the name of the parameter or field."""

SAME_AS: Final = {"actor": "key_id", "target": "connection_id"}
"""Other names of the same."""

NOT_OURS: Final = frozenset(("call_control_id", "call_control_app_id", "texml_app_id"))
"""Ids that carriers give."""

NOTHING_YET: Final = {"agent_id": "/v1/agents", "knowledge_base_id": "/v1/knowledge_bases"}
"""Ids of what cannot be made as long as the document does not have that path."""


def kind_of(operation: Operation, at_field: IdField) -> str:
    """The name in :data:`KINDS`. Fails for an id that nothing is known of."""
    name = SAME_AS.get(at_field.name, at_field.name)
    assert name in KINDS, (
        f"{operation}: {at_field} is an id of a kind that tests/api/makers.py does not know. Add to KINDS how one is"
        f" made and what code another organisation's is refused with; or to NOT_OURS where it is no id of ours."
    )
    return name


async def filled(operation: Operation, owner: Tenant) -> Any:
    """The body of the operation's example, with ids and numbers of ``owner``'s own."""
    body = operation.body()
    for one in operation.ids:
        if one.place == "body" and at(body, one.path) is not None and one.name not in (*NOT_OURS, *NOTHING_YET):
            body = put(body, one.path, (await owner.ids(kind_of(operation, one)))[0])
    if operation.id == "create_phone_number":
        body["number"] = f"+1{next(_numbers)}"
    if operation.id == "create_analysis":
        body["profile"] = "default"
    if operation.id == "dial":
        body["from"] = await owner.number()
    return body


async def ask(
    operation: Operation, caller: Tenant, ids: dict[IdField, str], *, key: str | None = None
) -> httpx.Response:
    """Calls it with these ids; every other one is the caller's own, also where another ``key`` of theirs is used."""
    path, query = operation.path, {}
    body = await filled(operation, caller)
    for one in operation.ids:
        if one.place == "path":
            value = ids[one] if one in ids else (await caller.ids(kind_of(operation, one)))[0]
            path = path.replace(f"{{{one.name}}}", value)
        elif one in ids and one.place == "query":
            query[one.name] = ids[one]
        elif one in ids:
            body = put(body, one.path, ids[one])
    address = str(httpx.URL(path, params=query)) if query else path
    return await caller.api.call(operation.method, address, body, key=key or caller.key)
