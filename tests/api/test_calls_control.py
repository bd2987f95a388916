"""Controlling calls over REST, with a carrier that is played by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.api.calling import (
    CONTROLS,
    NUMBER,
    TO,
    connected,
    dialled,
    error,
    events,
    get,
    kept,
    leg,
    on_the_line,
    session,
    told,
)
from tests.api.conftest import Api

from kallglot.carriers.client import CarrierError
from kallglot.carriers.model import Call
from kallglot.ids import CALL, new_id


async def test_hold_and_mute(api: Api) -> None:
    call, live = await on_the_line(api)
    path = f"/v1/calls/{call['id']}"
    for _ in range(2):
        held = await api.call("POST", f"{path}/hold")
        assert (held.status_code, held.json()) == (200, call | {"held": True})
    assert live._speakers[call["participant_id"]].held  # pyright: ignore[reportPrivateUsage]
    assert (await get(api, path))["held"]
    for _ in range(2):
        assert (await api.call("POST", f"{path}/unhold")).json() == call
    assert not live._speakers[call["participant_id"]].held  # pyright: ignore[reportPrivateUsage]
    assert (await api.call("POST", f"{path}/mute")).json() == call | {"muted": True}
    assert live.find("customer").muted  # type: ignore[union-attr]
    assert (await api.call("POST", f"{path}/unmute", {})).json() == call
    assert not live.find("customer").muted  # type: ignore[union-attr]
    assert api.line.asked == []


@pytest.mark.parametrize("by_carrier", [True, False])
async def test_digits(api: Api, monkeypatch: pytest.MonkeyPatch, by_carrier: bool) -> None:
    call, live = await on_the_line(api)
    tones: list[tuple[str, str]] = []
    monkeypatch.setattr(live, "send_digits", lambda who, digits: tones.append((who, digits)))
    api.line.sends_digits = by_carrier
    response = await api.call("POST", f"/v1/calls/{call['id']}/dtmf", {"digits": "1wW#*aD"})
    assert (response.status_code, response.json()) == (200, call)
    assert api.line.asked == [("digits 1wW#*aD", call["provider_call_id"])]
    assert tones == ([] if by_carrier else [(call["participant_id"], "1wW#*aD")])


@pytest.mark.parametrize("digits", ["", "1e", "1 2", "1" * 33, None, 12, "１"])
async def test_what_are_no_digits(api: Api, digits: Any) -> None:
    call, _ = await on_the_line(api)
    response = await api.call("POST", f"/v1/calls/{call['id']}/dtmf", {"digits": digits})
    assert error(response) == (400, "invalid_field_value", "digits")
    assert api.line.asked == []


async def test_a_blind_transfer(api: Api) -> None:
    call, _ = await on_the_line(api)
    path = f"/v1/calls/{call['id']}"
    response = await api.call("POST", f"{path}/transfer", {"to": TO, "from": NUMBER, "timeout_seconds": 20})
    assert response.json() == call | {"transfer": {"to": TO, "status": "started"}}
    where = f"http://testserver/v1/carriers/twilio/{call['connection_id']}/calls/{call['id']}/transferred"
    assert api.line.asked == [(f"transfer {TO} {where}", call["provider_call_id"])]


async def test_a_blind_transfer_that_the_carrier_refuses(api: Api) -> None:
    call, _ = await on_the_line(api)
    path = f"/v1/calls/{call['id']}"
    api.line.refuses = CarrierError("They said no.", code="21217", status=400)
    response = await api.call("POST", f"{path}/transfer", {"to": TO})
    assert error(response) == (400, "invalid_phone_number", "to")
    assert await get(api, path) == call | {"transfer": {"to": TO, "status": "failed"}}


async def test_a_warm_transfer_calls_somebody_in(api: Api) -> None:
    call, _ = await on_the_line(api)
    path = f"/v1/calls/{call['id']}/transfer"
    response = await api.call("POST", path, {"to": "+4930901821", "type": "warm", "from": NUMBER})
    second = response.json()
    assert (response.status_code, second["status"], second["to"]) == (200, "queued", "+4930901821")
    assert (second["session_id"], second["participant_id"]) == (call["session_id"], call["participant_id"])
    assert [(order.to, order.timeout_seconds) for order in api.line.orders] == [(TO, 60), ("+4930901821", 30)]
    assert (await get(api, f"/v1/calls/{call['id']}"))["status"] == "in_progress"
    assert api.line.asked == []
    for body, wrong in (
        ({"to": "+4930901821", "type": "warm"}, (400, "missing_required_field", "from")),
        ({"to": TO, "type": "warm", "from": "+14155559999"}, (400, "routing_unavailable", "from")),
    ):
        assert error(await api.call("POST", path, body)) == wrong


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({}, "missing_required_field", "to"),
        ({"to": "1"}, "invalid_phone_number", "to"),
        ({"to": TO, "type": "cold"}, "invalid_field_value", "type"),
        ({"to": TO, "timeout_seconds": 1}, "invalid_field_value", "timeout_seconds"),
        ({"to": TO, "participant": "agent"}, "unknown_field", "participant"),
    ],
)
async def test_transfers_that_cannot_be(api: Api, body: dict[str, Any], code: str, param: str) -> None:
    call, _ = await on_the_line(api)
    response = await api.call("POST", f"/v1/calls/{call['id']}/transfer", body)
    assert error(response) == (400, code, param)
    assert api.line.asked == []


async def test_hanging_up(api: Api) -> None:
    call, _ = await on_the_line(api)
    path = f"/v1/calls/{call['id']}"
    api.clock.advance(12.5)
    ended = (await api.call("POST", f"{path}/hangup")).json()
    assert (ended["status"], ended["hangup_cause"], ended["duration_seconds"]) == ("completed", "hangup", 12.5)
    assert (await api.call("POST", f"{path}/hangup")).json() == ended
    assert api.line.asked == [("hang_up", call["provider_call_id"])]
    assert await events(api, call["session_id"]) == ["connecting", "connected", "disconnected"]


async def test_hanging_up_what_rings(api: Api) -> None:
    await connected(api)
    of = await session(api)
    call = await dialled(api, of["id"], from_=NUMBER)
    ended = (await api.call("POST", f"/v1/calls/{call['id']}/hangup")).json()
    assert (ended["status"], ended["answered_at"]) == ("canceled", None)
    assert api.line.asked == [("hang_up", call["provider_call_id"])]
    assert await events(api, of["id"]) == ["connecting", "failed"]


async def test_a_hangup_that_the_carrier_refuses(api: Api) -> None:
    call, _ = await on_the_line(api)
    path = f"/v1/calls/{call['id']}"
    api.line.refuses = CarrierError("They said no.")
    assert error(await api.call("POST", f"{path}/hangup")) == (502, "carrier_error", None)
    assert (await get(api, path))["status"] == "in_progress"


@pytest.mark.parametrize(("what", "body"), CONTROLS)
async def test_a_call_that_is_not_active(api: Api, what: str, body: Any) -> None:
    await connected(api)
    of = await session(api)
    call = await dialled(api, of["id"], from_=NUMBER)
    await leg(api, of["id"])
    path = f"/v1/calls/{call['id']}"
    for status in (None, "ringing", "completed"):
        if status is not None:
            await told(api, call["id"], status)
        assert error(await api.call("POST", f"{path}/{what}", body)) == (409, "call_not_active", None)
    assert (len(api.line.orders), api.line.asked) == (1, [])
    found = await get(api, path)
    assert (found["held"], found["muted"], found["transfer"]) == (False, False, None)


async def test_a_call_whose_session_nobody_is_in(api: Api) -> None:
    await connected(api)
    of = await session(api)
    call = await dialled(api, of["id"], from_=NUMBER)
    await told(api, call["id"], "in_progress")
    for what, body in CONTROLS[:5]:
        response = await api.call("POST", f"/v1/calls/{call['id']}/{what}", body)
        assert error(response) == (409, "call_not_active", None), what


async def test_control_with_a_key_is_done_once(api: Api) -> None:
    call, _ = await on_the_line(api)
    path = f"/v1/calls/{call['id']}/transfer"
    answers = [await api.call("POST", path, {"to": TO}, Idempotency_Key="k") for _ in range(3)]
    assert len({answer.text for answer in answers}) == 1
    assert len(api.line.asked) == 1


async def test_a_call_that_the_customer_brought(api: Api) -> None:
    """Without a connection there is nobody to ask: what goes through its stream goes, the rest is refused."""
    of = await session(api)
    customer = of["participants"][0]["id"]
    organization = (await api.organization()).id
    at = api.clock.now()
    brought = Call(new_id(CALL), of["id"], organization, True, "twilio", "inbound", "in_progress", at, None, "CA1")
    await kept(api).add(replace(brought, participant_id=customer, answered_at=at))
    live = await leg(api, of["id"])
    path = f"/v1/calls/{brought.id}"
    assert (await api.call("POST", f"{path}/hold")).json()["held"]
    assert (await api.call("POST", f"{path}/dtmf", {"digits": "1"})).status_code == 200
    refused = await api.call("POST", f"{path}/transfer", {"to": TO})
    assert error(refused) == (502, "carrier_error", None)
    assert (await api.call("POST", f"{path}/hangup")).json()["status"] == "completed"
    assert live.has_legs
    assert (api.line.asked, api.line.orders) == ([], [])


async def test_a_server_without_carriers(api: Api) -> None:
    call, _ = await on_the_line(api)
    object.__setattr__(api.services, "exchange", None)
    for what in ("hangup", "hold"):
        response = await api.call("POST", f"/v1/calls/{call['id']}/{what}")
        assert error(response)[:2] == (503, "unavailable")
    assert (await api.call("GET", f"/v1/calls/{call['id']}")).status_code == 200
