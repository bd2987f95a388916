"""Secrets that webhooks are signed with, over REST."""

from __future__ import annotations

import asyncio

from tests.api.conftest import Api
from tests.api.hooks import PATH, error, made, secrets, shown

from kallglot.webhooks.signatures import is_secret


async def test_a_secret_rotates_and_the_old_one_signs_until_then(api: Api) -> None:
    one = await made(api)
    path = f"{PATH}/{one['id']}"
    answer = (await api.call("POST", f"{path}/rotate_secret", {"expires_in_seconds": 60})).json()
    new = answer["secret"]
    assert is_secret(new)
    assert new != one["secret"]
    assert (answer["hint"], answer["previous_secret_expires_at"]) == (new[-4:], "2026-03-26T11:01:00Z")
    assert await shown(api, path) == answer | {"secret": None}
    assert await secrets(api, one["id"]) == (new, one["secret"])
    api.clock.advance(60)
    assert await secrets(api, one["id"]) == (new,)
    assert (await shown(api, path))["previous_secret_expires_at"] is None
    default = (await api.call("POST", f"{path}/rotate_secret")).json()
    assert default["previous_secret_expires_at"] == "2026-03-27T11:01:00Z"
    last = (await api.call("POST", f"{path}/rotate_secret", {"expires_in_seconds": 0})).json()
    assert last["previous_secret_expires_at"] is None
    assert await secrets(api, one["id"]) == (last["secret"],)


async def test_two_rotations_at_once_leave_both_secrets_valid(api: Api) -> None:
    one = await made(api)
    path = f"{PATH}/{one['id']}/rotate_secret"
    answers = [each.json() for each in await asyncio.gather(*(api.call("POST", path) for _ in "ab"))]
    assert set(await secrets(api, one["id"])) == {each["secret"] for each in answers}


async def test_the_organizations_secret(api: Api) -> None:
    path = "/v1/organization/webhook_secret"
    assert await shown(api, path) == {
        "object": "webhook_secret",
        "hint": None,
        "secret": None,
        "previous_secret_expires_at": None,
    }
    first = (await api.call("POST", f"{path}/rotate")).json()
    assert is_secret(first["secret"])
    assert (first["object"], first["previous_secret_expires_at"]) == ("webhook_secret", None)
    second = (await api.call("POST", f"{path}/rotate", {"expires_in_seconds": 60})).json()
    assert second["previous_secret_expires_at"] == "2026-03-26T11:01:00Z"
    assert await shown(api, path) == second | {"secret": None}
    async with api.store.read() as unit:
        found = await unit.webhook_endpoints.organization_secrets((await api.organization()).id)
    assert found is not None
    assert found.valid(api.clock.now()) == (second["secret"], first["secret"])
    for key in (await api.tenant(), await api.key(livemode=False)):
        seen = await shown(api, path, key=key)
        assert seen["secret"] is None
    assert (await shown(api, path, key=await api.tenant()))["hint"] is None
    refused = await api.call("POST", f"{path}/rotate", key=await api.key(livemode=False))
    assert error(refused) == (403, "insufficient_permissions", None)
    assert await shown(api, path) == second | {"secret": None}
