from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta
from typing import Any

import pytest
from tests.api.conftest import Api

from kallglot.api.idempotency import LEASE
from kallglot.api.ports.idempotency import IdempotencyScope
from kallglot.store.idempotency import SqlIdempotency

OBJECT = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en"}
PATH = "/v1/sessions"


async def sessions(api: Api) -> list[dict[str, Any]]:
    return (await api.call("GET", PATH)).json()["data"]


async def scope(api: Api, key: str = "k") -> IdempotencyScope:
    return IdempotencyScope((await api.organization()).id, True, "POST", PATH, key)


async def claimed_elsewhere(api: Api) -> None:
    """Another process has begun this request: its fingerprint is learnt from a first run."""
    await api.call("POST", PATH, OBJECT, Idempotency_Key="first")
    now = api.clock.now()
    async with api.store.write() as unit:
        first = await unit.idempotency.look(await scope(api, "first"))
        assert first is not None
        assert await unit.idempotency.claim(await scope(api), first.fingerprint, "other", now, now + LEASE) is None


async def test_fifty_at_once_are_one(api: Api) -> None:
    found = await asyncio.gather(*(api.call("POST", PATH, OBJECT, Idempotency_Key="k") for _ in range(50)))
    assert {response.status_code for response in found} == {201}
    assert len({response.content for response in found}) == 1
    assert sum("idempotent-replayed" in response.headers for response in found) == 49
    assert len(await sessions(api)) == 1
    assert (await api.organization()).credits_used == 1


async def test_a_replay_spends_nothing_and_says_so(api: Api) -> None:
    first = await api.call("POST", PATH, OBJECT, Idempotency_Key="k")
    assert "idempotent-replayed" not in first.headers
    api.clock.advance(3600)
    again = await api.call("POST", PATH, dict(reversed(OBJECT.items())), Idempotency_Key='"k"')
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["x-api-credits-used"] == "1"
    assert again.headers["x-request-id"] != first.headers["x-request-id"]


async def test_a_busy_server_still_replays(api: Api) -> None:
    first = await api.call("POST", PATH, OBJECT, Idempotency_Key="k")
    api.busy.append(5)
    assert (await api.call("POST", PATH, OBJECT, Idempotency_Key="k")).content == first.content
    assert (await api.call("POST", PATH, OBJECT, Idempotency_Key="new")).status_code == 503


async def test_after_a_day_the_key_is_new(api: Api) -> None:
    first = await api.call("POST", PATH, OBJECT, Idempotency_Key="k")
    api.clock.advance(24 * 3600)
    again = await api.call("POST", PATH, OBJECT, Idempotency_Key="k")
    assert again.json()["id"] != first.json()["id"]


async def test_another_body_is_a_mismatch(api: Api) -> None:
    await api.call("POST", PATH, OBJECT, Idempotency_Key="k")
    refused = await api.call("POST", PATH, OBJECT | {"metadata": {"a": "1"}}, Idempotency_Key="k")
    error = refused.json()["error"]
    assert (refused.status_code, error["type"], error["code"]) == (400, "invalid_request_error", "idempotency_mismatch")
    assert (await api.organization()).credits_used == 1


async def test_keys_of_other_callers_modes_and_addresses_are_others(api: Api) -> None:
    mine = (await api.call("POST", PATH, OBJECT, Idempotency_Key="k")).json()
    tenant, test_key = await api.tenant(), await api.key(livemode=False)
    ids = {mine["id"]}
    for key in (tenant, test_key):
        response = await api.call("POST", PATH, OBJECT | {"metadata": {"a": "1"}}, key=key, Idempotency_Key="k")
        assert response.status_code == 201
        ids.add(response.json()["id"])
    assert len(ids) == 3
    ended = await api.call("POST", f"{PATH}/{mine['id']}/end", Idempotency_Key="k")
    assert (ended.status_code, "idempotent-replayed" in ended.headers) == (200, False)
    replayed = await api.call("POST", f"{PATH}/{mine['id']}/end", Idempotency_Key="k")
    assert (replayed.content, replayed.headers["idempotent-replayed"]) == (ended.content, "true")
    other = await api.call("POST", f"{PATH}/{mine['id']}/end", {"reason": "error"}, Idempotency_Key="k")
    assert other.json()["error"]["code"] == "idempotency_mismatch"


async def test_a_new_api_key_is_made_once(api: Api) -> None:
    found = await asyncio.gather(*(api.call("POST", "/v1/api_keys", {"name": "n"}, Idempotency_Key="k") for _ in "abc"))
    assert len({response.json()["secret"] for response in found}) == 1
    assert len((await api.call("GET", "/v1/api_keys")).json()["data"]) == 2


