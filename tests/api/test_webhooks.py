"""Webhook endpoints over REST."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import select, update
from tests.api.conftest import Api
from tests.api.hooks import PATH, URL, audited, deliveries, error, made, secrets, shown

from kallglot.api.webhooks import MOST
from kallglot.store import stranded
from kallglot.store.tables.idempotency import idempotency
from kallglot.store.tables.webhooks import webhook_endpoints
from kallglot.webhooks.addresses import networks
from kallglot.webhooks.model import EVENT_TYPES
from kallglot.webhooks.signatures import is_secret


async def test_an_endpoint_and_its_secret_which_is_shown_once(api: Api) -> None:
    answer = await made(api, description="orders", events=["session.ended", "transcript.ready"])
    assert is_secret(answer["secret"])
    expected = {
        "id": answer["id"],
        "object": "webhook_endpoint",
        "url": URL,
        "description": "orders",
        "events": ["session.ended", "transcript.ready"],
        "enabled": True,
        "status": "enabled",
        "livemode": True,
        "hint": answer["secret"][-4:],
        "secret": answer["secret"],
        "previous_secret_expires_at": None,
        "created_at": "2026-03-26T11:00:00Z",
        "disabled_at": None,
        "disabled_reason": None,
        "failing_since": None,
    }
    assert answer == expected
    again = await api.call("GET", f"{PATH}/{answer['id']}")
    listed = await api.call("GET", PATH)
    assert again.json() == expected | {"secret": None}
    assert listed.json() == {"object": "list", "url": PATH, "has_more": False, "data": [expected | {"secret": None}]}
    assert await secrets(api, answer["id"]) == (answer["secret"],)
    async with api.store.database.read() as connection:
        row = (await connection.execute(select(webhook_endpoints))).mappings().one()
    assert answer["secret"].encode() not in row["secret"]


async def test_what_is_left_out(api: Api) -> None:
    answer = await made(api)
    assert (answer["description"], answer["events"], answer["enabled"]) == (None, ["*"], True)
    off = await made(api, enabled=False)
    assert (off["enabled"], off["status"], off["disabled_reason"]) == (False, "disabled", "by_request")
    assert off["disabled_at"] == "2026-03-26T11:00:00Z"


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"url": None}, "invalid_field_value", "url"),
        ({"url": 1}, "invalid_field_value", "url"),
        ({"url": ""}, "invalid_field_value", "url"),
        ({"url": "example.com"}, "invalid_field_value", "url"),
        ({"url": "http://example.com"}, "invalid_field_value", "url"),
        ({"url": "ftp://example.com"}, "invalid_field_value", "url"),
        ({"url": "https://example.com:8080"}, "invalid_field_value", "url"),
        ({"url": "https://user:pass@example.com"}, "invalid_field_value", "url"),
        ({"url": "https://example.com/#x"}, "invalid_field_value", "url"),
        ({"url": "https://exämple.com"}, "invalid_field_value", "url"),
        ({"url": "https://example.com\\@10.0.0.1"}, "invalid_field_value", "url"),
        ({"url": "https://127.0.0.1/"}, "invalid_field_value", "url"),
        ({"url": "https://[::1]/"}, "invalid_field_value", "url"),
        ({"url": "https://2130706433/"}, "invalid_field_value", "url"),
        ({"url": "https://localhost/"}, "invalid_field_value", "url"),
        ({"url": "https://169.254.169.254/"}, "invalid_field_value", "url"),
        ({"url": "https://[64:ff9b::10.0.0.1]/"}, "invalid_field_value", "url"),
        ({"url": "https://example.com/" + "a" * 1981}, "invalid_field_value", "url"),
        ({"events": []}, "invalid_field_value", "events"),
        ({"events": "session.ended"}, "invalid_field_value", "events"),
        ({"events": ["session.finished"]}, "invalid_field_value", "events.0"),
        ({"events": ["session.ended", "session.ended"]}, "invalid_field_value", "events"),
        ({"events": ["*", "session.ended"]}, "invalid_field_value", "events"),
        ({"description": "a" * 501}, "invalid_field_value", "description"),
        ({"description": "a\x00"}, "invalid_field_value", "description"),
        ({"enabled": "yes"}, "invalid_field_value", "enabled"),
        ({"secret": "whsec_mine"}, "unknown_field", "secret"),
        ({"livemode": False}, "unknown_field", "livemode"),
    ],
)
async def test_what_is_refused(api: Api, fields: dict[str, Any], code: str, param: str) -> None:
    assert error(await api.call("POST", PATH, {"url": URL} | fields)) == (400, code, param)
    kept = await made(api)
    if "events" in fields or "url" in fields or "description" in fields:
        assert error(await api.call("PATCH", f"{PATH}/{kept['id']}", fields)) == (400, code, param)
    assert (await shown(api, PATH))["data"] == [kept | {"secret": None}]


async def test_refusals_say_what_was_expected(api: Api) -> None:
    unknown = (await api.call("POST", PATH, {"url": URL, "events": ["session.finished"]})).json()["error"]["message"]
    assert all(kind in unknown for kind in EVENT_TYPES)
    assert '"session.finished"' in unknown
    private = (await api.call("POST", PATH, {"url": "https://10.1.2.3/"})).json()["error"]["message"]
    assert "public address" in private
    name = (await api.call("POST", PATH, {"url": "https://exämple.com"})).json()["error"]["message"]
    assert "xn--" in name
    assert error(await api.call("POST", PATH, {})) == (400, "missing_required_field", "url")


async def test_an_operator_allows_networks(api: Api) -> None:
    object.__setattr__(api.services, "webhook_networks", networks("10.0.0.0/8, 127.0.0.0/8"))
    for url in ("http://10.1.2.3:8000/x", "https://127.0.0.1:1/", "http://localhost:9/", "http://inside.example/"):
        await made(api, url=url)
        await api.create(webhook_url=url)
    for url in ("http://8.8.8.8/", "https://192.168.0.1/", "https://[fd00::1]/", "https://8.8.8.8:1/"):
        assert error(await api.call("POST", PATH, {"url": url})) == (400, "invalid_field_value", "url")


async def test_no_more_than_sixteen_also_when_they_come_at_once(api: Api) -> None:
    answers = await asyncio.gather(*(api.call("POST", PATH, {"url": URL}) for _ in range(MOST + 4)))
    assert sorted(one.status_code for one in answers) == [201] * MOST + [400] * 4
    refused = next(one for one in answers if one.status_code == 400)
    assert error(refused) == (400, "invalid_request", None)
    assert "16" in refused.json()["error"]["message"]
    await made(api, key=await api.key(livemode=False))
    await api.create(webhook_url=URL)
    gone = next(one for one in answers if one.status_code == 201).json()["id"]
    assert (await api.call("DELETE", f"{PATH}/{gone}")).status_code == 200
    await made(api)


async def test_pages(api: Api) -> None:
    first, second, third = [(await made(api))["id"] for _ in "abc"]

    async def ids(query: str) -> list[str]:
        return [one["id"] for one in (await shown(api, f"{PATH}{query}"))["data"]]

    assert await ids("") == [third, second, first]
    assert await ids(f"?limit=1&starting_after={third}") == [second]
    assert await ids(f"?limit=1&ending_before={first}") == [second]
    assert (await shown(api, f"{PATH}?limit=2"))["has_more"] is True
    for query in ("starting_after=wh_none", "limit=0", f"starting_after={first}&ending_before={third}"):
        assert (await api.call("GET", f"{PATH}?{query}")).status_code == 400


async def test_changes(api: Api) -> None:
    one = await made(api, description="orders", events=["session.ended"])
    path = f"{PATH}/{one['id']}"
    changed = (await api.call("PATCH", path, {"url": "https://example.org/", "events": ["*"]})).json()
    assert changed == one | {"secret": None, "url": "https://example.org/", "events": ["*"]}
    assert (await api.call("PATCH", path, {"description": None})).json()["description"] is None
    assert (await api.call("PATCH", path, {})).json()["url"] == "https://example.org/"
    assert error(await api.call("PATCH", path, {"secret": "x"})) == (400, "unknown_field", "secret")
    assert error(await api.call("PATCH", path, {"url": None})) == (400, "invalid_field_value", "url")
    assert await secrets(api, one["id"]) == (one["secret"],)


async def test_disabling_fails_what_is_on_its_way_and_enabling_forgets(api: Api) -> None:
    one = await made(api)
    path = f"{PATH}/{one['id']}"
    await api.create()
    api.clock.advance(5)
    off = (await api.call("PATCH", path, {"enabled": False})).json()
    assert (off["status"], off["disabled_reason"], off["disabled_at"]) == (
        "disabled",
        "by_request",
        "2026-03-26T11:00:05Z",
    )
    api.clock.advance(5)
    assert (await api.call("PATCH", path, {"enabled": False})).json() == off
    found = await deliveries(api, one["id"])
    assert [(each["status"], each["completed_at"], each["next_attempt_at"]) for each in found] == [
        ("failed", "2026-03-26T11:00:05Z", None)
    ]
    await api.create()
    assert await deliveries(api, one["id"]) == found
    ill = {"failures": 7, "failing_since": api.clock.now(), "resting_until": api.clock.now()}
    async with api.store.database.write() as connection:
        await connection.execute(update(webhook_endpoints).values(ill))
    on = (await api.call("PATCH", path, {"enabled": True})).json()
    assert on == one | {"secret": None}
    async with api.store.database.read() as connection:
        row = (await connection.execute(select(webhook_endpoints))).mappings().one()
    assert (row["failures"], row["failing_since"], row["resting_until"]) == (0, None, None)
    await api.create()
    assert [each["status"] for each in await deliveries(api, one["id"])] == ["pending", "failed"]


async def test_enabling_brings_nothing_back_that_had_failed(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where there was too much for the transaction in which it was disabled."""
    monkeypatch.setattr(stranded, "AT_ONCE", 2)
    one = await made(api)
    path = f"{PATH}/{one['id']}"
    for _ in range(5):
        await api.create()
    await api.call("PATCH", path, {"enabled": False})
    assert sorted(each["status"] for each in await deliveries(api, one["id"])) == ["failed"] * 2 + ["pending"] * 3
    stranger = await api.tenant()
    assert (await api.call("PATCH", path, {"enabled": True}, key=stranger)).status_code == 404
    assert sorted(each["status"] for each in await deliveries(api, one["id"])) == ["failed"] * 2 + ["pending"] * 3
    assert (await api.call("PATCH", path, {"enabled": True})).json()["status"] == "enabled"
    assert [each["status"] for each in await deliveries(api, one["id"])] == ["failed"] * 5
    await api.create()
    assert (await deliveries(api, one["id"]))[0]["status"] == "pending"


