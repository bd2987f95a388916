"""API keys: made, changed, rotated, revoked, and an organisation that does not lock itself out."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.api.conftest import Api

from kallglot.accounts.keys import KeyOver, locks_out, make, rotate
from kallglot.accounts.model import SCOPES, ApiKey

PATH = "/v1/api_keys"
NOW = datetime(2026, 3, 26, 11, tzinfo=UTC)
DAY = timedelta(days=1)


async def made(api: Api, *, key: str | None = None, **fields: Any) -> dict[str, Any]:
    response = await api.call("POST", PATH, {"name": "n"} | fields, key=key)
    assert response.status_code == 201, response.text
    return response.json()


async def own(api: Api) -> str:
    """The path of the key that the organisation began with."""
    return f"{PATH}/{(await api.call('GET', PATH)).json()['data'][-1]['id']}"


async def refused(api: Api, method: str, path: str, body: Any = None, key: str | None = None) -> str:
    response = await api.call(method, path, body, key=key)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (422, "unprocessable"), response.text
    return error["message"]


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


async def test_what_is_given_changes_and_the_rest_stays(api: Api) -> None:
    key = await made(api, scopes=["sessions:read"], expires_at="2026-03-27T11:00:00Z")
    path = f"{PATH}/{key['id']}"
    changed = (await api.call("PATCH", path, {"name": "desk"})).json()
    assert changed == key | {"name": "desk", "secret": None}
    body = {"scopes": ["recordings:read", "recordings:read"], "expires_at": None}
    changed = (await api.call("PATCH", path, body)).json()
    assert (changed["name"], changed["scopes"], changed["expires_at"]) == ("desk", ["recordings:read"], None)
    refusal = await api.call("GET", "/v1/sessions", key=key["secret"])
    assert refusal.json()["error"]["code"] == "insufficient_permissions"
    changed = (await api.call("PATCH", path, {"expires_at": "2026-03-26T11:00:30Z"})).json()
    assert (await api.call("PATCH", path, {})).json() == changed
    api.clock.advance(30)
    assert "expired" in await refused(api, "PATCH", path, {"expires_at": None})
    assert "expired" in await refused(api, "POST", f"{path}/rotate")


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"name": None}, "invalid_field_value", "name"),
        ({"name": ""}, "invalid_field_value", "name"),
        ({"scopes": []}, "invalid_field_value", "scopes"),
        ({"scopes": None}, "invalid_field_value", "scopes"),
        ({"scopes": ["root"]}, "invalid_field_value", "scopes.0"),
        ({"expires_at": "2026-03-26T11:00:00Z"}, "invalid_field_value", "expires_at"),
        ({"livemode": False}, "unknown_field", "livemode"),
        ({"revoked_at": None}, "unknown_field", "revoked_at"),
    ],
)
async def test_changes_that_cannot_be(api: Api, body: dict[str, Any], code: str, param: str) -> None:
    path = f"{PATH}/{(await made(api))['id']}"
    before = (await api.call("GET", path)).json()
    response = await api.call("PATCH", path, body)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, code, param), error
    assert (await api.call("GET", path)).json() == before


async def test_a_rotated_key_is_good_for_a_day_beside_the_new_one(api: Api) -> None:
    old = await made(api, name="desk", scopes=["sessions:read"], livemode=False)
    response = await api.call("POST", f"{PATH}/{old['id']}/rotate")
    new = response.json()
    assert response.status_code == 201
    assert new["id"] != old["id"]
    assert new["secret"].startswith("sk_test_")
    same = ("name", "scopes", "livemode", "expires_at")
    assert [new[name] for name in same] == [old[name] for name in same]
    kept = (await api.call("GET", f"{PATH}/{old['id']}")).json()
    assert (kept["replaced_by"], kept["expires_at"]) == (new["id"], "2026-03-27T11:00:00Z")
    assert (await api.call("GET", f"{PATH}/{new['id']}")).json()["secret"] is None
    for secret in (old["secret"], new["secret"]):
        assert (await api.call("GET", "/v1/sessions", key=secret)).status_code == 200
    assert new["id"] in await refused(api, "POST", f"{PATH}/{old['id']}/rotate")
    api.clock.advance(86400)
    over = await api.call("GET", "/v1/sessions", key=old["secret"])
    assert over.json()["error"]["code"] == "expired_api_key"
    assert (await api.call("GET", "/v1/sessions", key=new["secret"])).status_code == 200


async def test_rotated_at_once_and_answered_twice_the_same(api: Api) -> None:
    old = await made(api, scopes=["sessions:read"])
    path, body = f"{PATH}/{old['id']}/rotate", {"expires_in_seconds": 0}
    first = await api.call("POST", path, body, Idempotency_Key="once")
    again = await api.call("POST", path, body, Idempotency_Key="once")
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    over = await api.call("GET", "/v1/sessions", key=old["secret"])
    assert over.json()["error"]["code"] == "expired_api_key"
    assert len((await api.call("GET", PATH)).json()["data"]) == 3


@pytest.mark.parametrize("seconds", [-1, 30 * 86400 + 1, "0", 1.5, None])
async def test_overlaps_that_cannot_be(api: Api, seconds: Any) -> None:
    path = f"{PATH}/{(await made(api))['id']}/rotate"
    response = await api.call("POST", path, {"expires_in_seconds": seconds})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "expires_in_seconds")


async def test_a_revoked_key_stays_as_it_is(api: Api) -> None:
    path = f"{PATH}/{(await made(api))['id']}"
    await api.call("DELETE", path)
    assert "revoked" in await refused(api, "PATCH", path, {"name": "again"})
    assert "revoked" in await refused(api, "POST", f"{path}/rotate")


async def test_one_of_two_that_rotate_the_same_key_at_once(api: Api) -> None:
    path = f"{PATH}/{(await made(api))['id']}/rotate"
    answers = await asyncio.gather(*(api.call("POST", path) for _ in range(2)))
    assert sorted(one.status_code for one in answers) == [201, 422]


async def test_nobody_locks_the_organization_out(api: Api) -> None:
    path = await own(api)
    await made(api, scopes=["sessions:read"])
    await made(api, livemode=False)
    ending = await made(api, expires_at="2026-03-27T10:59:59Z")
    assert "admin" in await refused(api, "DELETE", path)
    await refused(api, "PATCH", path, {"scopes": ["sessions:read"]})
    await refused(api, "PATCH", path, {"expires_at": "2026-03-27T10:59:59Z"})
    test_key = await api.key(livemode=False)
    assert (await api.call("DELETE", path, key=test_key)).status_code == 404
    assert (await api.call("PATCH", path, {"name": "last"})).status_code == 200
    assert (await api.call("PATCH", path, {"expires_at": "2026-03-27T11:00:00Z"})).status_code == 200
    # What is no worse than before is nobody's business, and neither is a key beside the last one.
    assert (await api.call("PATCH", path, {"expires_at": "2026-03-28T11:00:00Z"})).status_code == 200
    assert (await api.call("DELETE", f"{PATH}/{ending['id']}")).status_code == 200
    second = await made(api)
    assert (await api.call("DELETE", path)).status_code == 200
    await refused(api, "DELETE", f"{PATH}/{second['id']}", key=second["secret"])
    rotated = await api.call("POST", f"{PATH}/{second['id']}/rotate", {"expires_in_seconds": 0}, key=second["secret"])
    assert (await api.call("GET", PATH, key=rotated.json()["secret"])).status_code == 200


async def test_two_admins_that_revoke_each_other_at_once(api: Api) -> None:
    first, second = await own(api), await made(api)
    answers = await asyncio.gather(
        api.call("DELETE", f"{PATH}/{second['id']}"), api.call("DELETE", first, key=second["secret"])
    )
    assert 200 in [one.status_code for one in answers]
    assert sorted(one.status_code for one in answers)[1] in (401, 422)


def key(name: str = "n", **changes: Any) -> ApiKey:
    return replace(make("org_1", name, livemode=True, scopes=None, now=NOW)[0], **changes)


def test_a_key_for_so_many_days_is_followed_by_one_for_as_many() -> None:
    old = key(expires_at=NOW + 90 * DAY)
    found = rotate(old, NOW + 80 * DAY, timedelta(days=20))
    assert found.new.expires_at == NOW + 170 * DAY
    assert found.old.expires_at == NOW + 90 * DAY, "not later than it was"
    assert found.old.replaced_by == found.new.id
    assert found.new.secret_hash != old.secret_hash
    far = rotate(key(expires_at=datetime(9999, 12, 31, tzinfo=UTC)), NOW + DAY, DAY).new
    assert far.expires_at is not None
    assert far.expires_at.year == 9999


@pytest.mark.parametrize(
    "over",
    [{"revoked_at": NOW}, {"expires_at": NOW}, {"replaced_by": "key_2"}],
)
def test_keys_that_cannot_be_rotated(over: dict[str, Any]) -> None:
    with pytest.raises(KeyOver):
        rotate(key(**over), NOW, DAY)


def test_who_is_left_to_administer() -> None:
    first, second = key(), key()
    revoked = replace(first, revoked_at=NOW)
    assert locks_out([first], first, revoked, NOW)
    assert not locks_out([first, second], first, revoked, NOW)
    for useless in (
        {"livemode": False},
        {"scopes": ("sessions:read",)},
        {"revoked_at": NOW},
        {"expires_at": NOW},
        {"expires_at": NOW + DAY - timedelta(seconds=1)},
    ):
        assert locks_out([first, replace(second, **useless)], first, revoked, NOW), useless
    assert not locks_out([first, replace(second, expires_at=NOW + DAY)], first, revoked, NOW)
    ending = replace(first, expires_at=NOW + timedelta(hours=1))
    assert not locks_out([ending], ending, replace(ending, expires_at=NOW + timedelta(hours=2)), NOW)
    assert locks_out([ending], ending, replace(ending, expires_at=NOW + timedelta(minutes=1)), NOW)
    assert not locks_out([second], replace(first, livemode=False), replace(revoked, livemode=False), NOW)
