"""Deliveries over REST: looking at them, trying endpoints, resending."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update
from tests.api.conftest import Api
from tests.api.hooks import PATH, URL, deliveries, error, made, shown

from kallglot.store.tables.webhooks import webhook_deliveries, webhook_endpoints
from kallglot.webhooks.model import EVENT_TYPES


async def test_a_delivery_as_it_is_shown(api: Api) -> None:
    one = await made(api)
    session = await api.create(metadata={"a": "ü" * 500, "b": "x" * 500})
    [delivery] = await deliveries(api, one["id"])
    event = (await shown(api, "/v1/events"))["data"][0]
    body = delivery.pop("request")
    assert delivery == {
        "id": delivery["id"],
        "object": "webhook_delivery",
        "webhook_endpoint_id": one["id"],
        "event_id": event["id"],
        "event_type": "session.created",
        "status": "pending",
        "attempts": 0,
        "next_attempt_at": "2026-03-26T11:00:00Z",
        "created_at": "2026-03-26T11:00:00Z",
        "completed_at": None,
        "log": [],
    }
    assert delivery["id"].startswith("wh_del_")
    assert (body["url"], len(body["body"])) == (URL, 1000)
    assert body["body"].startswith(f'{{"id":"{event["id"]}","object":"event","type":"session.created"')
    assert session["id"] in body["body"]
    tried = {"at": "2026-03-26T11:00:01+00:00", "duration_ms": 87, "status": 500, "error": None, "response": "Oh"}
    async with api.store.database.write() as connection:
        done = {"status": "failed", "attempts": 8, "next_attempt_at": None, "log": [tried]}
        await connection.execute(update(webhook_deliveries).values(done))
    after = await shown(api, f"/v1/webhook_deliveries/{delivery['id']}")
    assert (after["status"], after["attempts"]) == ("failed", 8)
    assert after["log"] == [tried | {"at": "2026-03-26T11:00:01Z"}]


async def test_deliveries_are_filtered_and_paged(api: Api) -> None:
    one = await made(api)
    first = await api.create()
    await api.create()
    await api.call("POST", f"/v1/sessions/{first['id']}/end")
    found = await deliveries(api, one["id"])
    ids = [each["id"] for each in found]
    assert [each["event_type"] for each in found] == ["session.ended", "session.created", "session.created"]
    async with api.store.database.write() as connection:
        where = webhook_deliveries.c.id == ids[2]
        await connection.execute(update(webhook_deliveries).where(where).values(status="delivered"))

    async def those(query: str) -> list[str]:
        return [each["id"] for each in await deliveries(api, one["id"], query)]

    assert await those("?status=pending") == ids[:2]
    assert await those("?status=delivered") == ids[2:]
    assert await those("?status=failed") == []
    assert await those("?type=session.created") == ids[1:]
    assert await those("?type=session.created&status=pending") == [ids[1]]
    assert await those(f"?limit=1&starting_after={ids[0]}") == [ids[1]]
    assert await those(f"?limit=1&ending_before={ids[2]}") == [ids[1]]
    assert (await shown(api, f"{PATH}/{one['id']}/deliveries?limit=2"))["has_more"] is True
    for query, param in (
        ("status=lost", "status"),
        ("type=A", "type"),
        ("starting_after=wh_del_none", "starting_after"),
        (f"type=session.ended&starting_after={ids[1]}", "starting_after"),
    ):
        refused = await api.call("GET", f"{PATH}/{one['id']}/deliveries?{query}")
        assert error(refused) == (400, "invalid_field_value", param)


@pytest.mark.parametrize("kind", EVENT_TYPES)
async def test_a_test_event_of_each_type_goes_to_this_endpoint_alone(api: Api, kind: str) -> None:
    one, other = await made(api, events=["session.created"]), await made(api)
    sent = await api.call("POST", f"{PATH}/{one['id']}/test", {"type": kind})
    assert sent.status_code == 202
    [delivery] = await deliveries(api, one["id"])
    assert sent.json() == delivery
    assert (delivery["event_type"], delivery["status"]) == (kind, "pending")
    [event] = (await shown(api, "/v1/events"))["data"]
    assert (event["id"], event["type"], event["test"]) == (delivery["event_id"], kind, True)
    assert event["data"]
    assert await deliveries(api, other["id"]) == []


async def test_test_events_look_like_real_ones(api: Api) -> None:
    one = await made(api)
    session = await api.create()
    await api.call("POST", f"/v1/sessions/{session['id']}/end")
    assert (await api.call("POST", f"{PATH}/{one['id']}/test")).json()["event_type"] == "session.ended"
    await api.call("POST", f"{PATH}/{one['id']}/test", {"type": "session.created"})
    listed = (await shown(api, "/v1/events"))["data"]
    for kind in ("session.ended", "session.created"):
        sample, real = [each for each in listed if each["type"] == kind]
        assert sample.keys() == real.keys() | {"test"}
        assert sample["data"].keys() == real["data"].keys()
        assert sample["data"]["id"] == "sess_sample"
        assert sample["data"]["livemode"] is True


async def test_test_events_of_a_test_key(api: Api) -> None:
    key = await api.key(livemode=False)
    one = await made(api, key=key)
    await api.call("POST", f"{PATH}/{one['id']}/test", key=key)
    assert (await shown(api, "/v1/events"))["data"] == []
    [event] = (await shown(api, "/v1/events", key=key))["data"]
    assert event["data"]["livemode"] is False


async def test_whoever_delivers_is_woken(api: Api) -> None:
    one = await made(api)
    woken: list[None] = []
    api.store.database.on_deliveries = lambda: woken.append(None)
    sent = (await api.call("POST", f"{PATH}/{one['id']}/test")).json()
    assert len(woken) == 1
    await api.call("POST", f"/v1/webhook_deliveries/{sent['id']}/resend")
    assert len(woken) == 2
    await api.call("PATCH", f"{PATH}/{one['id']}", {"description": "d"})
    assert len(woken) == 2


async def test_a_disabled_endpoint_gets_no_tests_and_nothing_again(api: Api) -> None:
    one = await made(api)
    sent = (await api.call("POST", f"{PATH}/{one['id']}/test")).json()
    await api.call("PATCH", f"{PATH}/{one['id']}", {"enabled": False})
    for path in (f"{PATH}/{one['id']}/test", f"/v1/webhook_deliveries/{sent['id']}/resend"):
        refused = await api.call("POST", path)
        assert error(refused) == (422, "unprocessable", None)
        assert "disabled" in refused.json()["error"]["message"]
    assert len(await deliveries(api, one["id"])) == 1
    assert len((await shown(api, "/v1/events"))["data"]) == 1


async def test_resending_leaves_the_first_as_it_is(api: Api) -> None:
    one = await made(api)
    await api.create()
    async with api.store.database.write() as connection:
        done = {"status": "delivered", "attempts": 1, "next_attempt_at": None, "completed_at": api.clock.now()}
        await connection.execute(update(webhook_deliveries).values(done))
    [first] = await deliveries(api, one["id"])
    api.clock.advance(60)
    again = await api.call("POST", f"/v1/webhook_deliveries/{first['id']}/resend")
    assert again.status_code == 202
    second = again.json()
    assert second["id"] != first["id"]
    assert (second["event_id"], second["status"], second["attempts"]) == (first["event_id"], "pending", 0)
    assert second["next_attempt_at"] == "2026-03-26T11:01:00Z"
    assert await deliveries(api, one["id"]) == [second, first]
    assert len((await shown(api, "/v1/events"))["data"]) == 1


async def test_a_sessions_own_address_is_no_endpoint_but_its_deliveries_can_be_looked_at(api: Api) -> None:
    shared = await made(api)
    own = await api.create(webhook_url="https://example.com/own")
    other = await api.create()
    async with api.store.database.read() as connection:
        found = await connection.execute(
            select(webhook_deliveries.c.id, webhook_endpoints.c.id, webhook_endpoints.c.session_id).join(
                webhook_endpoints, webhook_endpoints.c.id == webhook_deliveries.c.endpoint_id
            )
        )
        to_own = [(row[0], row[1]) for row in found if row[2] == own["id"]]
    [(delivery_id, endpoint_id)] = to_own
    assert [each["id"] for each in (await shown(api, PATH))["data"]] == [shared["id"]]
    for method, path in (
        ("GET", f"{PATH}/{endpoint_id}"),
        ("PATCH", f"{PATH}/{endpoint_id}"),
        ("DELETE", f"{PATH}/{endpoint_id}"),
        ("POST", f"{PATH}/{endpoint_id}/test"),
        ("POST", f"{PATH}/{endpoint_id}/rotate_secret"),
        ("GET", f"{PATH}/{endpoint_id}/deliveries"),
    ):
        refused = await api.call(method, path, {} if method == "PATCH" else None)
        assert error(refused) == (404, "webhook_endpoint_not_found", None), path
    [to_shared] = await deliveries(api, shared["id"])
    assert other["id"] in to_shared["request"]["body"]
    seen = await shown(api, f"/v1/webhook_deliveries/{delivery_id}")
    assert seen["request"]["url"] == "https://example.com/own"
    again = (await api.call("POST", f"/v1/webhook_deliveries/{delivery_id}/resend")).json()
    assert (again["webhook_endpoint_id"], again["event_id"]) == (endpoint_id, seen["event_id"])
    await api.call("POST", f"/v1/sessions/{own['id']}/end")
    assert len(await deliveries(api, shared["id"])) == 1