async def test_a_new_address_is_well_and_the_old_one_stays_as_ill_as_it_is(api: Api) -> None:
    one = await made(api)
    path = f"{PATH}/{one['id']}"
    ill = {"failures": 7, "failing_since": api.clock.now(), "resting_until": api.clock.now()}
    async with api.store.database.write() as connection:
        await connection.execute(update(webhook_endpoints).values(ill))
    for fields in ({"url": URL}, {"description": "d"}, {"enabled": True}):
        assert (await api.call("PATCH", path, fields)).json()["failing_since"] == "2026-03-26T11:00:00Z"
    assert (await api.call("PATCH", path, {"url": URL + "/new"})).json()["failing_since"] is None
    async with api.store.database.read() as connection:
        row = (await connection.execute(select(webhook_endpoints))).mappings().one()
    assert (row["failures"], row["resting_until"]) == (0, None)


async def test_deleting_takes_its_deliveries_along(api: Api) -> None:
    one, other = await made(api), await made(api)
    await api.create()
    [delivery] = await deliveries(api, one["id"])
    deleted = await api.call("DELETE", f"{PATH}/{one['id']}")
    assert deleted.json() == {"id": one["id"], "object": "webhook_endpoint", "deleted": True}
    assert (await api.call("DELETE", f"{PATH}/{one['id']}")).status_code == 404
    assert (await api.call("GET", f"/v1/webhook_deliveries/{delivery['id']}")).status_code == 404
    assert (await api.call("POST", f"/v1/webhook_deliveries/{delivery['id']}/resend")).status_code == 404
    for method, act in (
        ("GET", ""),
        ("PATCH", ""),
        ("POST", "/test"),
        ("POST", "/rotate_secret"),
        ("GET", "/deliveries"),
    ):
        body = {"enabled": True} if method == "PATCH" else None
        assert (await api.call(method, f"{PATH}/{one['id']}{act}", body)).status_code == 404, act
    assert [each["id"] for each in (await shown(api, PATH))["data"]] == [other["id"]]
    assert len(await deliveries(api, other["id"])) == 1
    assert [each["type"] for each in (await shown(api, "/v1/events"))["data"]] == ["session.created"]


