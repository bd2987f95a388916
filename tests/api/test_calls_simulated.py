"""Calls of test keys, which reach no carrier."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.calling import TO, becomes, connected, dial, dialled, error, events, get, on_the_line, session
from tests.api.conftest import Api

from kallglot.carriers.simulated import INVALID, MACHINE, OUTCOMES


async def over(api: Api, call_id: str, key: str) -> dict[str, Any]:
    return await becomes(api, call_id, "completed", "failed", "busy", "no_answer", "canceled", key=key)


async def simulated(api: Api, key: str, **fields: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A simulated call that was answered, and its session."""
    of = await session(api, key=key)
    call = await dialled(api, of["id"], key=key, **fields)
    return await becomes(api, call["id"], "in_progress", key=key), of


@pytest.mark.parametrize("to", OUTCOMES)
async def test_a_test_key_dials_what_is_not_answered(api: Api, to: str) -> None:
    key = await api.key(livemode=False)
    await connected(api)
    of = await session(api, key=key)
    call = await dialled(api, of["id"], key=key, to=to)
    assert (call["livemode"], call["provider"], call["connection_id"]) == (False, "twilio", None)
    assert call["provider_call_id"].startswith("CAsim")
    ended = await over(api, call["id"], key)
    assert (ended["status"], ended["hangup_cause"], ended["answered_at"]) == (OUTCOMES[to], OUTCOMES[to], None)
    assert await events(api, of["id"], key=key) == ["connecting", "failed"]
    assert await events(api, of["id"]) == []
    assert api.line.orders == []


async def test_a_test_key_dials_a_number_that_is_none(api: Api) -> None:
    key = await api.key(livemode=False)
    of = await session(api, key=key)
    assert error(await dial(api, of["id"], key=key, to=INVALID)) == (400, "invalid_phone_number", "to")
    assert await events(api, of["id"], key=key) == ["connecting", "failed"]
    assert api.line.orders == []


@pytest.mark.parametrize(("to", "answerer"), [(TO, "human"), (MACHINE, "machine")])
async def test_a_test_key_dials_somebody_who_answers(api: Api, to: str, answerer: str) -> None:
    key = await api.key(livemode=False)
    credits = (await api.organization()).credits_remaining
    call, of = await simulated(api, key, to=to, machine_detection=True)
    assert (call["answered_by"], call["from"], call["livemode"]) == (answerer, "+15005550006", False)
    assert api.board.live(of["id"]) is not None
    path = f"/v1/calls/{call['id']}"
    assert (await api.call("POST", f"{path}/hangup", key=key)).json()["status"] == "completed"
    assert (await over(api, call["id"], key))["hangup_cause"] == "hangup"
    assert await events(api, of["id"], key=key) == ["connecting", "connected", "disconnected"]
    assert (api.line.orders, api.line.asked) == ([], [])
    assert (await api.organization()).credits_remaining == credits


async def test_a_test_keys_events_are_a_live_ones(api: Api) -> None:
    async def told(session_id: str, key: str | None) -> list[dict[str, Any]]:
        found = (await get(api, f"/v1/events?session_id={session_id}", key=key))["data"]
        return [one for one in found if one["type"].startswith("session.provider.")]

    key = await api.key(livemode=False)
    call, of = await simulated(api, key)
    await api.call("POST", f"/v1/calls/{call['id']}/hangup", key=key)
    await over(api, call["id"], key)
    shown = await told(of["id"], key)
    live, _ = await on_the_line(api)
    await api.call("POST", f"/v1/calls/{live['id']}/hangup")
    expected = await told(live["session_id"], None)
    assert [one["type"] for one in shown] == [one["type"] for one in expected]
    for one, other in zip(shown, expected, strict=True):
        assert set(one) == set(other)
        assert set(one["provider"]) == set(other["provider"])
        assert set(one["data"]) == set(other["data"])
        assert one["provider"]["status"] == other["provider"]["status"]


async def test_a_test_keys_call_is_controlled(api: Api) -> None:
    key = await api.key(livemode=False)
    call, of = await simulated(api, key)
    path = f"/v1/calls/{call['id']}"

    async def do(what: str, body: Any = None) -> dict[str, Any]:
        response = await api.call("POST", f"{path}/{what}", body, key=key)
        assert response.status_code == 200, response.text
        return response.json()

    assert (await do("hold"))["held"]
    assert not (await do("unhold"))["held"]
    assert (await do("mute"))["muted"]
    assert not (await do("unmute"))["muted"]
    assert (await do("dtmf", {"digits": "12"}))["id"] == call["id"]
    warm = await do("transfer", {"to": "+15005550002", "type": "warm"})
    assert (await over(api, warm["id"], key))["status"] == "busy"
    invalid = await api.call("POST", f"{path}/transfer", {"to": INVALID}, key=key)
    assert error(invalid) == (400, "invalid_phone_number", "to")
    assert (await get(api, path, key=key))["status"] == "in_progress"
    assert (await do("transfer", {"to": TO}))["transfer"]["to"] == TO
    assert (await over(api, call["id"], key))["status"] == "completed"
    assert (api.line.orders, api.line.asked) == ([], [])
    assert len((await get(api, f"/v1/sessions/{of['id']}/calls", key=key))["data"]) == 2


async def test_a_test_session_that_ends_hangs_up_its_call(api: Api) -> None:
    key = await api.key(livemode=False)
    call, of = await simulated(api, key)
    await api.call("POST", f"/v1/sessions/{of['id']}/end", key=key)
    assert (await over(api, call["id"], key))["status"] == "completed"
    assert api.line.asked == []
