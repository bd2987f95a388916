"""The document says what the API does: examples that are true, and no reference into nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.api.conftest import Api

from kallglot.api import analysis_models, call_models, carrier_models, privacy_models, webhook_models
from kallglot.api.examples import ANSWERS, REQUESTS
from kallglot.api.models import MODELS
from kallglot.api.refusals import CODES, by_status
from kallglot.errors import STATUS_OF

HOOKS, HOOK = "/v1/webhook_endpoints", {"url": "https://example.com/hooks"}
OBJECT = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en"}


async def document(api: Api) -> dict[str, Any]:
    return (await api.client.get("/openapi.json")).json()


def operations(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in found["paths"].values():
        yield from path.values()


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "$ref":
                yield inner
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


async def test_every_reference_leads_somewhere(api: Api) -> None:
    found = await document(api)
    assert found["openapi"].startswith("3.1")
    seen = set(references(found))
    assert len(seen) > 10
    for reference in seen:
        target: Any = found
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]


WITHOUT_JSON = ("get_recording_audio", "download_recording", "export_session")


async def test_every_operation_has_an_id_and_an_example_for_every_answer(api: Api) -> None:
    found = await document(api)
    ids = [operation["operationId"] for operation in operations(found)]
    assert len(ids) == len(set(ids))
    assert set(ids) == ANSWERS.keys() == CODES.keys()
    for operation in operations(found):
        for status, response in operation["responses"].items():
            if operation["operationId"] not in WITHOUT_JSON or (int(status) >= 400 and status != "416"):
                content = response["content"]["application/json"]
                assert "example" in content or content["examples"], (operation["operationId"], status)
            assert "X-Request-ID" in response["headers"]
        if "requestBody" in operation:
            assert operation["requestBody"]["content"]["application/json"]["example"]


async def test_every_error_is_documented_under_its_status(api: Api) -> None:
    for operation in operations(await document(api)):
        codes = CODES[operation["operationId"]]
        shown: set[str] = set()
        for status, response in operation["responses"].items():
            examples = response.get("content", {}).get("application/json", {}).get("examples", {})
            for code, example in examples.items():
                assert (STATUS_OF[code], example["value"]["error"]["code"]) == (int(status), code)
                assert response["content"]["application/problem+json"]["examples"][code]["value"]["code"] == code
                shown.add(code)
        assert shown == set(codes), operation["operationId"]


def test_examples_name_when_to_come_again() -> None:
    for status, errors in by_status({code for codes in CODES.values() for code in codes}).items():
        helps = [error for error in errors if error.code not in ("call_not_active", "session_already_ended")]
        assert all((error.retry_after is not None) == (status in (409, 429, 503)) for error in helps)


@pytest.mark.parametrize("operation", REQUESTS)
def test_request_examples_are_requests(operation: str) -> None:
    name, example, _ = REQUESTS[operation]
    next(
        model
        for model in (
            *MODELS,
            *call_models.MODELS,
            *carrier_models.MODELS,
            *webhook_models.MODELS,
            *analysis_models.MODELS,
            *privacy_models.MODELS,
        )
        if model.__name__ == name
    ).model_validate(example)


async def test_answers_have_the_fields_of_their_examples(api: Api) -> None:
    async def check(operation: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
        response = await api.call(method, path, body)
        status, example = ANSWERS[operation]
        found = response.json()
        assert response.status_code == status, (operation, response.text)
        assert found.keys() == example.keys(), operation
        if found.get("object") == "list" and found["data"] and operation != "list_events":
            assert found["data"][0].keys() == example["data"][0].keys(), operation
        for name in documented[operation]["responses"][str(status)]["headers"]:
            assert name.lower() in response.headers or name in ("Idempotent-Replayed", "Deprecation"), name
        return found

    documented = {operation["operationId"]: operation for operation in operations(await document(api))}
    path = f"/v1/sessions/{(await check('create_session', 'POST', '/v1/sessions', OBJECT))['id']}"
    recorded, recording = await api.recorded()
    key = f"/v1/api_keys/{(await check('create_api_key', 'POST', '/v1/api_keys', {'name': 'n'}))['id']}"
    connecting = {"carrier": "twilio", "account_sid": "AC" + "0" * 32, "auth_token": "t"}
    connection = await check("create_connection", "POST", "/v1/connections", connecting)
    numbering = {"number": "+14155551234", "connection_id": connection["id"]}
    number = f"/v1/phone_numbers/{(await check('create_phone_number', 'POST', '/v1/phone_numbers', numbering))['id']}"
    connected = f"/v1/connections/{connection['id']}"
    hook = f"/v1/webhook_endpoints/{(await check('create_webhook_endpoint', 'POST', HOOKS, HOOK))['id']}"
    delivery = f"/v1/webhook_deliveries/{(await check('test_webhook_endpoint', 'POST', f'{hook}/test'))['id']}"
    for operation, method, address, body in (
        ("list_webhook_endpoints", "GET", HOOKS, None),
        ("get_webhook_endpoint", "GET", hook, None),
        ("update_webhook_endpoint", "PATCH", hook, {"events": ["*"]}),
        ("rotate_webhook_secret", "POST", f"{hook}/rotate_secret", None),
        ("list_webhook_deliveries", "GET", f"{hook}/deliveries", None),
        ("get_webhook_delivery", "GET", delivery, None),
        ("resend_webhook_delivery", "POST", f"{delivery}/resend", None),
        ("delete_webhook_endpoint", "DELETE", hook, None),
        ("get_organization_webhook_secret", "GET", "/v1/organization/webhook_secret", None),
        ("rotate_organization_webhook_secret", "POST", "/v1/organization/webhook_secret/rotate", None),
        ("list_sessions", "GET", "/v1/sessions", None),
        ("get_session", "GET", path, None),
        ("update_session", "PATCH", path, {"metadata": {}}),
        ("list_recordings", "GET", f"/v1/sessions/{recorded}/recordings", None),
        ("get_recording", "GET", f"/v1/recordings/{recording}", None),
        ("delete_recording", "DELETE", f"/v1/recordings/{recording}", None),
        ("get_timings", "GET", f"{path}/timings", None),
        ("get_transcript", "GET", f"{path}/transcript", None),
        ("end_session", "POST", f"{path}/end", None),
        ("get_organization", "GET", "/v1/organization", None),
        ("get_usage", "GET", "/v1/usage", None),
        ("list_credit_entries", "GET", "/v1/usage/ledger", None),
        ("list_api_keys", "GET", "/v1/api_keys", None),
        ("get_api_key", "GET", key, None),
        ("revoke_api_key", "DELETE", key, None),
        ("list_connections", "GET", "/v1/connections", None),
        ("get_connection", "GET", connected, None),
        ("update_connection", "PATCH", connected, {"name": "main"}),
        ("list_phone_numbers", "GET", "/v1/phone_numbers", None),
        ("get_phone_number", "GET", number, None),
        ("update_phone_number", "PATCH", number, {"label": "desk"}),
        ("delete_phone_number", "DELETE", number, None),
        ("delete_connection", "DELETE", connected, None),
        ("list_events", "GET", "/v1/events", None),
        ("list_languages", "GET", "/v1/languages", None),
        ("health", "GET", "/healthz", None),
        ("readiness", "GET", "/readyz", None),
    ):
        await check(operation, method, address, body)