async def test_what_else_is_refused(api: Api) -> None:
    one = await made(api)
    path = f"{PATH}/{one['id']}"
    for address, body, code, param in (
        (f"{path}/test", {"type": "*"}, "invalid_field_value", "type"),
        (f"{path}/test", {"type": None}, "invalid_field_value", "type"),
        (f"{path}/test", {"event": "session.ended"}, "unknown_field", "event"),
        (f"{path}/rotate_secret", {"expires_in_seconds": -1}, "invalid_field_value", "expires_in_seconds"),
        (f"{path}/rotate_secret", {"expires_in_seconds": 604_801}, "invalid_field_value", "expires_in_seconds"),
        (f"{path}/rotate_secret", {"expires_in_seconds": 1.5}, "invalid_field_value", "expires_in_seconds"),
        ("/v1/organization/webhook_secret/rotate", {"expires_in": 1}, "unknown_field", "expires_in"),
    ):
        assert error(await api.call("POST", address, body)) == (400, code, param)
    assert await secrets(api, one["id"]) == (one["secret"],)


async def test_the_same_key_does_it_once(api: Api) -> None:
    first, again = [await api.call("POST", PATH, {"url": URL}, Idempotency_Key="k") for _ in "ab"]
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    one = first.json()
    sent = (await api.call("POST", f"{PATH}/{one['id']}/test", Idempotency_Key="k")).json()
    for path, status in (
        (f"{PATH}/{one['id']}/test", 202),
        (f"{PATH}/{one['id']}/rotate_secret", 200),
        (f"/v1/webhook_deliveries/{sent['id']}/resend", 202),
        ("/v1/organization/webhook_secret/rotate", 200),
    ):
        answers = await asyncio.gather(*(api.call("POST", path, Idempotency_Key="k") for _ in "abc"))
        assert {each.content for each in answers} == {answers[0].content}, path
        assert answers[0].status_code == status
        other = {"type": "session.created"} if "test" in path else {"expires_in_seconds": 1}
        mismatch = await api.call("POST", path, other, Idempotency_Key="k")
        assert error(mismatch) == (400, "idempotency_mismatch", None)
    assert len((await shown(api, PATH))["data"]) == 1
    async with api.store.database.read() as connection:
        kept = (await connection.execute(select(idempotency.c.body))).scalars().all()
    assert len(kept) >= 5
    assert not [body for body in kept if b"whsec_" in body]


