from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest
from tests.api.conftest import Api

from kallglot.accounts.model import SCOPES
from kallglot.api.keyuse import MAX_KEYS, KeyUses
from kallglot.clock import FakeClock

OBJECT = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en"}

TWILIO = {"carrier": "twilio", "account_sid": "AC" + "0" * 32, "auth_token": "t"}
NUMBER = {"number": "+14155551234", "connection_id": "pcon_"}

ROUTES: list[tuple[str, str, str, Any]] = [
    ("POST", "/v1/sessions", "sessions:write", OBJECT),
    ("GET", "/v1/sessions", "sessions:read", None),
    ("GET", "/v1/sessions/{session_id}", "sessions:read", None),
    ("PATCH", "/v1/sessions/{session_id}", "sessions:write", {"metadata": {}}),
    ("POST", "/v1/sessions/{session_id}/end", "sessions:write", None),
    ("GET", "/v1/sessions/{session_id}/recordings", "recordings:read", None),
    ("GET", "/v1/recordings/{recording_id}", "recordings:read", None),
    ("GET", "/v1/recordings/{recording_id}/audio", "recordings:read", None),
    ("GET", "/v1/recordings/{recording_id}/download", "recordings:read", None),
    ("DELETE", "/v1/recordings/{recording_id}", "recordings:delete", None),
    ("GET", "/v1/sessions/{session_id}/transcript", "sessions:read", None),
    ("GET", "/v1/sessions/{session_id}/timings", "sessions:read", None),
    ("GET", "/v1/languages", "sessions:read", None),
    ("GET", "/v1/events", "sessions:read", None),
    ("POST", "/v1/sessions/{session_id}/dial", "sessions:write", {"to": "+4930901820", "from": "+14155550000"}),
    ("GET", "/v1/sessions/{session_id}/calls", "sessions:read", None),
    ("GET", "/v1/calls/{call_id}", "sessions:read", None),
    *(
        ("POST", f"/v1/calls/{{call_id}}/{action}", "sessions:write", body)
        for action, body in {
            "hold": None,
            "unhold": None,
            "mute": None,
            "unmute": None,
            "dtmf": {"digits": "1"},
            "transfer": {"to": "+4930901821"},
            "hangup": None,
        }.items()
    ),
    ("POST", "/v1/connections", "telephony:manage", TWILIO),
    ("GET", "/v1/connections", "telephony:manage", None),
    ("GET", "/v1/connections/{connection_id}", "telephony:manage", None),
    ("PATCH", "/v1/connections/{connection_id}", "telephony:manage", {"name": "n"}),
    ("DELETE", "/v1/connections/{connection_id}", "telephony:manage", None),
    ("POST", "/v1/phone_numbers", "telephony:manage", NUMBER),
    ("GET", "/v1/phone_numbers", "telephony:manage", None),
    ("GET", "/v1/phone_numbers/{number_id}", "telephony:manage", None),
    ("PATCH", "/v1/phone_numbers/{number_id}", "telephony:manage", {"label": "n"}),
    ("DELETE", "/v1/phone_numbers/{number_id}", "telephony:manage", None),
    ("GET", "/v1/organization", "admin", None),
    ("POST", "/v1/api_keys", "admin", {"name": "n"}),
    ("GET", "/v1/api_keys", "admin", None),
    ("GET", "/v1/api_keys/{key_id}", "admin", None),
    ("DELETE", "/v1/api_keys/{key_id}", "admin", None),
]


