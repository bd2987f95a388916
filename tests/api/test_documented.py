"""The REST requests of the public documentation's samples, the older ones among them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.api.conftest import Api

from kallglot.accounts.model import PhoneNumber
from kallglot.session.model import Status, Turn

PAIR = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en"}

SIP = {
    "type": "sip",
    "sip_uri": "sip:agent@your-pbx.com",
    "credentials": {"username": "kallglot", "password": "your-sip-password"},
}

OLDER: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {
            **PAIR,
            "provider": {"type": "twilio", "phone_number": "+14155551234"},
            "recording": {"enabled": True, "channels": "dual"},
            "metadata": {"customer_id": "cust_123", "ticket_id": "ticket_456"},
        },
        {"type": "twilio", "phone_number": "+14155551234"},
    ),
    (
        {
            **PAIR,
            "provider": {"type": "twilio", "call_sid": "CA123"},
            "metadata": {"from": "+4915123456789", "to": "+14155551234"},
        },
        {"type": "twilio", "call_sid": "CA123"},
    ),
    (
        {**PAIR, "provider": {"type": "telnyx", "call_control_id": "v3:abc"}},
        {"type": "telnyx", "call_control_id": "v3:abc"},
    ),
    ({**PAIR, "provider": SIP}, {"type": "sip", "sip_uri": "sip:agent@your-pbx.com"}),
    (
        {**PAIR, "provider": {**SIP, "transport": "tls", "codecs": ["PCMU", "opus"]}},
        {"type": "sip", "sip_uri": "sip:agent@your-pbx.com", "transport": "tls", "codecs": ["PCMU", "opus"]},
    ),
]

TODAY: list[dict[str, Any]] = [
    {"mode": "bidirectional_translation"},
    {"mode": "ai_agent", "source_language": "en", "target_language": "en"},
    {**PAIR, "participants": [{"type": "agent", "language": "en"}, {"type": "customer", "language": "de"}]},
    {**PAIR, "metadata": {"customer_id": "cust_123", "ticket_id": "ticket_456", "agent_id": "agent_789"}},
    {**PAIR, "provider": None},
]


@pytest.mark.parametrize(("body", "provider"), OLDER)
async def test_the_older_form_answers_in_kind(api: Api, body: dict[str, Any], provider: dict[str, Any]) -> None:
    response = await api.call("POST", "/v1/sessions", body, Idempotency_Key="unique-request-12345")
    made = response.json()
    assert response.status_code == 201, response.text
    assert response.headers["deprecation"].startswith("@")
    assert made["provider"] == provider | {"status": "pending"}
    assert (made["object"], made["status"], made["source_language"]) == ("session", "created", "de")
    replayed = await api.call("POST", "/v1/sessions", body, Idempotency_Key="unique-request-12345")
    assert (replayed.content, replayed.headers["deprecation"]) == (response.content, response.headers["deprecation"])
    listed = (await api.call("GET", "/v1/sessions")).json()["data"]
    assert [one["provider"] for one in listed] == [made["provider"]]
    stored = await api.journal.load(made["id"])
    assert stored is not None
    assert (stored.carrier, stored.routing) == (provider["type"], None)
    assert "your-sip-password" not in response.text + str(stored)


@pytest.mark.parametrize("body", TODAY)
async def test_todays_form_has_no_older_answer(api: Api, body: dict[str, Any]) -> None:
    response = await api.call("POST", "/v1/sessions", body)
    assert response.status_code == 201, response.text
    assert response.json()["provider"] is None
    assert "deprecation" not in response.headers


async def test_the_quick_start(api: Api) -> None:
    owner = (await api.organization()).id
    async with api.store.write() as unit:
        await unit.phone_numbers.add(PhoneNumber("pn_1", owner, "+19788006140", "twilio", True, api.clock.now()))
    body = {**PAIR, "routing": {"phone_number": "+19788006140"}, "metadata": {"external_call_id": "call_abc123"}}
    created = await api.call("POST", "/v1/sessions", body, Idempotency_Key="0b8c0a26-5d0f-4b0e-9f3b-3b8d2f9f6d11")
    session = created.json()
    assert (created.status_code, session["provider"], session["call"]) == (201, "twilio", None)
    path = f"/v1/sessions/{session['id']}"
    assert session["stream"]["url"] == f"ws://testserver{path}/connect"
    at = api.clock.now()
    await api.journal.started(session["id"], at)
    text = "Ich möchte meine Bestellung ändern"
    await api.journal.add_turn(Turn("turn_1", session["id"], 1, "part_1", "customer", "de", text, 0, 9, at))
    api.clock.advance(312)
    ended = (await api.call("POST", f"{path}/end", Idempotency_Key="5a0c2b71-9a53-4b6c-8a7b-8f2f8d1f3e22")).json()
    assert (ended["status"], ended["duration_seconds"], ended["ended_at"]) == ("ended", 312, "2026-03-26T11:05:12Z")
    transcript = (await api.call("GET", f"{path}/transcript")).json()
    assert (transcript["status"], transcript["session_id"]) == ("completed", session["id"])
    assert transcript["id"] == "trn_" + session["id"].removeprefix("sess_")
    assert (transcript["turns"][0]["text"], transcript["turns"][0]["translation"]) == (text, None)
    assert transcript["metadata"] == {"total_turns": 1, "duration_seconds": 312.0, "languages_detected": ["de"]}


@pytest.mark.parametrize(
    ("status", "shown"),
    [("created", "pending"), ("connecting", "connected"), ("active", "connected"), ("ended", "disconnected")],
)
async def test_the_older_provider_follows_the_session(api: Api, status: Status, shown: str) -> None:
    made = await api.create(provider={"type": "twilio", "call_sid": "CA123"})
    stored = await api.journal.load(made["id"])
    assert stored is not None
    async with api.store.write() as unit:
        await unit.sessions.add(replace(stored, id="sess_other", status=status))
    found = (await api.call("GET", "/v1/sessions/sess_other")).json()
    assert found["provider"] == {"type": "twilio", "call_sid": "CA123", "status": shown}


@pytest.mark.parametrize(
    ("provider", "code", "param"),
    [
        ({}, "missing_required_field", "provider.type"),
        ({"type": "vonage"}, "invalid_field_value", "provider.type"),
        ({"type": "twilio", "colour": 1}, "unknown_field", "provider.colour"),
        ({"type": "twilio", "phone_number": "555"}, "invalid_phone_number", "provider.phone_number"),
        ({"type": "twilio", "call_control_id": "v3:a"}, "conflicting_fields", "provider"),
        ({"type": "sip", "sip_uri": "http://x"}, "invalid_field_value", "provider.sip_uri"),
        ({"type": "sip", "credentials": {"username": "u"}}, "missing_required_field", "provider.credentials.password"),
        ("twilio", "invalid_field_value", "provider"),
    ],
)
async def test_older_forms_that_are_none(api: Api, provider: Any, code: str, param: str) -> None:
    response = await api.call("POST", "/v1/sessions", {**PAIR, "provider": provider})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, code, param)