async def test_tenants_and_modes_never_meet(api: Api) -> None:
    one = await made(api)
    sent = (await api.call("POST", f"{PATH}/{one['id']}/test")).json()
    routes: list[tuple[str, str, Any, str]] = [
        ("GET", f"{PATH}/{one['id']}", None, "webhook_endpoint_not_found"),
        ("PATCH", f"{PATH}/{one['id']}", {"enabled": False}, "webhook_endpoint_not_found"),
        ("DELETE", f"{PATH}/{one['id']}", None, "webhook_endpoint_not_found"),
        ("POST", f"{PATH}/{one['id']}/test", None, "webhook_endpoint_not_found"),
        ("POST", f"{PATH}/{one['id']}/rotate_secret", None, "webhook_endpoint_not_found"),
        ("GET", f"{PATH}/{one['id']}/deliveries", None, "webhook_endpoint_not_found"),
        ("GET", f"/v1/webhook_deliveries/{sent['id']}", None, "resource_not_found"),
        ("POST", f"/v1/webhook_deliveries/{sent['id']}/resend", None, "resource_not_found"),
    ]
    for key in (await api.tenant(), await api.key(livemode=False)):
        for method, path, body, code in routes:
            assert error(await api.call(method, path, body, key=key)) == (404, code, None), path
        assert (await shown(api, PATH, key=key))["data"] == []
        refused = await api.call("GET", f"{PATH}?starting_after={one['id']}", key=key)
        assert error(refused) == (400, "invalid_field_value", "starting_after")
    assert await shown(api, f"{PATH}/{one['id']}") == one | {"secret": None}
    assert await deliveries(api, one["id"]) == [sent]
    for wrong in ("wh_", "x" * 65, "wh_%00", "%F0%9F%98%80", "..%2f..", "' OR 1=1"):
        for method, path, body, _ in routes:
            asked = path.replace(one["id"], wrong).replace(sent["id"], wrong)
            assert (await api.call(method, asked, body)).status_code == 404, (method, asked)