@pytest.mark.parametrize("key", ["", '""', "a b", "a" * 256, "ключ".encode(), "a\tb"])
async def test_keys_that_are_none(api: Api, key: Any) -> None:
    headers = {"Authorization": f"Bearer {api.secret}", "Idempotency-Key": key}
    response = await api.client.post(PATH, json=OBJECT, headers=headers)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "invalid_idempotency_key")
    assert error["param"] == "Idempotency-Key"
    assert await sessions(api) == []


async def test_the_longest_key(api: Api) -> None:
    assert (await api.call("POST", PATH, OBJECT, Idempotency_Key="~" * 255)).status_code == 201


async def test_what_failed_may_be_tried_again_with_the_same_key(api: Api) -> None:
    poor = await api.tenant(credits=0)
    refused = await api.call("POST", PATH, OBJECT, key=poor, Idempotency_Key="k")
    assert refused.status_code == 402
    invalid = await api.call("POST", PATH, {}, key=poor, Idempotency_Key="k")
    assert invalid.status_code == 400
    async with api.store.write() as unit:
        other = next(one for one in await unit.organizations.list() if one.name == "Other")
        await unit.organizations.grant_credits(other.id, 1, "grant", "g", api.clock.now())
    made = await api.call("POST", PATH, OBJECT, key=poor, Idempotency_Key="k")
    assert (made.status_code, "idempotent-replayed" in made.headers) == (201, False)


async def test_the_answer_and_what_it_tells_of_are_kept_together_or_not_at_all(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(*_: object) -> bool:
        raise OSError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(SqlIdempotency, "complete", dies)
        assert (await api.call("POST", PATH, OBJECT, Idempotency_Key="k")).status_code == 500
    assert await sessions(api) == []
    assert (await api.organization()).credits_used == 0
    assert (await api.call("POST", PATH, OBJECT, Idempotency_Key="k")).status_code == 201
    assert (await api.organization()).credits_used == 1


async def test_a_key_held_by_a_dead_process_is_taken_over(api: Api) -> None:
    await claimed_elsewhere(api)
    api.clock.advance(LEASE.total_seconds())
    made = await api.call("POST", PATH, OBJECT, Idempotency_Key="k")
    assert (made.status_code, "idempotent-replayed" in made.headers) == (201, False)
    async with api.store.write() as unit:
        late = await unit.idempotency.complete(await scope(api), "other", 201, b"{}", api.clock.now())
    assert not late


async def test_who_lost_the_key_while_working_creates_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    complete = SqlIdempotency.complete

    async def taken_over_first(self: SqlIdempotency, given: IdempotencyScope, owner: str, *rest: Any) -> bool:
        later = api.clock.now() + timedelta(hours=1)
        assert await self.claim(given, "f", "thief", later, later + LEASE) is None
        return await complete(self, given, owner, *rest)

    monkeypatch.setattr(SqlIdempotency, "complete", taken_over_first)
    response = await api.call("POST", PATH, OBJECT, Idempotency_Key="k")
    assert (response.status_code, response.json()["error"]["code"]) == (409, "idempotency_conflict")
    assert await sessions(api) == []
    assert (await api.organization()).credits_used == 0


async def test_a_request_that_runs_elsewhere_is_waited_for(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await claimed_elsewhere(api)
    waiting = asyncio.Event()
    asked = itertools.count()

    def monotonic() -> float:
        if next(asked) == 1:
            waiting.set()
        return 0.0

    monkeypatch.setattr(api.clock, "monotonic", monotonic)
    request = asyncio.create_task(api.call("POST", PATH, OBJECT, Idempotency_Key="k"))
    await waiting.wait()
    async with api.store.write() as unit:
        await unit.idempotency.complete(await scope(api), "other", 201, b'{"id":"theirs"}', api.clock.now())
    response = await request
    assert (response.status_code, response.json()) == (201, {"id": "theirs"})
    assert response.headers["idempotent-replayed"] == "true"
    assert len(await sessions(api)) == 1


async def test_nobody_waits_for_ever(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await claimed_elsewhere(api)
    monkeypatch.setattr(api.clock, "monotonic", itertools.count(0, 6).__next__)
    response = await api.call("POST", PATH, OBJECT, Idempotency_Key="k")
    error = response.json()["error"]
    assert (response.status_code, error["type"], error["code"]) == (409, "conflict_error", "idempotency_conflict")
    assert response.headers["retry-after"] == str(error["retry_after"]) == "1"
