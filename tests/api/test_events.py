"""Events over REST."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.api.conftest import Api

from kallglot.outbox import Event

PATH = "/v1/events"
OBJECT = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en"}


async def happened(api: Api, number: int, *, session_id: str | None = None, **changes: Any) -> str:
    provider = {"type": "twilio", "call_sid": "CA1", "status": "connected"}
    values: dict[str, Any] = {
        "id": f"evt_{number}",
        "organization_id": (await api.organization()).id,
        "livemode": True,
        "session_id": session_id,
        "type": "session.provider.connected",
        "body": {"data": {"call_id": "call_1"}, "session_id": session_id, "provider": provider},
        "created_at": api.clock.now() + timedelta(seconds=number),
    }
    async with api.store.write() as unit:
        await unit.events.add([Event(**(values | changes))])
    return f"evt_{number}"


async def ids(api: Api, query: str = "", *, key: str | None = None) -> list[str]:
    """Without the sessions' own, which are told of as they are made."""
    response = await api.call("GET", f"{PATH}{query}", key=key)
    assert response.status_code == 200, response.text
    return [one["id"] for one in response.json()["data"] if one["type"] != "session.created"]


async def test_a_provider_event_is_shown_as_webhooks_carry_it(api: Api) -> None:
    session_id = (await api.create())["id"]
    await happened(api, 1, session_id=session_id)
    await happened(api, 2, type="webhook_endpoint.disabled", body={"data": {"id": "wh_1"}})
    found = (await api.call("GET", PATH)).json()
    assert (found["object"], found["url"], found["has_more"]) == ("list", PATH, False)
    assert found["data"][2]["type"] == "session.created"
    assert found["data"][:2] == [
        {
            "id": "evt_2",
            "object": "event",
            "type": "webhook_endpoint.disabled",
            "api_version": "v1",
            "created_at": "2026-03-26T11:00:02Z",
            "data": {"id": "wh_1"},
        },
        {
            "id": "evt_1",
            "object": "event",
            "type": "session.provider.connected",
            "api_version": "v1",
            "created_at": "2026-03-26T11:00:01Z",
            "data": {"call_id": "call_1"},
            "session_id": session_id,
            "provider": {"type": "twilio", "call_sid": "CA1", "status": "connected"},
        },
    ]


async def test_filters_and_pages(api: Api) -> None:
    one, other = (await api.create())["id"], (await api.create())["id"]
    await happened(api, 1, session_id=one)
    await happened(api, 2, session_id=other)
    await happened(api, 3, session_id=one, type="session.provider.failed")
    assert await ids(api) == ["evt_3", "evt_2", "evt_1"]
    assert await ids(api, f"?session_id={one}") == ["evt_3", "evt_1"]
    assert await ids(api, f"?session_id={one}&type=session.provider.failed") == ["evt_3"]
    created = (await api.call("GET", f"{PATH}?type=session.created")).json()["data"]
    assert [event["data"]["id"] for event in created] == [other, one]
    assert await ids(api, "?session_id=sess_none") == []
    assert await ids(api, "?created_after=2026-03-26T11:00:01Z") == ["evt_3", "evt_2"]
    assert await ids(api, "?created_before=2026-03-26T11:00:02Z") == ["evt_1"]
    assert await ids(api, "?limit=1&starting_after=evt_3") == ["evt_2"]
    assert await ids(api, "?ending_before=evt_2") == ["evt_3"]
    assert (await api.call("GET", f"{PATH}?limit=2")).json()["has_more"] is True


async def test_queries_that_cannot_be(api: Api) -> None:
    for query, param in (
        ("type=Session%20created", "type"),
        ("type=" + "a" * 81, "type"),
        ("session_id=%00", "session_id"),
        ("created_after=yesterday", "created_after"),
        ("created_before=1900000000", "created_before"),
        ("starting_after=evt_none", "starting_after"),
        ("limit=101", "limit"),
    ):
        response = await api.call("GET", f"{PATH}?{query}")
        error = response.json()["error"]
        assert (response.status_code, error["code"], error["param"]) == (400, "invalid_field_value", param)


async def test_tenants_and_modes_never_meet(api: Api) -> None:
    test_key, stranger = await api.key(livemode=False), await api.tenant()
    session_id = (await api.create())["id"]
    await happened(api, 1, session_id=session_id)
    await happened(api, 2, livemode=False)
    assert await ids(api) == ["evt_1"]
    assert await ids(api, key=test_key) == ["evt_2"]
    for key in (stranger, test_key):
        assert "evt_1" not in await ids(api, f"?session_id={session_id}", key=key)
        refused = await api.call("GET", f"{PATH}?starting_after=evt_1", key=key)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "starting_after")
    assert await ids(api, key=stranger) == []


async def test_the_scope(api: Api) -> None:
    refused = await api.call("GET", PATH, key=await api.key(scopes=("telephony:manage", "sessions:write")))
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "insufficient_permissions")
