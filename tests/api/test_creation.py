"""What creating a session makes of participants, languages, routing and the values at the edge of what is allowed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import pytest
from tests.api.conftest import Api

from kallglot.api.server import create_api

OBJECT = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en"}


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"source_language": "en-US\n"}, "invalid_language_code", "source_language"),
        ({"source_language": "d"}, "invalid_language_code", "source_language"),
        ({"source_language": "de_DE"}, "invalid_language_code", "source_language"),
        ({"source_language": ""}, "invalid_language_code", "source_language"),
        ({"source_language": "a" * 41}, "invalid_field_value", "source_language"),
        ({"participants": [{"role": "agent", "language": "english"}]}, "invalid_language_code", None),
        ({"participants": [{"role": "agent", "type": "agent"}]}, "unknown_field", "participants.0.type"),
        ({"participants": [{"role": "agent"}] * 17}, "invalid_field_value", "participants"),
        ({"participants": [{"role": "agent", "name": "n" * 201}]}, "invalid_field_value", "participants.0.name"),
        ({"routing": {"phone_number": "+14155551234\n"}}, "invalid_phone_number", "routing.phone_number"),
        ({"routing": {"phone_number": "+1415555123٤"}}, "invalid_phone_number", "routing.phone_number"),
        ({"routing": {"phone_number": "+0155551234"}}, "invalid_phone_number", "routing.phone_number"),
        ({"routing": {}}, "routing_unavailable", "routing"),
        ({"routing": {"connection_id": "1"}}, "invalid_field_value", "routing.connection_id"),
        (
            {"routing": {"type": "sip", "sip": {"uri": "sip:a@b\r\nX-Evil: 1"}}},
            "invalid_field_value",
            "routing.sip.uri",
        ),
        ({"routing": {"type": "sip", "sip": {"from_uri": "tel:1"}}}, "invalid_field_value", "routing.sip.from_uri"),
        ({"routing": {"type": "sip", "sip": {"headers": {"Via": "x"}}}}, "invalid_field_value", None),
        ({"routing": {"type": "sip", "sip": {"headers": {"X-A": "a\r\nb"}}}}, "invalid_field_value", None),
        ({"routing": {"sip": {"from_uri": "sip:a@b"}}}, "conflicting_fields", "routing"),
        ({"routing": {"type": "sip", "audio": {"channels": 2}}}, "invalid_field_value", "routing.audio.channels"),
        ({"routing": []}, "invalid_field_value", "routing"),
        ({"webhook_url": "https://"}, "invalid_field_value", "webhook_url"),
        ({"webhook_url": "https://a b.com"}, "invalid_field_value", "webhook_url"),
        ({"webhook_url": "https://exam\nple.com"}, "invalid_field_value", "webhook_url"),
        ({"webhook_url": "https://example.com:99999"}, "invalid_field_value", "webhook_url"),
        ({"webhook_url": "https://example.com/" + "a" * 2048}, "invalid_field_value", "webhook_url"),
        ({"voice": {"german": {"speed": 1}}}, "invalid_language_code", "voice"),
        ({"voice": {"de": {"pitch": 1}}}, "unknown_field", "voice.de.pitch"),
        ({"voice": {"en": {}, "de": {"speed": 3}}}, "invalid_field_value", "voice.de.speed"),
        ({"voice": {"de": 5}}, "invalid_field_value", "voice.de"),
        ({"voice": {f"a{chr(97 + n % 26)}-{n}{n}": {} for n in range(41)}}, "invalid_field_value", "voice"),
        ({"transcription": {"terms": ["t" * 101]}}, "invalid_field_value", "transcription.terms.0"),
        ({"transcription": {"terms": ["t"] * 501}}, "invalid_field_value", "transcription.terms"),
        ({"translation": {"glossary": [{"source": "a"}]}}, "missing_required_field", "translation.glossary.0.target"),
        ({"translation": {"original_audio": "loud"}}, "invalid_field_value", "translation.original_audio"),
        ({"recording": {"enabled": 10**30}}, "invalid_field_value", "recording.enabled"),
        ({"metadata": {"": "v"}}, "invalid_field_value", "metadata."),
        ({"metadata": {"k": None}}, "invalid_field_value", "metadata.k"),
        ({"metadata": [1]}, "invalid_field_value", "metadata"),
        ({"\x00": 1}, "invalid_field_value", None),
        ({"id": "sess_mine"}, "unknown_field", "id"),
    ],
)
async def test_values_that_are_none(api: Api, change: dict[str, Any], code: str, param: str | None) -> None:
    response = await api.call("POST", "/v1/sessions", OBJECT | change)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, code), error
    assert error["param"] == param or param is None
    assert (await api.organization()).credits_used == 0


async def test_the_message_says_what_was_expected_and_what_came(api: Api) -> None:
    response = await api.call("POST", "/v1/sessions", OBJECT | {"mode": "duet"})
    message = response.json()["error"]["message"]
    assert "'assistive_translation'" in message
    assert message.endswith('got "duet".')
    response = await api.call("POST", "/v1/sessions", OBJECT | {"target_language": "fr"})
    assert "French" in response.json()["error"]["message"]


async def test_a_missing_mode(api: Api) -> None:
    error = (await api.call("POST", "/v1/sessions", {})).json()["error"]
    assert (error["code"], error["param"]) == ("missing_required_field", "mode")


async def test_participants_fill_the_languages_that_are_not_named(api: Api) -> None:
    people = [{"role": "agent", "language": "en"}, {"role": "customer", "language": "de"}]
    made = await api.create(source_language=None, target_language=None, participants=people)
    assert (made["source_language"], made["target_language"]) == ("de", "en")
    assert [one["role"] for one in made["participants"]] == ["agent", "customer"]


async def test_languages_that_are_named_stay_and_serve_who_names_none(api: Api) -> None:
    people = [{"role": "agent"}, {"role": "agent", "language": "es"}]
    made = await api.create(participants=people)
    assert (made["source_language"], made["target_language"]) == ("de", "en")
    assert [one["language"] for one in made["participants"]] == ["en", "es"]


async def test_every_two_languages_have_to_be_served(api: Api) -> None:
    people = [{"role": role, "language": code} for role, code in (("customer", "de"), ("agent", "en"), ("agent", "fr"))]
    refused = await api.call("POST", "/v1/sessions", OBJECT | {"participants": people})
    assert refused.json()["error"]["code"] == "unsupported_language_pair"
    people[2]["language"] = "es"
    assert len((await api.create(participants=people))["participants"]) == 3


@pytest.mark.parametrize("mode", ["assistive_translation", "ai_agent", "help_chat_voice"])
async def test_every_mode_without_more(api: Api, mode: str) -> None:
    assert (await api.create(mode=mode, source_language="en"))["mode"] == mode


@pytest.mark.parametrize("participant", [{"role": "customer", "language": "de"}, {"role": "agent"}])
async def test_somebody_alone(api: Api, participant: dict[str, Any]) -> None:
    made = await api.create(source_language=None, target_language=None, participants=[participant])
    assert len(made["participants"]) == 1


@pytest.mark.parametrize(
    ("routing", "param"),
    [
        ({"type": "sip", "direction": "outbound"}, "routing.direction"),
        ({"type": "sip", "sip": {"uri": "sip:desk@example.com"}}, "routing.sip.uri"),
    ],
)
async def test_nothing_is_dialled_by_sip(api: Api, routing: dict[str, Any], param: str) -> None:
    response = await api.call("POST", "/v1/sessions", OBJECT | {"routing": routing})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (403, "feature_not_available", param)


async def test_a_sip_domain_gives_sip_sessions_an_address(api: Api) -> None:
    app = create_api(replace(api.services, sip_domain="sip.example.com"))
    headers = {"Authorization": f"Bearer {api.secret}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://testserver") as client:
        made = [
            (await client.post("/v1/sessions", json=OBJECT | {"routing": routing}, headers=headers)).json()
            for routing in ({"type": "sip"}, None)
        ]
    assert [one["sip_uri"] for one in made] == [f"sip:{made[0]['id']}@sip.example.com", None]


async def test_pages_of_recordings(api: Api) -> None:
    path = f"/v1/sessions/{(await api.create())['id']}/recordings"
    for query, code, param in (
        ("ending_before=rec_1", "invalid_field_value", "ending_before"),
        ("starting_after=rec_1", "invalid_field_value", "starting_after"),
        ("starting_after=a&ending_before=b", "conflicting_fields", "ending_before"),
        ("limit=0", "invalid_field_value", "limit"),
    ):
        error = (await api.call("GET", f"{path}?{query}")).json()["error"]
        assert (error["code"], error["param"]) == (code, param)


async def test_a_parameter_given_twice_and_one_too_many_filters(api: Api) -> None:
    assert (await api.call("GET", "/v1/sessions?limit=5&limit=7")).status_code == 200
    many = "&".join(f"metadata[k{n}]=v" for n in range(11))
    assert (await api.call("GET", f"/v1/sessions?{many}")).json()["error"]["code"] == "invalid_field_value"
    for moment in ("0.5", "1900000000", "0001-01-01T00:00:00%2B01:00"):
        error = (await api.call("GET", f"/v1/sessions?created_after={moment}")).json()["error"]
        assert (error["code"], error["param"]) == ("invalid_field_value", "created_after")


TWILIO = {"carrier": "twilio", "account_sid": "AC" + "0" * 32, "auth_token": "t"}
TELNYX = {"carrier": "telnyx", "api_key": "k", "require_signature": False}


async def connected(api: Api, body: dict[str, Any] = TWILIO, *, key: str | None = None) -> str:
    response = await api.call("POST", "/v1/connections", body, key=key)
    assert response.status_code == 201, response.text
    return response.json()["id"]


async def refused(api: Api, routing: dict[str, Any], *, key: str | None = None) -> tuple[int, str, str | None]:
    response = await api.call("POST", "/v1/sessions", OBJECT | {"routing": routing}, key=key)
    error = response.json()["error"]
    return response.status_code, error["code"], error["param"]


@pytest.mark.parametrize("direction", [None, "inbound", "outbound"])
async def test_a_connection_routes(api: Api, direction: str | None) -> None:
    await connected(api)
    routing = {"connection_id": await connected(api, TELNYX), **({"direction": direction} if direction else {})}
    made = await api.create(routing=routing)
    assert (made["provider"], made["phone_number"], made["routing"]) == ("telnyx", None, routing)


async def test_only_ones_own_active_connection_routes(api: Api) -> None:
    ours, test_key, stranger = await connected(api), await api.key(livemode=False), await api.tenant()
    missing = (404, "connection_not_found", "routing.connection_id")
    for key in (stranger, test_key):
        assert await refused(api, {"connection_id": ours}, key=key) == missing
    await api.call("PATCH", f"/v1/connections/{ours}", {"active": False})
    assert await refused(api, {"connection_id": ours}) == missing
    trial = await connected(api, key=test_key)
    assert await refused(api, {"connection_id": trial}) == missing
    made = await api.call("POST", "/v1/sessions", OBJECT | {"routing": {"connection_id": trial}}, key=test_key)
    assert (made.status_code, made.json()["provider"]) == (201, "twilio")


@pytest.mark.parametrize("direction", ["inbound", "outbound"])
async def test_a_direction_alone_takes_the_default_connection(api: Api, direction: str) -> None:
    routing = {"direction": direction}
    assert await refused(api, routing) == (400, "routing_unavailable", "routing")
    stranger = await api.tenant()
    await connected(api, key=stranger)
    await connected(api, TWILIO | {"default": False})
    assert await refused(api, routing) == (400, "routing_unavailable", "routing")
    default = await connected(api, TELNYX)
    made = await api.create(routing=routing)
    assert (made["provider"], made["routing"]) == ("telnyx", routing | {"connection_id": default})
    assert (await api.call("GET", f"/v1/sessions/{made['id']}")).json()["routing"] == made["routing"]
    await api.call("PATCH", f"/v1/connections/{default}", {"active": False})
    assert await refused(api, routing) == (400, "routing_unavailable", "routing")
    assert (await api.create())["provider"] is None


async def test_a_number_dials_through_its_connection_or_the_default_of_its_carrier(api: Api) -> None:
    routing = {"phone_number": "+14155551234", "direction": "outbound"}
    assert await refused(api, routing) == (400, "routing_unavailable", "routing.phone_number")
    own = await connected(api, TWILIO | {"default": False})
    number = {"number": "+14155551234", "connection_id": own}
    await api.call("POST", "/v1/phone_numbers", number)
    made = await api.create(routing=routing)
    assert (made["provider"], made["phone_number"], made["routing"]) == ("twilio", "+14155551234", routing)
    await api.call("PATCH", f"/v1/connections/{own}", {"active": False})
    await connected(api, TELNYX)
    assert await refused(api, routing) == (400, "routing_unavailable", "routing.phone_number")
    assert (await api.create(routing={"phone_number": "+14155551234"}))["provider"] == "twilio"
    await connected(api)
    assert (await api.create(routing=routing))["provider"] == "twilio"


async def test_a_test_key_may_route_by_a_live_number(api: Api) -> None:
    await api.call("POST", "/v1/phone_numbers", {"number": "+14155551234", "connection_id": await connected(api)})
    test_key = await api.key(livemode=False)
    body = OBJECT | {"routing": {"phone_number": "+14155551234"}}
    assert (await api.call("POST", "/v1/sessions", body, key=test_key)).status_code == 201
    assert (await api.call("POST", "/v1/sessions", body, key=await api.tenant())).status_code == 400
