"""Calls that come in and are not taken."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.api.calling import PAIR, connection, get, kept
from tests.api.conftest import Api
from tests.api.signing import (
    INCOMING,
    SID,
    asked,
    came_in,
    organization_of,
    ready,
    refused,
    rejection,
    sessions,
    streamed,
    verbs,
)

from kallglot.accounts.model import Organization


async def test_a_number_that_nobody_has(api: Api) -> None:
    through = await ready(api)
    for wrong in ("+14155559999", "", "sip:somebody@example.com", "anonymous"):
        assert await refused(api, through, To=wrong) == "rejected"


async def test_a_number_of_another_connection(api: Api) -> None:
    await ready(api)
    other = await connection(api)
    assert await refused(api, other) == "rejected"
    stranger = await api.tenant()
    theirs = await connection(api, key=stranger)
    assert await refused(api, theirs) == "rejected"


async def test_a_number_that_is_not_active(api: Api) -> None:
    through = await ready(api)
    number = (await get(api, "/v1/phone_numbers"))["data"][0]["id"]
    await api.call("PATCH", f"/v1/phone_numbers/{number}", {"active": False})
    assert await refused(api, through) == "rejected"


async def test_a_number_without_a_policy(api: Api) -> None:
    assert await refused(api, await ready(api, policy=None)) == "rejected"


async def test_a_policy_that_no_engine_serves_any_more(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    through = await ready(api)
    monkeypatch.setattr(api.registry, "missing_for", lambda *_: "The model is gone.")
    assert await refused(api, through) == "rejected"


async def test_a_call_is_served_by_the_engines_of_its_number(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    engines = {"recognition": {"de": ["local", "scripted"]}, "synthesis": {"en": ["scripted"]}}
    through = await ready(api, policy=PAIR | {"engines": engines})
    streamed(await asked(api, f"/v1/carriers/twilio/{through}/voice", INCOMING))
    (of,) = await sessions(api)
    assert of["engines"] == engines
    # One that is taken away is not missed, as long as there is another in its place.
    monkeypatch.setattr(api.registry, "names", lambda kind: [] if kind == "recognition" else ["scripted"])
    streamed(await asked(api, f"/v1/carriers/twilio/{through}/voice", INCOMING | {"CallSid": "CA2"}))
    assert [one["engines"]["recognition"] for one in await sessions(api)] == [{"de": ["local"]}, engines["recognition"]]
    monkeypatch.setattr(api.registry, "names", lambda kind: [])
    assert await refused(api, through, CallSid="CA3") == "rejected"


async def test_no_credits(api: Api) -> None:
    key = await api.tenant(credits=1)
    through = await ready(api, key=key)
    streamed(await asked(api, f"/v1/carriers/twilio/{through}/voice", INCOMING))
    assert await refused(api, through, key, CallSid="CA2") == "rejected"


async def test_as_many_sessions_as_the_plan_allows(api: Api) -> None:
    key = await api.tenant(plan="free")
    through = await ready(api, key=key)
    for n in range(2):
        streamed(await asked(api, f"/v1/carriers/twilio/{through}/voice", INCOMING | {"CallSid": f"CA{n}"}))
    assert await refused(api, through, key, CallSid="CA2") == "busy"
    # What is taken already is answered as before.
    streamed(await asked(api, f"/v1/carriers/twilio/{through}/voice", INCOMING | {"CallSid": "CA0"}))


async def test_more_at_once_than_the_plan_allows(api: Api) -> None:
    key = await api.tenant(plan="free")
    path = f"/v1/carriers/twilio/{await ready(api, key=key)}/voice"
    answers = await asyncio.gather(*(asked(api, path, INCOMING | {"CallSid": f"CA{n}"}) for n in range(10)))
    assert sorted(verbs(one)[0] for one in answers) == ["Connect"] * 2 + ["Reject"] * 8
    assert len(await sessions(api, key)) == 2
    assert (await organization_of(api, key)).credits_remaining == 98


async def test_an_overloaded_server(api: Api) -> None:
    through = await ready(api)
    api.busy.append(5)
    assert await refused(api, through) == "busy"


@pytest.mark.parametrize("status", ["inactive", "suspended"])
async def test_an_organization_that_is_not_active(api: Api, status: Any) -> None:
    key = await api.tenant()
    through = await ready(api, key=key)
    owner = await organization_of(api, key)
    async with api.store.write() as unit:
        await unit.organizations.set_status(owner.id, status)
    path = f"/v1/carriers/twilio/{through}/voice"
    assert rejection(await asked(api, path, INCOMING)) == "rejected"
    assert await kept(api).by_carrier_id("twilio", SID) is None
    async with api.store.read() as unit:
        assert await unit.sessions.count_live(owner.id, True) == 0
    assert (await _organization(api, owner.id)).credits_remaining == 100


async def _organization(api: Api, organization_id: str) -> Organization:
    async with api.store.read() as unit:
        found = await unit.organizations.get(organization_id)
    assert found is not None
    return found


async def test_the_call_of_another_connection(api: Api) -> None:
    """Who knows the CallSid of somebody else's call gets nothing of it."""
    _, call = await came_in(api)
    stranger = await api.tenant()
    theirs = await connection(api, key=stranger)
    response = await asked(api, f"/v1/carriers/twilio/{theirs}/voice", INCOMING)
    assert verbs(response) == ["Hangup"]
    assert "token" not in response.text
    completed = {"CallSid": SID, "CallStatus": "completed"}
    assert (await asked(api, f"/v1/carriers/twilio/{theirs}/status", completed)).status_code == 204
    for what in ("stream", "status", "amd", "transferred"):
        response = await asked(api, f"/v1/carriers/twilio/{theirs}/calls/{call['id']}/{what}", completed)
        assert (response.status_code, response.json()["error"]["code"]) == (404, "call_not_found")
    assert await get(api, f"/v1/calls/{call['id']}") == call
    assert await sessions(api, stranger) == []