async def test_every_route_wants_its_own_scope_and_no_other(api: Api) -> None:
    document = (await api.client.get("/openapi.json")).json()
    secured = {
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if "security" in operation
    }
    assert secured == {(method, path) for method, path, _, _ in ROUTES}
    session_id, recording_id = await api.recorded()
    talking = (await api.create())["id"]
    spare = (await api.call("POST", "/v1/api_keys", {"name": "spare"})).json()["id"]
    used, unused = [(await api.call("POST", "/v1/connections", TWILIO)).json()["id"] for _ in range(2)]
    number = NUMBER | {"number": "+14155550000", "connection_id": used}
    number_id = (await api.call("POST", "/v1/phone_numbers", number)).json()["id"]
    dialled = await api.call("POST", f"/v1/sessions/{talking}/dial", {"to": "+4930901820", "from": number["number"]})
    ids = {"recording_id": recording_id, "key_id": spare, "call_id": dialled.json()["id"]}
    for method, template, scope, body in ROUTES:
        session = talking if "dial" in template or "calls" in template else session_id
        path = template.format(**ids, session_id=session, connection_id=unused, number_id=number_id)
        body = body if body is not NUMBER else NUMBER | {"connection_id": used}
        without = await api.key(scopes=tuple(other for other in SCOPES if other != scope))
        refused = await api.call(method, path, body, key=without)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "insufficient_permissions"), path
        assert scope in refused.json()["error"]["message"]
        only = await api.key(scopes=(scope,))
        allowed = await api.call(method, path, body, key=only)
        inactive = allowed.status_code == 409 and allowed.json()["error"]["code"] == "call_not_active"
        assert inactive or allowed.status_code in (200, 201, 202, 302), path
        nobody = await api.client.request(method, path)
        assert (nobody.status_code, nobody.json()["error"]["code"]) == (401, "missing_api_key"), path


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "missing_api_key"),
        ({"Authorization": "Bearer "}, "missing_api_key"),
        ({"Authorization": "Basic dXNlcjpwYXNz"}, "missing_api_key"),
        ({"Authorization": "Bearer sk_live_nobody"}, "invalid_api_key"),
        ({"Authorization": b"Bearer \xff\xfe"}, "invalid_api_key"),
        ({"X-API-Key": "sk_test_nobody"}, "invalid_api_key"),
    ],
)
async def test_who_does_not_say_who_he_is(api: Api, headers: dict[str, Any], code: str) -> None:
    response = await api.client.get("/v1/sessions", headers=headers)
    error = response.json()["error"]
    assert (response.status_code, error["type"], error["code"]) == (401, "authentication_error", code)
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["x-request-id"] == error["request_id"]
    assert "x-api-credits-remaining" not in response.headers


async def test_a_key_in_either_header(api: Api) -> None:
    assert (await api.client.get("/v1/sessions", headers={"X-API-Key": api.secret})).status_code == 200
    lower = await api.client.get("/v1/sessions", headers={"Authorization": f"bearer {api.secret}"})
    assert lower.status_code == 200


async def test_a_key_ends(api: Api) -> None:
    now = api.clock.now()
    revoked = await api.key(revoked_at=now)
    response = await api.call("GET", "/v1/sessions", key=revoked)
    assert (response.status_code, response.json()["error"]["code"]) == (401, "revoked_api_key")
    expiring = await api.key(expires_at=now + timedelta(seconds=60))
    assert (await api.call("GET", "/v1/sessions", key=expiring)).status_code == 200
    api.clock.advance(60)
    response = await api.call("GET", "/v1/sessions", key=expiring)
    assert (response.status_code, response.json()["error"]["code"]) == (401, "expired_api_key")


async def test_an_inactive_organization_reads_but_creates_nothing(api: Api) -> None:
    key = await api.tenant(status="inactive", credits=0)
    assert (await api.call("GET", "/v1/sessions", key=key)).status_code == 200
    refused = await api.call("POST", "/v1/sessions", OBJECT, key=key)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "organization_inactive")


async def test_a_suspended_organization_does_nothing(api: Api) -> None:
    key = await api.tenant(status="suspended")
    for method, path in (("GET", "/v1/sessions"), ("GET", "/v1/organization"), ("POST", "/v1/sessions")):
        refused = await api.call(method, path, OBJECT if method == "POST" else None, key=key)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "organization_suspended")


