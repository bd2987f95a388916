"""Carrier connections over REST: what may be asked, what is shown, and that no secret ever is."""

from __future__ import annotations

import base64
import logging
from typing import Any

import httpx
import pytest
from tests.api.conftest import Api

PATH = "/v1/connections"
ACCOUNT = "AC" + "0123456789abcdef" * 2
KEY = "SK" + "0123456789abcdef" * 2
PUBLIC = base64.b64encode(bytes(range(32))).decode()
TWILIO = {"carrier": "twilio", "account_sid": ACCOUNT, "auth_token": "geheim-token"}
WITH_KEY = {"carrier": "twilio", "account_sid": ACCOUNT, "api_key_sid": KEY, "api_key_secret": "geheim-key"}
TELNYX = {"carrier": "telnyx", "api_key": "geheim-telnyx", "public_key": PUBLIC, "call_control_app_id": "1494404757"}


async def made(api: Api, body: dict[str, Any] = TWILIO, *, key: str | None = None) -> dict[str, Any]:
    response = await api.call("POST", PATH, body, key=key)
    assert response.status_code == 201, response.text
    return response.json()


async def secrets(api: Api, connection_id: str) -> dict[str, Any]:
    async with api.store.read() as unit:
        found = await unit.connections.by_id(connection_id)
    assert found is not None
    return dict(found.secrets)


def error(response: httpx.Response) -> tuple[int, str, str | None]:
    found = response.json()["error"]
    return response.status_code, found["code"], found["param"]


async def test_a_twilio_connection(api: Api) -> None:
    extras = {"shared_keys": {"k2": "geheim-2", "k1": "geheim-1"}, "region": "ie1", "edge": "dublin"}
    found = await made(api, TWILIO | extras)
    address = f"http://testserver/v1/carriers/twilio/{found['id']}"
    assert found["id"].startswith("pcon_")
    assert found == {
        "id": found["id"],
        "object": "connection",
        "carrier": "twilio",
        "name": "Twilio",
        "active": True,
        "default": True,
        "livemode": True,
        "account_sid": ACCOUNT,
        "api_key_sid": None,
        "region": "ie1",
        "edge": "dublin",
        "public_key": None,
        "call_control_app_id": None,
        "texml_app_id": None,
        "require_signature": True,
        "auth_token_set": True,
        "previous_auth_token_set": False,
        "api_key_secret_set": False,
        "api_key_set": False,
        "shared_keys": ["k1", "k2"],
        "voice_url": f"{address}/voice",
        "status_url": f"{address}/status",
        "webhook_url": None,
        "created_at": "2026-03-26T11:00:00Z",
    }
    assert (await api.call("GET", f"{PATH}/{found['id']}")).json() == found
    assert (await api.call("GET", PATH)).json()["data"] == [found]
    assert await secrets(api, found["id"]) == {
        "auth_token": "geheim-token",
        "shared_keys": {"k1": "geheim-1", "k2": "geheim-2"},
    }


async def test_a_telnyx_connection(api: Api) -> None:
    found = await made(api, TELNYX | {"name": "Vertrieb", "texml_app_id": "15", "account_sid": "9f3-a"})
    address = f"http://testserver/v1/carriers/telnyx/{found['id']}"
    assert (found["name"], found["public_key"], found["api_key_set"]) == ("Vertrieb", PUBLIC, True)
    assert (found["call_control_app_id"], found["texml_app_id"], found["account_sid"]) == ("1494404757", "15", "9f3-a")
    assert [found[f"{name}_url"] for name in ("voice", "status", "webhook")] == [
        f"{address}/{name}" for name in ("voice", "status", "events")
    ]
    unsigned = {name: value for name, value in TELNYX.items() if name != "public_key"}
    assert (await made(api, unsigned | {"require_signature": False}))["require_signature"] is False


