"""Who did what: every administrative act has an entry, written with it, that holds no secret."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.conftest import Api

from kallglot.accounts.audit import OPERATOR, SYSTEM, AuditEntry
from kallglot.ids import AUDIT, new_id

PATH = "/v1/audit_log"
FIRST_START = {("system", "organization.created"), ("system", "api_key.created")}
TWILIO = {"carrier": "twilio", "account_sid": "AC" + "0" * 32, "auth_token": "geheimnis-1", "name": "main"}


async def log(api: Api, query: str = "", key: str | None = None) -> list[dict[str, Any]]:
    """Without what the first start did by itself."""
    response = await api.call("GET", f"{PATH}?{query}", key=key)
    assert response.status_code == 200, response.text
    return [one for one in response.json()["data"] if (one["actor"]["id"], one["action"]) not in FIRST_START]


async def acted(api: Api, method: str, path: str, body: Any = None, key: str | None = None) -> tuple[Any, str]:
    """The answer, and the id of the request."""
    response = await api.call(method, path, body, key=key)
    assert response.status_code < 300, response.text
    return response.json(), response.headers["x-request-id"]


async def told(api: Api, request_id: str) -> dict[str, Any]:
    """The one entry of this request."""
    found = [one for one in await log(api) if one["request_id"] == request_id]
    assert len(found) == 1
    return found[0]


async def test_every_act_with_a_key(api: Api) -> None:
    caller = (await api.call("GET", "/v1/api_keys")).json()["data"][0]["id"]
    body = {"name": "desk", "scopes": ["sessions:read"]}
    key, request_id = await acted(api, "POST", "/v1/api_keys", body)
    described = body | {"livemode": True, "expires_at": None}
    entry = await told(api, request_id)
    assert entry.pop("id").startswith("aud_")
    assert entry == {
        "object": "audit_entry",
        "actor": {"type": "api_key", "id": caller},
        "action": "api_key.created",
        "target": key["id"],
        "details": described,
        "request_id": request_id,
        "created_at": "2026-03-26T11:00:00Z",
    }
    path = f"/v1/api_keys/{key['id']}"
    _, request_id = await acted(api, "PATCH", path, {"name": "hall", "scopes": ["sessions:read"]})
    entry = await told(api, request_id)
    assert (entry["action"], entry["details"]) == ("api_key.updated", described | {"name": "hall", "changed": ["name"]})
    new, request_id = await acted(api, "POST", f"{path}/rotate")
    entry = await told(api, request_id)
    assert (entry["action"], entry["target"]) == ("api_key.rotated", key["id"])
    assert entry["details"] == {"replaced_by": new["id"], "expires_at": "2026-03-27T11:00:00Z"}
    _, request_id = await acted(api, "DELETE", path)
    assert (await told(api, request_id))["action"] == "api_key.revoked"
    before = await log(api)
    for method, body in (("PATCH", {"name": "late"}), ("DELETE", None)):
        await api.call(method, path, body)
    await acted(api, "PATCH", f"/v1/api_keys/{new['id']}", {"name": "hall"})
    assert await log(api) == before, "what changed nothing is not told"
    for secret in (key["secret"], new["secret"]):
        assert secret not in str(before)


async def test_every_act_with_connections_and_numbers(api: Api) -> None:
    made, request_id = await acted(api, "POST", "/v1/connections", TWILIO)
    entry = await told(api, request_id)
    assert (entry["action"], entry["target"]) == ("connection.created", made["id"])
    assert entry["details"] == {"carrier": "twilio", "name": "main"}
    path = f"/v1/connections/{made['id']}"
    _, request_id = await acted(api, "PATCH", path, {"auth_token": "geheimnis-2", "region": "ie1"})
    entry = await told(api, request_id)
    assert (entry["action"], entry["details"]) == ("connection.updated", {"changed": ["auth_token", "region"]})
    number, request_id = await acted(
        api, "POST", "/v1/phone_numbers", {"number": "+14155550000", "connection_id": made["id"]}
    )
    assert (await told(api, request_id))["action"] == "phone_number.created"
    _, request_id = await acted(api, "PATCH", f"/v1/phone_numbers/{number['id']}", {"label": "desk"})
    entry = await told(api, request_id)
    assert (entry["action"], entry["details"]) == ("phone_number.updated", {"changed": ["label"]})
    refused = await api.call("DELETE", path)
    assert refused.status_code == 400
    assert not [one for one in await log(api) if one["request_id"] == refused.headers["x-request-id"]]
    _, request_id = await acted(api, "DELETE", f"/v1/phone_numbers/{number['id']}")
    assert (await told(api, request_id))["action"] == "phone_number.deleted"
    _, request_id = await acted(api, "DELETE", path)
    assert (await told(api, request_id))["action"] == "connection.deleted"
    assert "geheimnis" not in str(await log(api, "limit=100"))


async def test_what_is_done_again_is_told_once(api: Api) -> None:
    for _ in range(2):
        response = await api.call("POST", "/v1/api_keys", {"name": "n"}, Idempotency_Key="once")
        assert response.status_code == 201
    assert len(await log(api, "action=api_key.created")) == 1


async def test_filters_and_pages(api: Api) -> None:
    caller = (await api.call("GET", "/v1/api_keys")).json()["data"][0]["id"]
    keys: list[str] = []
    for _ in range(3):
        api.clock.advance(60)
        keys.append((await acted(api, "POST", "/v1/api_keys", {"name": "n"}))[0]["id"])
    await acted(api, "DELETE", f"/v1/api_keys/{keys[0]}")

    async def targets(query: str) -> list[str]:
        return [one["target"] for one in await log(api, query)]

    assert await targets("action=api_key.created") == keys[::-1]
    assert await targets(f"target={keys[0]}") == [keys[0]] * 2
    assert len(await targets(f"actor={caller}")) == 4
    assert await targets(f"actor={keys[1]}") == []
    between = "created_after=2026-03-26T11:01:00Z&created_before=2026-03-26T11:03:00Z"
    assert await targets(between) == [keys[1]]
    first = await log(api, "limit=1&action=api_key.created")
    assert await targets(f"limit=1&action=api_key.created&starting_after={first[0]['id']}") == [keys[1]]
    response = await api.call("GET", f"{PATH}?action=api_key.revoked&starting_after={first[0]['id']}")
    assert response.json()["error"]["param"] == "starting_after", "not one of this list"


@pytest.mark.parametrize("query", ["action=Key%20Created", "actor=a'b", "target=%00", "created_after=yesterday"])
async def test_filters_that_cannot_be(api: Api, query: str) -> None:
    response = await api.call("GET", f"{PATH}?{query}")
    assert (response.status_code, response.json()["error"]["param"]) == (400, query.partition("=")[0])


async def test_a_test_key_sees_what_test_keys_did(api: Api) -> None:
    test_key = await api.key(livemode=False)
    await acted(api, "POST", "/v1/api_keys", {"name": "of live", "livemode": False})
    mine, _ = await acted(api, "POST", "/v1/api_keys", {"name": "of test"}, key=test_key)
    assert [one["target"] for one in await log(api, key=test_key)] == [mine["id"]]
    assert len(await log(api)) == 2


async def test_who_acts_without_a_key(api: Api) -> None:
    owner = await api.organization()
    async with api.store.write() as unit:
        for actor in (OPERATOR, SYSTEM, "stripe"):
            entry = AuditEntry(new_id(AUDIT), owner.id, actor, "organization.updated", api.clock.now(), owner.id)
            await unit.audit.add(entry)
    assert [one["actor"] for one in await log(api)] == [
        {"type": "payment_provider", "id": "stripe"},
        {"type": "system", "id": "system"},
        {"type": "operator", "id": "operator"},
    ]
    assert len(await log(api, "actor=operator")) == 1


async def test_the_first_start_is_written_down_too(api: Api) -> None:
    key = (await api.call("GET", "/v1/api_keys")).json()["data"][0]["id"]
    found = (await api.call("GET", PATH)).json()["data"]
    assert [(one["actor"]["type"], one["action"], one["target"]) for one in found] == [
        ("system", "api_key.created", key),
        ("system", "organization.created", (await api.organization()).id),
    ]


async def test_nobody_rewrites_it(api: Api) -> None:
    from sqlalchemy import text
    from sqlalchemy.exc import DatabaseError

    await acted(api, "POST", "/v1/api_keys", {"name": "n"})
    before = await log(api)
    for act in ("UPDATE audit_log SET actor = 'somebody'", "DELETE FROM audit_log"):
        with pytest.raises(DatabaseError, match="append-only"):
            async with api.store.database.write() as connection:
                await connection.execute(text(act))
    assert await log(api) == before