async def test_last_use_is_written_once_a_minute(api: Api) -> None:
    async def last_used() -> str:
        keys = (await api.call("GET", "/v1/api_keys")).json()["data"]
        return keys[0]["last_used_at"]

    assert await last_used() == "2026-03-26T11:00:00Z"
    api.clock.advance(59)
    assert await last_used() == "2026-03-26T11:00:00Z"
    api.clock.advance(1)
    assert await last_used() == "2026-03-26T11:01:00Z"


def test_only_one_of_many_at_once_writes_the_use() -> None:
    uses, now = KeyUses(), FakeClock().now()
    assert [uses.due("key_1", None, now) for _ in range(3)] == [True, False, False]
    assert not uses.due("key_2", now - timedelta(seconds=59), now)
    assert uses.due("key_1", None, now + timedelta(minutes=1))
    for n in range(MAX_KEYS):
        uses.due(f"other_{n}", None, now)
    assert uses.due("key_1", None, now + timedelta(minutes=1)), "forgotten, so that memory stays bounded"


async def test_errors_as_problems_for_those_who_prefer_them(api: Api) -> None:
    for accept, kind in (
        ("application/problem+json", "application/problem+json"),
        ("application/problem+json, application/json;q=0.9", "application/problem+json"),
        ("application/json, application/problem+json;q=0.5", "application/json"),
        ("application/problem+json;q=x", "application/json"),
        ("*/*", "application/json"),
    ):
        response = await api.call("GET", "/v1/sessions/sess_none", Accept=accept)
        assert (response.status_code, response.headers["content-type"]) == (404, kind), accept
    problem = (await api.call("GET", "/v1/sessions/sess_none", Accept="application/problem+json")).json()
    assert (problem["status"], problem["code"]) == (404, "session_not_found")
    assert problem["type"] == "https://developer.kallglot.com/errors#session_not_found"
    method = await api.call("PUT", "/v1/sessions", Accept="application/problem+json")
    assert (method.status_code, method.json()["status"]) == (405, 405)


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/session", "/v1/sessions/", "/v1/calls", "/v1/sessions/a/dials"])
async def test_unknown_addresses(api: Api, path: str) -> None:
    response = await api.call("POST" if path.endswith("dial") else "GET", path)
    error = response.json()["error"]
    assert (response.status_code, error["type"], error["code"]) == (404, "not_found_error", "resource_not_found")
    assert response.headers["x-request-id"] == error["request_id"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/sessions", "GET, POST"),
        ("DELETE", "/v1/sessions/sess_1", "GET, PATCH"),
        ("GET", "/v1/sessions/sess_1/end", "POST"),
        ("PATCH", "/v1/api_keys/key_1", "DELETE, GET"),
    ],
)
async def test_other_methods_are_told_which_there_are(api: Api, method: str, path: str, allowed: str) -> None:
    response = await api.call(method, path)
    assert (response.status_code, response.headers["allow"]) == (405, allowed)
    assert response.json()["error"]["code"] == "resource_not_found"


async def test_what_nobody_foresaw_tells_the_log_and_not_the_client(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> str:
        raise RuntimeError("the secret inside")

    monkeypatch.setattr(api.registry, "missing_for", broken)
    with caplog.at_level(logging.ERROR):
        response = await api.call("POST", "/v1/sessions", OBJECT)
    error = response.json()["error"]
    assert (response.status_code, error["type"], error["code"]) == (500, "api_error", "internal_error")
    assert "secret" not in response.text
    assert error["request_id"] == response.headers["x-request-id"]
    assert any(error["request_id"] in record.getMessage() for record in caplog.records)
    assert (await api.organization()).credits_used == 0


async def test_health_and_readiness_need_no_key(api: Api) -> None:
    assert (await api.client.get("/healthz")).json() == {"status": "ok"}
    assert (await api.client.get("/readyz")).json() == {"status": "ready", "problems": []}
    api.problems.append("the database does not answer")
    response = await api.client.get("/readyz")
    assert (response.status_code, response.json()["problems"]) == (503, ["the database does not answer"])