@pytest.mark.parametrize(
    "extras", [{"auth_token": "geheim"}, {"require_signature": False}, {"shared_keys": {"k": "geheim"}}]
)
async def test_an_api_key_with_something_that_checks_signatures(api: Api, extras: dict[str, Any]) -> None:
    found = await made(api, WITH_KEY | extras)
    assert (found["api_key_sid"], found["api_key_secret_set"]) == (KEY, True)


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({}, "missing_required_field", "carrier"),
        ({"carrier": "geheim"}, "invalid_field_value", "carrier"),
        ({"carrier": "simulated"}, "invalid_field_value", "carrier"),
        ({"carrier": ["twilio"]}, "invalid_field_value", "carrier"),
        ({"carrier": "twilio"}, "missing_required_field", "account_sid"),
        ({"carrier": "twilio", "account_sid": ACCOUNT}, "missing_required_field", "auth_token"),
        (WITH_KEY, "missing_required_field", "auth_token"),
        (WITH_KEY | {"shared_keys": {}}, "missing_required_field", "auth_token"),
        (TWILIO | {"api_key_sid": KEY}, "missing_required_field", "api_key_secret"),
        (TWILIO | {"api_key_secret": "geheim"}, "missing_required_field", "api_key_sid"),
        (TWILIO | {"account_sid": "geheim"}, "invalid_field_value", "account_sid"),
        (TWILIO | {"account_sid": ACCOUNT + "\n"}, "invalid_field_value", "account_sid"),
        (TWILIO | {"api_key_sid": ACCOUNT}, "invalid_field_value", "api_key_sid"),
        (TWILIO | {"auth_token": ""}, "invalid_field_value", "auth_token"),
        (TWILIO | {"auth_token": "geheim geheim"}, "invalid_field_value", "auth_token"),
        (TWILIO | {"auth_token": "geheim" * 100}, "invalid_field_value", "auth_token"),
        (TWILIO | {"auth_token": ["geheim"]}, "invalid_field_value", "auth_token"),
        (TWILIO | {"auth_token": 7354}, "invalid_field_value", "auth_token"),
        (TWILIO | {"shared_keys": {"k": "geheim geheim"}}, "invalid_field_value", "shared_keys.k"),
        (TWILIO | {"shared_keys": {"k k": "geheim"}}, "invalid_field_value", "shared_keys.k k"),
        (TWILIO | {"shared_keys": {str(n): "s" for n in range(11)}}, "invalid_field_value", "shared_keys"),
        (TWILIO | {"region": "us1.example.com"}, "invalid_field_value", "region"),
        (TWILIO | {"edge": "a/b"}, "invalid_field_value", "edge"),
        (TWILIO | {"api_key": "geheim"}, "unknown_field", "api_key"),
        (TWILIO | {"name": ""}, "invalid_field_value", "name"),
        (TWILIO | {"default": "yes"}, "invalid_field_value", "default"),
        (TWILIO | {"livemode": True}, "unknown_field", "livemode"),
        ({"carrier": "telnyx"}, "missing_required_field", "api_key"),
        ({"carrier": "telnyx", "api_key": "geheim"}, "missing_required_field", "public_key"),
        (TELNYX | {"public_key": "geheim"}, "invalid_field_value", "public_key"),
        (TELNYX | {"public_key": base64.b64encode(bytes(31)).decode()}, "invalid_field_value", "public_key"),
        (TELNYX | {"public_key": PUBLIC[:-1] + "\n="}, "invalid_field_value", "public_key"),
        (TELNYX | {"texml_app_id": "../1"}, "invalid_field_value", "texml_app_id"),
        (TELNYX | {"auth_token": "geheim"}, "unknown_field", "auth_token"),
    ],
)
async def test_connections_that_cannot_be(api: Api, body: dict[str, Any], code: str, param: str) -> None:
    response = await api.call("POST", PATH, body)
    assert error(response) == (400, code, param), response.text
    assert "geheim" not in response.text
    assert "7354" not in response.text
    assert (await api.call("GET", PATH)).json()["data"] == []


