from __future__ import annotations

from typing import Any

import pytest
from tests.api.conftest import Api

from kallglot.accounts.model import SCOPES

PATH = "/v1/api_keys"


async def test_the_organization(api: Api) -> None:
    await api.create()
    response = await api.call("GET", "/v1/organization")
    found = response.json()
    assert (found["object"], found["status"]) == ("organization", "active")
    assert (found["credits_remaining"], found["credits_used"]) == (999_999, 1)
    assert response.headers["x-api-credits-remaining"] == "999999"


async def test_a_key_is_shown_once_works_and_ends(api: Api) -> None:
    body = {"name": "desk", "scopes": ["sessions:read", "sessions:read"], "expires_at": "2026-03-26T12:30:00+01:00"}
    response = await api.call("POST", PATH, body)
    made = response.json()
    assert response.status_code == 201
    assert made["secret"].startswith("sk_live_")
    assert made["secret"].endswith(made["hint"])
    assert (made["scopes"], made["expires_at"]) == (["sessions:read"], "2026-03-26T11:30:00Z")
    assert (await api.call("GET", "/v1/sessions", key=made["secret"])).status_code == 200
    path = f"{PATH}/{made['id']}"
    found = await api.call("GET", path)
    assert found.json() == made | {"secret": None, "last_used_at": "2026-03-26T11:00:00Z"}
    assert made["secret"] not in (await api.call("GET", PATH)).text
    first = await api.call("DELETE", path)
    assert (first.status_code, first.json()["revoked_at"]) == (200, "2026-03-26T11:00:00Z")
    api.clock.advance(60)
    assert (await api.call("DELETE", path)).json() == first.json()
    refused = await api.call("GET", "/v1/sessions", key=made["secret"])
    assert refused.json()["error"]["code"] == "revoked_api_key"


async def test_what_is_left_out_is_everything_in_the_callers_mode(api: Api) -> None:
    made = (await api.call("POST", PATH, {"name": "all"})).json()
    assert (made["livemode"], made["scopes"], made["expires_at"]) == (True, list(SCOPES), None)
    test_key = (await api.call("POST", PATH, {"name": "t", "livemode": False})).json()["secret"]
    assert test_key.startswith("sk_test_")
    assert (await api.call("POST", PATH, {"name": "t"}, key=test_key)).json()["livemode"] is False


async def test_a_test_key_makes_no_live_key(api: Api) -> None:
    test_key = await api.key(livemode=False)
    refused = await api.call("POST", PATH, {"name": "up", "livemode": True}, key=test_key)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["param"]) == (403, "insufficient_permissions", "livemode")


async def test_pages_of_keys_that_a_test_key_may_see(api: Api) -> None:
    tests: list[str] = []
    for n in range(8):
        api.clock.advance(1)
        body = {"name": str(n), "livemode": n % 2 == 0}
        made = (await api.call("POST", PATH, body)).json()
        if not made["livemode"]:
            tests.append(made["id"])
    reader = await api.key(livemode=False, id="key_0")
    newest_first = sorted(tests, reverse=True)

    async def ids(query: str) -> tuple[list[str], bool]:
        page = (await api.call("GET", f"{PATH}?{query}", key=reader)).json()
        return [one["id"] for one in page["data"]], page["has_more"]

    assert await ids("limit=2") == (newest_first[:2], True)
    assert await ids(f"limit=2&starting_after={newest_first[1]}") == (newest_first[2:], True)
    assert await ids(f"limit=2&starting_after={newest_first[3]}") == (["key_0"], False)
    assert await ids(f"limit=2&ending_before={newest_first[3]}") == (newest_first[1:3], True)
    assert await ids(f"limit=2&ending_before={newest_first[2]}") == (newest_first[:2], False)
    assert len((await api.call("GET", PATH)).json()["data"]) == 10


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({}, "missing_required_field", "name"),
        ({"name": ""}, "invalid_field_value", "name"),
        ({"name": "n" * 201}, "invalid_field_value", "name"),
        ({"name": "n", "scopes": []}, "invalid_field_value", "scopes"),
        ({"name": "n", "scopes": ["root"]}, "invalid_field_value", "scopes.0"),
        ({"name": "n", "livemode": "yes"}, "invalid_field_value", "livemode"),
        ({"name": "n", "expires_at": "2026-03-26T11:00:00Z"}, "invalid_field_value", "expires_at"),
        ({"name": "n", "expires_at": "2027-01-01T00:00:00"}, "invalid_field_value", "expires_at"),
        ({"name": "n", "expires_at": 1900000000}, "invalid_field_value", "expires_at"),
        ({"name": "n", "expires_at": "9999-12-31T23:59:59-23:00"}, "invalid_field_value", "expires_at"),
        ({"name": "n", "secret": "sk_live_mine"}, "unknown_field", "secret"),
    ],
)
async def test_keys_that_cannot_be(api: Api, body: dict[str, Any], code: str, param: str) -> None:
    response = await api.call("POST", PATH, body)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, code, param), error
    assert len((await api.call("GET", PATH)).json()["data"]) == 1


async def test_languages(api: Api) -> None:
    listed = (await api.call("GET", "/v1/languages")).json()
    german = next(one for one in listed["data"] if one["code"] == "de")
    assert (listed["object"], listed["url"], listed["has_more"]) == ("list", "/v1/languages", False)
    assert (german["id"], german["object"], german["name"]) == ("de", "language", "German")
    assert {one["language"] for one in german["translation_to"]} == {"en", "es"}
