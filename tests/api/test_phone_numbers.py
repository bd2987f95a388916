"""Phone numbers over REST, and what calls to them are to do."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.api.conftest import Api

from kallglot.api.models import CreateSession

PATH = "/v1/phone_numbers"
NUMBER = "+14155551234"
ACCOUNT = "AC" + "0" * 32
PAIR = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en"}


async def connection(api: Api, *, key: str | None = None, **changes: Any) -> str:
    body = {"carrier": "twilio", "account_sid": ACCOUNT, "auth_token": "geheim"} | changes
    return (await api.call("POST", "/v1/connections", body, key=key)).json()["id"]


async def made(api: Api, connection_id: str, *, key: str | None = None, **fields: Any) -> dict[str, Any]:
    response = await api.call("POST", PATH, {"number": NUMBER, "connection_id": connection_id} | fields, key=key)
    assert response.status_code == 201, response.text
    return response.json()


def error(response: httpx.Response) -> tuple[int, str, str | None]:
    found = response.json()["error"]
    return response.status_code, found["code"], found["param"]


async def test_a_number(api: Api) -> None:
    through = await connection(api)
    found = await made(api, through, label="Empfang", policy=PAIR)
    assert found == {
        "id": found["id"],
        "object": "phone_number",
        "number": NUMBER,
        "carrier": "twilio",
        "connection_id": through,
        "label": "Empfang",
        "policy": PAIR,
        "active": True,
        "livemode": True,
        "created_at": "2026-03-26T11:00:00Z",
    }
    assert found["id"].startswith("pn_")
    path = f"{PATH}/{found['id']}"
    assert (await api.call("GET", path)).json() == found
    assert (await api.call("GET", PATH)).json()["data"] == [found]
    session = await api.create(routing={"phone_number": NUMBER})
    assert (session["provider"], session["phone_number"]) == ("twilio", NUMBER)
    gone = await api.call("DELETE", path)
    assert (gone.status_code, gone.json()) == (200, {"id": found["id"], "object": "phone_number", "deleted": True})
    assert error(await api.call("GET", path)) == (404, "phone_number_not_found", None)
    assert (await made(api, through))["policy"] is None


async def test_changes(api: Api) -> None:
    found = await made(api, await connection(api), label="a", policy=PAIR)
    path = f"{PATH}/{found['id']}"
    asked = {"policy": {"webhook_url": "https://example.com/calls"}}
    assert (await api.call("PATCH", path, asked)).json() == found | asked
    telnyx = {"carrier": "telnyx", "api_key": "k", "require_signature": False}
    other = (await api.call("POST", "/v1/connections", telnyx)).json()["id"]
    body = {"connection_id": other, "label": None, "policy": None, "active": False}
    assert (await api.call("PATCH", path, body)).json() == found | body | {"carrier": "telnyx"}
    refused = await api.call("POST", "/v1/sessions", PAIR | {"routing": {"phone_number": NUMBER}})
    assert error(refused) == (400, "routing_unavailable", "routing.phone_number")
    assert (await api.call("PATCH", path, {"active": True})).json() == found | body | {
        "carrier": "telnyx",
        "active": True,
    }


EVERYTHING = PAIR | {
    "participants": [{"role": "customer", "name": "Erika"}, {"role": "agent", "language": "en-US"}],
    "voice": {"de": {"speed": 1.2}},
    "recording": {"enabled": True, "channels": "mono"},
    "transcription": {"terms": ["Kallglot"]},
    "translation": {"glossary": [{"source": "a", "target": "b"}], "original_audio": "duck"},
    "engines": {"recognition": {"de": ["scripted", "local"]}},
    "metadata": {"queue": "sales"},
}


async def test_a_policy_is_kept_as_a_session_takes_it(api: Api) -> None:
    found = await made(api, await connection(api), policy=EVERYTHING)
    assert found["policy"] == EVERYTHING | {"voice": {"de": {"speed": 1.2}}}
    async with api.store.read() as unit:
        kept = await unit.phone_numbers.by_number(NUMBER, True)
    assert kept is not None
    assert (
        CreateSession.model_validate(kept.policy).participants == CreateSession.model_validate(EVERYTHING).participants
    )


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"number": None}, "invalid_field_value", "number"),
        ({"number": "4155551234"}, "invalid_phone_number", "number"),
        ({"number": "+1415555123٤"}, "invalid_phone_number", "number"),
        ({"connection_id": "1"}, "invalid_field_value", "connection_id"),
        ({"connection_id": None}, "invalid_field_value", "connection_id"),
        ({"label": ""}, "invalid_field_value", "label"),
        ({"label": "n" * 201}, "invalid_field_value", "label"),
        ({"carrier": "twilio"}, "unknown_field", "carrier"),
        ({"policy": {}}, "invalid_field_value", "policy"),
        ({"policy": []}, "invalid_field_value", "policy"),
        ({"policy": PAIR | {"mode": "duet"}}, "invalid_mode", "policy.mode"),
        ({"policy": {"source_language": "de"}}, "invalid_field_value", "policy"),
        ({"policy": PAIR | {"source_language": "german"}}, "invalid_language_code", "policy.source_language"),
        ({"policy": PAIR | {"target_language": "fr"}}, "unsupported_language_pair", "policy.target_language"),
        ({"policy": PAIR | {"recording": {"enabled": "yes"}}}, "invalid_field_value", "policy.recording.enabled"),
        ({"policy": PAIR | {"metadata": {"k": 1}}}, "invalid_field_value", "policy.metadata.k"),
        ({"policy": PAIR | {"participants": [{"role": "boss"}]}}, "invalid_field_value", "policy.participants.0.role"),
        ({"policy": PAIR | {"webhook_url": "https://example.com/c"}}, "conflicting_fields", "policy"),
        ({"policy": {"webhook_url": "http://example.com/c"}}, "invalid_field_value", "policy.webhook_url"),
        ({"policy": PAIR | {"routing": {"type": "sip"}}}, "unknown_field", "policy.routing"),
        (
            {"policy": PAIR | {"engines": {"recognition": {"de": ["local", "deepgram"]}}}},
            "invalid_field_value",
            "policy.engines.recognition.de.1",
        ),
        (
            {"policy": PAIR | {"engines": {"synthesis": {"de": []}}}},
            "invalid_field_value",
            "policy.engines.synthesis.de",
        ),
        ({"policy": PAIR | {"engines": {"analysis": {}}}}, "unknown_field", "policy.engines.analysis"),
    ],
)
async def test_numbers_that_cannot_be(api: Api, change: dict[str, Any], code: str, param: str) -> None:
    through = await connection(api)
    body = {"number": NUMBER, "connection_id": through}
    response = await api.call("POST", PATH, body | change)
    assert error(response) == (400, code, param), response.text
    assert (await api.call("GET", PATH)).json()["data"] == []
    if "policy" in change or "label" in change:
        found = await made(api, through)
        response = await api.call("PATCH", f"{PATH}/{found['id']}", change)
        assert error(response) == (400, code, param), response.text
        assert (await api.call("GET", f"{PATH}/{found['id']}")).json() == found


@pytest.mark.parametrize(
    "body",
    [{"active": None}, {"connection_id": None}, {"number": "+14155550000"}, {"active": "no"}, {"livemode": True}],
)
async def test_changes_that_cannot_be(api: Api, body: dict[str, Any]) -> None:
    found = await made(api, await connection(api))
    response = await api.call("PATCH", f"{PATH}/{found['id']}", body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, next(iter(body)))
    assert (await api.call("GET", f"{PATH}/{found['id']}")).json() == found


async def test_a_webhook_may_come_with_fields_that_are_null(api: Api) -> None:
    policy = {"mode": None, "source_language": None, "webhook_url": "https://example.com/calls"}
    assert (await made(api, await connection(api), policy=policy))["policy"] == policy


async def test_a_policy_goes_with_the_engines_of_the_organization(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    through = await connection(api)
    chosen: list[Any] = []
    monkeypatch.setattr(api.registry, "missing_for", lambda *given: chosen.append(given[2]))
    of_organization = {"recognition": {"de": ["scripted"]}}
    await api.call("PATCH", "/v1/organization", {"engines": of_organization})
    await made(api, through, policy=PAIR | {"engines": {"translation": {"*": ["local"]}}})
    assert chosen == [{**of_organization, "translation": {"*": ["local"]}}]


async def test_a_number_belongs_to_one_organization(api: Api) -> None:
    stranger = await api.tenant()
    await made(api, await connection(api))
    for key in (None, stranger):
        body = {"number": NUMBER, "connection_id": await connection(api, key=key)}
        response = await api.call("POST", PATH, body, key=key)
        assert error(response) == (400, "invalid_field_value", "number")
        assert response.json()["error"]["message"] == f"number: {NUMBER} is in use."


async def test_test_mode_has_numbers_of_its_own(api: Api) -> None:
    test_key = await api.key(livemode=False)
    live = await made(api, await connection(api))
    trial = await made(api, await connection(api, key=test_key), key=test_key)
    assert (live["livemode"], trial["livemode"]) == (True, False)
    assert [one["id"] for one in (await api.call("GET", PATH, key=test_key)).json()["data"]] == [trial["id"]]
    assert [one["id"] for one in (await api.call("GET", PATH)).json()["data"]] == [live["id"]]


async def test_only_through_ones_own_connection(api: Api) -> None:
    test_key, stranger = await api.key(livemode=False), await api.tenant()
    ours = await connection(api)
    found = await made(api, ours)
    for key in (stranger, test_key):
        body = {"number": "+14155550000", "connection_id": ours}
        assert error(await api.call("POST", PATH, body, key=key)) == (404, "connection_not_found", "connection_id")
    theirs = await connection(api, key=stranger)
    response = await api.call("PATCH", f"{PATH}/{found['id']}", {"connection_id": theirs})
    assert error(response) == (404, "connection_not_found", "connection_id")


async def test_others_and_the_other_mode_reach_nothing(api: Api) -> None:
    test_key, stranger = await api.key(livemode=False), await api.tenant()
    ours = await made(api, await connection(api))
    trial = await made(api, await connection(api, key=test_key), key=test_key)
    for found, keys in ((ours, (stranger, test_key)), (trial, (stranger, api.secret))):
        path = f"{PATH}/{found['id']}"
        for key in keys:
            for method, body in (("GET", None), ("PATCH", {"label": "mine"}), ("DELETE", None)):
                assert error(await api.call(method, path, body, key=key)) == (404, "phone_number_not_found", None)
            for cursor in ("starting_after", "ending_before"):
                refused = await api.call("GET", f"{PATH}?{cursor}={found['id']}", key=key)
                assert error(refused) == (400, "invalid_field_value", cursor)
    assert (await api.call("GET", f"{PATH}/{ours['id']}")).json() == ours


@pytest.mark.parametrize("wrong", ["pn_", "x" * 65, "pn_%00", "%F0%9F%98%80", "' OR 1=1"])
async def test_ids_that_are_none(api: Api, wrong: str) -> None:
    for method, body in (("GET", None), ("PATCH", {"label": "n"}), ("DELETE", None)):
        assert (await api.call(method, f"{PATH}/{wrong}", body)).status_code == 404


async def test_a_repeated_request_makes_one_number(api: Api) -> None:
    body = {"number": NUMBER, "connection_id": await connection(api)}
    first, second = [await api.call("POST", PATH, body, Idempotency_Key="k") for _ in range(2)]
    assert (first.status_code, second.status_code, second.json()) == (201, 201, first.json())
    assert second.headers["idempotent-replayed"] == "true"
