"""Two organisations, and one organisation's live and test side: nobody reaches what is another's.

Generated from the OpenAPI document: a new route is covered when it is documented, and one that takes an id of a new
kind fails here until :mod:`tests.api.makers` can make one.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from tests.api.conftest import Api
from tests.api.makers import KINDS, NOT_OURS, NOTHING_YET, Tenant, ask, kind_of
from tests.api.operations import CURSORS, IdField, Operation, operations

from kallglot.ids import new_id

ALL_OF_THE_ORGANIZATION = ("list_api_keys", "list_audit_log")
"""Lists in which a live key sees what is a test key's."""
NOTHING_FOR_TEST_KEYS = ("list_credit_entries",)
GARBAGE = ("sess_", "x" * 65, "sess_%00", "sess_1%0A", "%F0%9F%98%80", "..%2f..", "' OR 1=1")


async def documented(api: Api) -> list[Operation]:
    return operations((await api.client.get("/openapi.json")).json())


async def everything(owner: Tenant, found: list[Operation]) -> None:
    """Makes what ids can name; fails for an id that nobody can make."""
    for operation in found:
        for one in operation.ids:
            if one.name not in (*CURSORS, *NOT_OURS, *NOTHING_YET):
                await owner.ids(kind_of(operation, one))
    owner.made["session_id"] = sorted({*owner.made["session_id"], *[await owner.fresh("session_id")]})


async def owned(operation: Operation, one: IdField, owner: Tenant) -> list[str]:
    """Ids of the owner's that can stand in this field."""
    if one.name not in CURSORS:
        return await owner.ids(kind_of(operation, one))
    found: list[str] = []
    for path in await paths(operation, owner):
        response = await owner.api.call("GET", f"{path}?limit=100", key=owner.key)
        assert response.status_code == 200, (path, response.text)
        found += [str(listed["id"]) for listed in response.json()["data"]]
    empty = not owner.livemode and operation.id in NOTHING_FOR_TEST_KEYS
    assert found or empty, f"{operation} lists nothing: let a maker in tests/api/makers.py make something that it lists"
    return found


async def paths(operation: Operation, owner: Tenant) -> list[str]:
    """The operation's path with every combination of the owner's ids."""
    kinds = [await owner.ids(kind_of(operation, one)) for one in operation.in_path]
    found: list[str] = []
    for ids in product(*kinds):
        path = operation.path
        for one, value in zip(operation.in_path, ids, strict=True):
            path = path.replace(f"{{{one.name}}}", value)
        found.append(path)
    return found


async def seen(owner: Tenant, found: list[Operation]) -> dict[str, Any]:
    """Every answer that the owner gets without changing anything."""
    answers: dict[str, Any] = {}
    for operation in found:
        if operation.method != "GET" or not operation.scopes:
            continue
        for path in await paths(operation, owner):
            response = await owner.api.call("GET", path, key=owner.key)
            json = response.headers.get("content-type") == "application/json"
            answers[path] = (response.status_code, without_clock(response.json()) if json else len(response.content))
    return answers


def without_clock(answer: Any) -> Any:
    """Without what is new in every answer."""
    if isinstance(answer, dict):
        new = ("stream", "last_used_at", "request_id", "credits_used_at")
        return {name: without_clock(value) for name, value in answer.items() if name not in new}
    return [without_clock(one) for one in answer] if isinstance(answer, list) else answer