async def test_every_act_is_written_down_once_and_without_secrets(api: Api) -> None:
    one = await made(api, events=["session.ended"])
    path = f"{PATH}/{one['id']}"
    await api.call("PATCH", path, {"url": URL, "enabled": False})
    await api.call("PATCH", path, {"enabled": False})
    await api.call("PATCH", path, {})
    await api.call("PATCH", path, {"enabled": True})
    sent = (await api.call("POST", f"{path}/test", Idempotency_Key="k")).json()
    await api.call("POST", f"{path}/test", Idempotency_Key="k")
    again = (await api.call("POST", f"/v1/webhook_deliveries/{sent['id']}/resend")).json()
    rotated = (await api.call("POST", f"{path}/rotate_secret", {"expires_in_seconds": 5})).json()
    await api.call("POST", "/v1/organization/webhook_secret/rotate")
    await api.call("DELETE", path)
    found = [each for each in await audited(api) if each[0].startswith(("webhook", "organization.webhook"))]
    assert found == [
        ("webhook_endpoint.created", one["id"], {"events": ["session.ended"]}),
        ("webhook_endpoint.updated", one["id"], {"changed": ["url", "disabled"]}),
        ("webhook_endpoint.updated", one["id"], {"changed": ["enabled"]}),
        ("webhook_endpoint.tested", one["id"], {"type": "session.ended"}),
        ("webhook_delivery.resent", again["id"], {"of": sent["id"]}),
        ("webhook_endpoint.secret_rotated", one["id"], {"expires_in_seconds": 5}),
        ("organization.webhook_secret_rotated", (await api.organization()).id, {"expires_in_seconds": 86_400}),
        ("webhook_endpoint.deleted", one["id"], {}),
    ]
    assert rotated["secret"] not in str(found)


async def test_what_fails_leaves_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    one = await made(api)

    async def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr("kallglot.store.audit.SqlAudit.add", fails)
    for method, path, body in (
        ("POST", PATH, {"url": URL}),
        ("PATCH", f"{PATH}/{one['id']}", {"enabled": False}),
        ("POST", f"{PATH}/{one['id']}/test", None),
        ("POST", f"{PATH}/{one['id']}/rotate_secret", None),
        ("DELETE", f"{PATH}/{one['id']}", None),
    ):
        assert (await api.call(method, path, body)).status_code == 500
    assert (await shown(api, PATH))["data"] == [one | {"secret": None}]
    assert await deliveries(api, one["id"]) == []
    assert (await shown(api, "/v1/events"))["data"] == []
    assert await secrets(api, one["id"]) == (one["secret"],)
