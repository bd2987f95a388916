"""Telnyx's Call Control, which tells of events and is commanded."""

from __future__ import annotations

import asyncio

import pytest
from tests.api.calling import TO, connection, events, get, kept
from tests.api.conftest import Api
from tests.api.signing import (
    CALLER,
    INCOMING,
    TELNYX,
    asked,
    ended,
    event,
    nothing_told,
    notified,
    only_call,
    placed,
    ready,
    sessions,
    state,
)

from kallglot.carriers.client import CarrierError


async def test_call_control_answers(api: Api) -> None:
    through = await ready(api, TELNYX)
    path = f"/v1/carriers/telnyx/{through}/events"
    assert (await notified(api, path, event("call.initiated"))).status_code == 200
    call = await only_call(api)
    assert (call["provider_call_id"], call["status"], call["from"]) == ("v3:one", "ringing", CALLER)
    assert api.line.asked == [("answer", "v3:one")]
    (stream,) = api.line.streams
    assert (stream.parameters["call"], stream.parameters["bidirectional_mode"]) == (call["id"], "rtp")
    assert (await notified(api, path, event("call.answered"))).status_code == 200
    assert (await get(api, f"/v1/calls/{call['id']}"))["status"] == "in_progress"
    over = event("call.hangup", hangup_cause="normal_clearing", sip_hangup_cause="200")
    assert (await notified(api, path, over)).status_code == 200
    assert await ended(api, call["session_id"]) == "customer_hangup"
    found = await get(api, f"/v1/calls/{call['id']}")
    assert (found["status"], found["hangup_cause"]) == ("completed", "normal_clearing")
    assert await events(api, call["session_id"]) == ["connecting", "connected", "disconnected"]


async def test_call_control_that_is_told_again(api: Api) -> None:
    through = await ready(api, TELNYX)
    path = f"/v1/carriers/telnyx/{through}/events"
    before = (await api.organization()).credits_remaining
    answers = await asyncio.gather(*(notified(api, path, event("call.initiated")) for _ in range(10)))
    assert {one.status_code for one in answers} == {200}
    call = await only_call(api)
    assert (await api.organization()).credits_remaining == before - 1
    await notified(api, path, event("call.hangup", hangup_cause="normal_clearing"))
    await ended(api, call["session_id"])
    api.line.asked.clear()
    api.line.refuses = CarrierError("It is over.", gone=True)
    assert (await notified(api, path, event("call.initiated"))).status_code == 200
    assert api.line.asked == []
    assert len(await sessions(api)) == 1


async def test_call_control_whose_answer_fails_is_told_again(api: Api) -> None:
    through = await ready(api, TELNYX)
    path = f"/v1/carriers/telnyx/{through}/events"
    api.line.refuses = CarrierError("down")
    assert (await notified(api, path, event("call.initiated"))).status_code == 502
    api.line.refuses = None
    assert (await notified(api, path, event("call.initiated"))).status_code == 200
    assert len(await sessions(api)) == 1
    assert [what for what, _ in api.line.asked] == ["answer", "answer"]


async def test_call_control_that_is_not_taken_is_rejected(api: Api) -> None:
    through = await ready(api, TELNYX)
    path = f"/v1/carriers/telnyx/{through}/events"
    stranger = event("call.initiated", to="+14155559999")
    assert (await notified(api, path, stranger)).status_code == 200
    assert api.line.asked == [("reject", "v3:one")]
    api.busy.append(5)
    assert (await notified(api, path, event("call.initiated"))).status_code == 200
    assert api.line.asked[1:] == [("reject busy", "v3:one")]
    assert await sessions(api) == []
    assert await kept(api).by_carrier_id("telnyx", "v3:one") is None


async def test_call_control_of_a_call_that_is_gone_is_not_told_again(api: Api) -> None:
    through = await ready(api, TELNYX)
    api.line.refuses = CarrierError("It is over.", gone=True)
    path = f"/v1/carriers/telnyx/{through}/events"
    assert (await notified(api, path, event("call.initiated"))).status_code == 200


async def test_a_test_keys_connection_takes_no_calls(api: Api) -> None:
    key = await api.key(livemode=False)
    through = await ready(api, key=key)
    nothing_told(await asked(api, f"/v1/carriers/twilio/{through}/voice", INCOMING))
    assert await sessions(api, key) == []


async def test_call_control_of_another_connections_call(api: Api) -> None:
    through = await ready(api, TELNYX)
    await notified(api, f"/v1/carriers/telnyx/{through}/events", event("call.initiated"))
    call = await only_call(api)
    api.line.asked.clear()
    stranger = await api.tenant()
    theirs = await connection(api, TELNYX, key=stranger)
    path = f"/v1/carriers/telnyx/{theirs}/events"
    for told in (
        event("call.initiated"),
        event("call.hangup", hangup_cause="normal_clearing"),
        event("call.hangup", call_control_id="v3:two", client_state=state(call_id=call["id"])),
        event("call.hangup", call_control_id="v3:two", client_state=state(transfer=call["id"])),
    ):
        assert (await notified(api, path, told)).status_code == 200
    assert api.line.asked == []
    assert await get(api, f"/v1/calls/{call['id']}") == call
    assert await sessions(api, stranger) == []


async def test_call_control_of_a_call_that_we_placed(api: Api) -> None:
    through, call, _ = await placed(api, TELNYX)
    path = f"/v1/carriers/telnyx/{through}/events"
    ours = {"call_control_id": call["provider_call_id"], "direction": "outgoing"}
    for kind in ("call.answered", "call.initiated"):
        await notified(api, path, event(kind, **ours, client_state=state(call_id=call["id"])))
    assert (await get(api, f"/v1/calls/{call['id']}"))["status"] == "in_progress"
    await notified(api, path, event("call.machine.premium.detection.ended", **ours, result="human_business"))
    await notified(api, path, event("call.hangup", **ours, hangup_cause="normal_clearing"))
    found = await get(api, f"/v1/calls/{call['id']}")
    assert (found["status"], found["answered_by"]) == ("completed", "human")
    assert await events(api, call["session_id"]) == ["connecting", "connected", "disconnected"]


@pytest.mark.parametrize("answered", [True, False])
async def test_call_controls_transfer(api: Api, answered: bool) -> None:
    through, call, _ = await placed(api, TELNYX)
    path = f"/v1/carriers/telnyx/{through}/events"
    ours = {"call_control_id": call["provider_call_id"], "direction": "outgoing"}
    await notified(api, path, event("call.answered", **ours))
    await api.call("POST", f"/v1/calls/{call['id']}/transfer", {"to": TO})
    assert api.line.asked[0][0] == f"transfer {TO} http://testserver{path}"
    api.line.asked.clear()
    leg = {"call_control_id": "v3:leg", "direction": "outgoing", "client_state": state(transfer=call["id"])}
    if answered:
        await notified(api, path, event("call.answered", **leg))
    for _ in range(2):
        await notified(api, path, event("call.hangup", **leg, hangup_cause="user_busy"))
    found = await get(api, f"/v1/calls/{call['id']}")
    assert found["status"] == "in_progress"
    if answered:
        assert found["transfer"] == {"to": TO, "status": "completed"}
        assert api.line.asked == []
    else:
        assert found["transfer"] == {"to": TO, "status": "failed", "reason": "user_busy"}
        assert api.line.asked == [("restream", call["provider_call_id"])]