async def test_no_answer_and_no_log_line_holds_a_secret(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    answers: list[httpx.Response] = []
    for body in (TWILIO, WITH_KEY | {"shared_keys": {"k": "geheim-shared"}}, TELNYX):
        answers.append(await api.call("POST", PATH, body, Idempotency_Key=str(body["carrier"]) + str(len(body))))
        answers.append(await api.call("POST", PATH, body, Idempotency_Key=str(body["carrier"]) + str(len(body))))
        path = f"{PATH}/{answers[-1].json()['id']}"
        answers.append(await api.call("GET", path))
        answers.append(await api.call("PATCH", path, {"name": "n"}))
        answers.append(await api.call("PATCH", path, {"public_key": "geheim", "auth_token": "geheim geheim"}))
        answers.append(await api.call("DELETE", path))
    answers.append(await api.call("GET", PATH))
    assert [answer.status_code for answer in answers].count(201) == 6
    for answer in answers:
        assert "geheim" not in answer.text + str(answer.headers)
    assert "geheim" not in caplog.text


async def test_the_first_of_a_carrier_is_the_default_until_another_is(api: Api) -> None:
    async def defaults() -> list[str]:
        return [one["name"] for one in (await api.call("GET", PATH)).json()["data"] if one["default"]]

    first = await made(api, TWILIO | {"name": "a"})
    second = await made(api, TWILIO | {"name": "b"})
    await made(api, TELNYX | {"name": "t"})
    assert set(await defaults()) == {"a", "t"}
    changed = await api.call("PATCH", f"{PATH}/{second['id']}", {"default": True})
    assert changed.json() == second | {"default": True}
    assert set(await defaults()) == {"b", "t"}
    await made(api, TWILIO | {"name": "c", "default": True})
    assert set(await defaults()) == {"c", "t"}
    await api.call("PATCH", f"{PATH}/{first['id']}", {"active": False, "default": True})
    assert set(await defaults()) == {"a", "t"}
    await api.call("PATCH", f"{PATH}/{first['id']}", {"default": False})
    assert await defaults() == ["t"]
    assert (await made(api, TWILIO | {"default": False}))["default"] is False


async def test_an_auth_token_rotates(api: Api) -> None:
    found = await made(api)
    path = f"{PATH}/{found['id']}"
    changed = (await api.call("PATCH", path, {"auth_token": "geheim-neu"})).json()
    assert changed == found | {"previous_auth_token_set": True}
    assert await secrets(api, found["id"]) == {"auth_token": "geheim-neu", "previous_auth_token": "geheim-token"}
    await api.call("PATCH", path, {"auth_token": "geheim-neu"})
    assert (await secrets(api, found["id"]))["previous_auth_token"] == "geheim-token"
    assert (await api.call("PATCH", path, {"previous_auth_token": None})).json() == found
    assert await secrets(api, found["id"]) == {"auth_token": "geheim-neu"}


async def test_what_can_be_changed(api: Api) -> None:
    found = await made(api, TWILIO | {"shared_keys": {"a": "geheim-a", "b": "geheim-b"}})
    path = f"{PATH}/{found['id']}"
    body = {
        "name": "Neu",
        "active": False,
        "shared_keys": {"a": None, "c": "geheim-c"},
        "api_key_sid": KEY,
        "api_key_secret": "geheim-key",
        "auth_token": None,
        "region": "au1",
    }
    changed = (await api.call("PATCH", path, body)).json()
    assert changed == found | {
        "name": "Neu",
        "active": False,
        "shared_keys": ["b", "c"],
        "api_key_sid": KEY,
        "api_key_secret_set": True,
        "auth_token_set": False,
        "region": "au1",
    }
    assert await secrets(api, found["id"]) == {
        "shared_keys": {"b": "geheim-b", "c": "geheim-c"},
        "api_key_secret": "geheim-key",
    }
    assert error(await api.call("PATCH", path, {"shared_keys": None})) == (400, "missing_required_field", "auth_token")
    many = {"shared_keys": {str(n): "s" for n in range(9)}}
    assert error(await api.call("PATCH", path, many)) == (400, "invalid_field_value", "shared_keys")
    assert (await api.call("GET", path)).json() == changed
    assert (await api.call("PATCH", path, {"shared_keys": None, "require_signature": False})).status_code == 200
    telnyx = await made(api, TELNYX)
    path = f"{PATH}/{telnyx['id']}"
    changed = (await api.call("PATCH", path, {"call_control_app_id": None, "texml_app_id": "2"})).json()
    assert changed == telnyx | {"call_control_app_id": None, "texml_app_id": "2"}
    assert (await api.call("PATCH", path, {"api_key": "geheim-2"})).json() == changed
    assert await secrets(api, telnyx["id"]) == {"api_key": "geheim-2"}


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"auth_token": None}, "missing_required_field", "auth_token"),
        ({"previous_auth_token": "geheim"}, "invalid_field_value", "previous_auth_token"),
        ({"api_key_sid": KEY}, "missing_required_field", "api_key_secret"),
        ({"account_sid": ACCOUNT}, "unknown_field", "account_sid"),
        ({"carrier": "twilio"}, "unknown_field", "carrier"),
        ({"api_key": "geheim"}, "unknown_field", "api_key"),
        ({"name": None}, "invalid_field_value", "name"),
        ({"active": None}, "invalid_field_value", "active"),
        ({"default": 1}, "invalid_field_value", "default"),
    ],
)
async def test_changes_that_cannot_be(api: Api, body: dict[str, Any], code: str, param: str) -> None:
    found = await made(api)
    response = await api.call("PATCH", f"{PATH}/{found['id']}", body)
    assert error(response) == (400, code, param), response.text
    assert "geheim" not in response.text
    assert (await api.call("GET", f"{PATH}/{found['id']}")).json() == found


