from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest
from fastapi.routing import APIRoute
from tests.api.conftest import Api
from tests.api.makers import Tenant, ask
from tests.api.operations import operations

from kallglot.accounts.model import SCOPES
from kallglot.api.auth import Requirement
from kallglot.api.keyuse import MAX_KEYS, KeyUses
from kallglot.api.server import ROUTERS
from kallglot.clock import FakeClock

OBJECT = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en"}

NOT_DOCUMENTED = ("/v1/carriers/", "/v1/payments/")
"""Where others than customers tell us something, and sign it."""
MEANWHILE = {"session_already_ended", "call_not_active", "recording_not_ready", "transcript_not_ready", "unprocessable"}
"""What objects just made may be refused with; not the caller."""


async def test_every_operation_wants_its_own_scopes_and_no_other(api: Api) -> None:
    document = (await api.client.get("/openapi.json")).json()
    found = operations(document)
    secured = [operation for operation in found if operation.scopes]
    assert {operation.path for operation in found if not operation.scopes} == {"/healthz", "/readyz"}
    assert {scope for operation in secured for scope in (*operation.scopes, *operation.sometimes)} <= set(SCOPES)
    owner, done = Tenant(api, api.secret, "k"), 0
    for operation in secured:
        for scope in operation.scopes:
            others = tuple(other for other in SCOPES if other != scope)
            refused = await ask(operation, owner, {}, key=await api.key(scopes=others))
            what = f"{operation} without {scope}: {refused.status_code} {refused.text[:300]}"
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "insufficient_permissions"), what
            assert scope in refused.json()["error"]["message"], what
        nobody = await api.client.request(operation.method, operation.path)
        assert (nobody.status_code, nobody.json()["error"]["code"]) == (401, "missing_api_key"), str(operation)
        ids = {} if operation.method == "GET" else {one: await owner.fresh(one.name) for one in operation.in_path}
        allowed = await ask(operation, owner, ids, key=await api.key(scopes=operation.scopes))
        what = f"{operation} with {operation.scopes} alone: {allowed.status_code} {allowed.text[:300]}"
        assert str(allowed.status_code) in operation.responses, what
        if allowed.status_code >= 400:
            assert allowed.json()["error"]["code"] in MEANWHILE, what
        done += allowed.status_code < 400
    assert done >= len(secured) * 0.8, "most examples of the document can be done as they stand"


def test_what_is_not_documented_is_not_for_customers() -> None:
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            if not route.include_in_schema and route.methods != {"HEAD"}:
                assert route.path.startswith(NOT_DOCUMENTED), route.path
                assert not any(isinstance(one.call, Requirement) for one in route.dependant.dependencies), route.path


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
        ("PUT", "/v1/sessions/sess_1", "DELETE, GET, PATCH"),
        ("GET", "/v1/sessions/sess_1/end", "POST"),
        ("PUT", "/v1/api_keys/key_1", "DELETE, GET, PATCH"),
    ],
)
async def test_other_methods_are_told_which_there_are(api: Api, method: str, path: str, allowed: str) -> None:
    response = await api.call(method, path)
    assert (response.status_code, response.headers["allow"]) == (405, allowed)
    error = response.json()["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_request")
    assert allowed in error["message"]


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
    assert (await api.client.get("/readyz")).json() == {"status": "ready", "problems": [], "warnings": []}
    api.problems.append("the database does not answer")
    response = await api.client.get("/readyz")
    assert (response.status_code, response.json()["problems"]) == (503, ["the database does not answer"])