async def assert_out_of_reach(owner: Tenant, stranger: Tenant, found: list[Operation]) -> int:
    """How many requests were refused."""
    refused = 0
    same_organization = owner.marker.partition(" ")[0] == stranger.marker.partition(" ")[0]
    sees_test = same_organization and stranger.livemode
    before = await seen(owner, found)
    everyone = {value for kind, made in owner.made.items() for value in made if not sees_test or kind != "key_id"}
    for operation in found:
        if not operation.scopes:
            continue
        for one in operation.ids:
            if one.name in NOT_OURS or one.name in NOTHING_YET:
                continue
            if sees_test and shared(operation, one):
                continue
            values = await owned(operation, one, owner)
            if same_organization and operation.id in ALL_OF_THE_ORGANIZATION and one.name in CURSORS:
                values = [value for value in values if value not in await owned(operation, one, stranger)]
            for value in values:
                response = await ask(operation, stranger, {one: value})
                what = f"{operation}: {one} = {value}: {response.status_code} {response.text[:300]}"
                if one.name in CURSORS:
                    assert response.status_code == 400, what
                    assert response.json()["error"]["param"] == one.name, what
                elif one.place == "query" and response.status_code == 200:
                    assert response.json()["data"] == [], what
                else:
                    kind = KINDS[kind_of(operation, one)]
                    assert (response.status_code, response.json()["error"]["code"]) == (kind.status, kind.code), what
                    assert kind.code in operation.codes(kind.status), f"{what}: not documented"
                assert owner.marker not in response.text, what
                refused += 1
        if operation.method == "GET" and not operation.in_path and operation.id not in ALL_OF_THE_ORGANIZATION:
            response = await stranger.api.call("GET", f"{operation.path}", key=stranger.key)
            assert response.status_code == 200, (str(operation), response.text)
            assert owner.marker not in response.text, f"{operation} tells {owner.marker}"
            told = [value for value in everyone if value in response.text]
            assert not told, f"{operation} tells {told}"
    assert await seen(owner, found) == before
    return refused


def shared(operation: Operation, one: IdField) -> bool:
    """Whether a live key reaches a test key's by it."""
    return operation.id in ALL_OF_THE_ORGANIZATION or (
        one.name not in CURSORS and KINDS[kind_of(operation, one)].across_modes
    )


async def two(api: Api, ours: Tenant, theirs: Tenant) -> None:
    found = await documented(api)
    for tenant in (ours, theirs):
        await everything(tenant, found)
    expected = sum(1 for operation in found for one in operation.ids if one.name not in (*NOT_OURS, *NOTHING_YET))
    assert expected > 50
    assert await assert_out_of_reach(ours, theirs, found) >= expected * 0.8
    assert await assert_out_of_reach(theirs, ours, found) >= expected * 0.8


async def test_two_organizations_with_every_id_swapped(api: Api) -> None:
    theirs = Tenant(api, await api.tenant(plan="enterprise", credits=10_000), "Theirs Geheimnis")
    await two(api, Tenant(api, api.secret, "Ours Geheimnis"), theirs)


async def test_live_and_test_with_every_id_swapped(api: Api) -> None:
    test_key = await api.key(livemode=False)
    await two(api, Tenant(api, api.secret, "Ours live"), Tenant(api, test_key, "Ours test", livemode=False))


async def test_ids_of_nothing(api: Api) -> None:
    found = await documented(api)
    caller = Tenant(api, api.secret, "Ours")
    for operation in found:
        for one in operation.ids:
            if one.name in (*CURSORS, *NOT_OURS, *NOTHING_YET):
                continue
            kind = KINDS[kind_of(operation, one)]
            response = await ask(operation, caller, {one: new_id(kind.prefix)})
            if one.place == "query" and response.status_code == 200:
                assert response.json()["data"] == [], str(operation)
                continue
            code = response.json()["error"]["code"]
            assert (response.status_code, code) == (kind.status, kind.code), f"{operation}: {one}: {response.text}"
            for garbage in GARBAGE if one.place == "path" else ():
                response = await ask(operation, caller, {one: garbage})
                assert response.status_code == 404, f"{operation} with {garbage}: {response.status_code}"


async def test_nothing_is_made_yet_of_what_has_no_maker(api: Api) -> None:
    known = {operation.path for operation in await documented(api)}
    for name, path in NOTHING_YET.items():
        assert path not in known, f"{name} has to be in tests/api/makers.py"


async def test_an_id_without_a_maker_fails_with_words(api: Api) -> None:
    document = (await api.client.get("/openapi.json")).json()
    document["paths"]["/v1/things/{thing_id}"] = {
        "get": {
            "operationId": "get_thing",
            "security": [{"bearer": ["admin"]}],
            "parameters": [{"in": "path", "name": "thing_id"}],
            "responses": {},
        }
    }
    with pytest.raises(AssertionError, match=r"GET /v1/things/\{thing_id\}: path thing_id .* Add to KINDS"):
        await everything(Tenant(api, api.secret, "Ours"), operations(document))