async def test_a_connection_in_use_is_not_deleted(api: Api) -> None:
    found = await made(api)
    path = f"{PATH}/{found['id']}"
    number = {"number": "+14155551234", "connection_id": found["id"]}
    used = (await api.call("POST", "/v1/phone_numbers", number)).json()["id"]
    assert error(await api.call("DELETE", path)) == (400, "invalid_request", None)
    await api.call("PATCH", f"/v1/phone_numbers/{used}", {"active": False})
    gone = await api.call("DELETE", path)
    assert (gone.status_code, gone.json()) == (200, {"id": found["id"], "object": "connection", "deleted": True})
    assert error(await api.call("GET", path)) == (404, "connection_not_found", None)
    assert (await api.call("GET", f"/v1/phone_numbers/{used}")).json()["connection_id"] is None


async def test_pages(api: Api) -> None:
    ids: list[str] = []
    for _ in range(3):
        api.clock.advance(1)
        ids.insert(0, (await made(api))["id"])
    ids.sort(reverse=True)
    page = (await api.call("GET", f"{PATH}?limit=2")).json()
    assert ([one["id"] for one in page["data"]], page["has_more"], page["url"]) == (ids[:2], True, PATH)
    page = (await api.call("GET", f"{PATH}?starting_after={ids[1]}")).json()
    assert ([one["id"] for one in page["data"]], page["has_more"]) == (ids[2:], False)


async def test_others_and_the_other_mode_reach_nothing(api: Api) -> None:
    test_key, stranger = await api.key(livemode=False), await api.tenant()
    ours, trial = await made(api), await made(api, key=test_key)
    assert (ours["livemode"], trial["livemode"], trial["default"]) == (True, False, True)
    for found, keys in ((ours, (stranger, test_key)), (trial, (stranger, api.secret))):
        path = f"{PATH}/{found['id']}"
        for key in keys:
            for method, body in (("GET", None), ("PATCH", {"name": "mine", "default": True}), ("DELETE", None)):
                response = await api.call(method, path, body, key=key)
                assert error(response) == (404, "connection_not_found", None), (method, response.text)
            assert found["id"] not in [one["id"] for one in (await api.call("GET", PATH, key=key)).json()["data"]]
            for cursor in ("starting_after", "ending_before"):
                refused = await api.call("GET", f"{PATH}?{cursor}={found['id']}", key=key)
                assert error(refused) == (400, "invalid_field_value", cursor)
    assert (await api.call("GET", f"{PATH}/{ours['id']}")).json() == ours
    assert (await api.call("GET", f"{PATH}/{trial['id']}", key=test_key)).json() == trial


@pytest.mark.parametrize("wrong", ["pcon_", "x" * 65, "pcon_%00", "pcon_1%0A", "%F0%9F%98%80", "..%2f..", "' OR 1=1"])
async def test_ids_that_are_none(api: Api, wrong: str) -> None:
    for method, body in (("GET", None), ("PATCH", {"name": "n"}), ("DELETE", None)):
        assert (await api.call(method, f"{PATH}/{wrong}", body)).status_code == 404


async def test_the_scope(api: Api) -> None:
    reader = await api.key(scopes=("sessions:read", "admin"))
    for method, path in (("POST", PATH), ("GET", PATH), ("GET", f"{PATH}/pcon_1")):
        response = await api.call(method, path, TWILIO, key=reader)
        assert error(response) == (403, "insufficient_permissions", None)
        assert "telephony:manage" in response.text
