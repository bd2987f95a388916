"""Calls over REST: placing them, looking at them, and whose they are."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.calling import (
    CONTROLS,
    NUMBER,
    TELNYX,
    TO,
    becomes,
    connected,
    connection,
    dial,
    dialled,
    error,
    events,
    get,
    number,
    on_the_line,
    session,
)
from tests.api.conftest import Api

from kallglot.carriers.client import CarrierError


async def test_a_call_is_placed(api: Api) -> None:
    through = await connected(api)
    of = await session(api)
    call = await dialled(
        api,
        of["id"],
        from_=NUMBER,
        participant="agent",
        timeout_seconds=25,
        send_digits="12w#",
        machine_detection=True,
    )
    (order,) = api.line.orders
    agent = next(one["id"] for one in of["participants"] if one["role"] == "agent")
    base = f"http://testserver/v1/carriers/twilio/{through}/calls/{call['id']}"
    assert (order.call_id, order.to, order.from_) == (call["id"], TO, NUMBER)
    assert (order.answer_url, order.status_url, order.amd_url) == (f"{base}/stream", f"{base}/status", f"{base}/amd")
    assert (order.timeout_seconds, order.send_digits, order.machine_detection) == (25, "12w#", True)
    assert order.stream.url == f"ws://testserver/v1/sessions/{of['id']}/connect"
    assert api.services.tokens.check(order.stream.parameters["token"], of["id"]) == "ok"
    assert order.stream.parameters["token"].startswith("kst_live_")
    assert {**order.stream.parameters, "token": ""} == {"token": "", "call": call["id"], "participant": agent}
    assert call == {
        "id": call["id"],
        "object": "call",
        "session_id": of["id"],
        "provider": "twilio",
        "connection_id": through,
        "provider_call_id": f"CA{call['id'][-26:]}",
        "direction": "outbound",
        "status": "queued",
        "from": NUMBER,
        "to": TO,
        "participant_id": agent,
        "held": False,
        "muted": False,
        "answered_by": None,
        "hangup_cause": None,
        "transfer": None,
        "duration_seconds": None,
        "livemode": True,
        "created_at": "2026-03-26T11:00:00Z",
        "answered_at": None,
        "ended_at": None,
    }
    assert call["id"].startswith("call_")
    assert await get(api, f"/v1/calls/{call['id']}") == call
    listed = await get(api, f"/v1/sessions/{of['id']}/calls")
    assert listed == {
        "object": "list",
        "url": f"/v1/sessions/{of['id']}/calls",
        "has_more": False,
        "data": [call],
    }
    assert await events(api, of["id"]) == ["connecting"]


async def test_what_an_order_is_where_nothing_is_said(api: Api) -> None:
    through = await connected(api, TELNYX)
    of = await session(api, routing={"phone_number": NUMBER, "direction": "outbound"})
    call = await dialled(api, of["id"])
    (order,) = api.line.orders
    customer = next(one["id"] for one in of["participants"] if one["role"] == "customer")
    assert (order.from_, order.timeout_seconds, order.send_digits, order.machine_detection) == (NUMBER, 60, None, False)
    assert order.status_url == f"http://testserver/v1/carriers/telnyx/{through}/events"
    assert order.stream.parameters["bidirectional_mode"] == "rtp"
    assert (call["provider"], call["participant_id"]) == ("telnyx", customer)


async def test_the_number_of_the_session_goes_before_none(api: Api) -> None:
    through = await connected(api)
    await number(api, through, "+14155550111")
    of = await session(api, routing={"phone_number": NUMBER})
    assert (await dialled(api, of["id"]))["from"] == NUMBER
    assert (await dialled(api, of["id"], from_="+14155550111"))["from"] == "+14155550111"


async def test_by_which_connection(api: Api) -> None:
    first = await connection(api, name="default")
    second = await connection(api, name="of the number", default=False)
    third = await connection(api, name="of the session", default=False)
    await number(api, second)
    plain, routed = await session(api), await session(api, routing={"connection_id": third})
    assert (await dialled(api, plain["id"], from_=NUMBER))["connection_id"] == second
    assert (await dialled(api, routed["id"], from_=NUMBER))["connection_id"] == third
    await api.call("PATCH", f"/v1/connections/{third}", {"active": False})
    assert (await dialled(api, routed["id"], from_=NUMBER))["connection_id"] == second
    await api.call("PATCH", f"/v1/connections/{second}", {"active": False})
    assert (await dialled(api, plain["id"], from_=NUMBER))["connection_id"] == first
    await api.call("PATCH", f"/v1/connections/{first}", {"active": False})
    assert error(await dial(api, plain["id"], from_=NUMBER)) == (400, "routing_unavailable", "from")
    assert len(api.line.orders) == 4


async def test_for_whom(api: Api) -> None:
    await connected(api)
    people = [{"role": "customer", "language": "de"}, {"role": "customer", "language": "es"}, {"role": "agent"}]
    of = await session(api, participants=people)
    ids = [one["id"] for one in of["participants"]]
    for named, expected in ((None, ids[0]), ("customer", ids[0]), ("agent", ids[2]), (ids[1], ids[1])):
        call = await dialled(api, of["id"], from_=NUMBER, **({} if named is None else {"participant": named}))
        assert call["participant_id"] == expected
    agents = await session(api, participants=[{"role": "agent", "language": "en"}])
    assert (await dialled(api, agents["id"], from_=NUMBER))["participant_id"] == agents["participants"][0]["id"]
    wrong = await dial(api, agents["id"], from_=NUMBER, participant="customer")
    assert error(wrong) == (400, "invalid_field_value", "participant")
    assert error(await dial(api, of["id"], from_=NUMBER, participant=agents["participants"][0]["id"])) == (
        400,
        "invalid_field_value",
        "participant",
    )


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({}, "missing_required_field", "to"),
        ({"to": None}, "invalid_field_value", "to"),
        ({"to": "030 901820"}, "invalid_phone_number", "to"),
        ({"to": "+0123456"}, "invalid_phone_number", "to"),
        ({"to": "+49309018٢"}, "invalid_phone_number", "to"),
        ({"to": "sip:a@example.com"}, "invalid_phone_number", "to"),
        ({"to": TO, "from": "4155550100"}, "invalid_phone_number", "from"),
        ({"to": TO, "from": "+14155559999"}, "routing_unavailable", "from"),
        ({"to": TO, "participant": "boss"}, "invalid_field_value", "participant"),
        ({"to": TO, "participant": ""}, "invalid_field_value", "participant"),
        ({"to": TO, "timeout_seconds": 4}, "invalid_field_value", "timeout_seconds"),
        ({"to": TO, "timeout_seconds": 601}, "invalid_field_value", "timeout_seconds"),
        ({"to": TO, "timeout_seconds": "30"}, "invalid_field_value", "timeout_seconds"),
        ({"to": TO, "send_digits": ""}, "invalid_field_value", "send_digits"),
        ({"to": TO, "send_digits": "1x"}, "invalid_field_value", "send_digits"),
        ({"to": TO, "send_digits": "1\n"}, "invalid_field_value", "send_digits"),
        ({"to": TO, "send_digits": "1" * 33}, "invalid_field_value", "send_digits"),
        ({"to": TO, "machine_detection": "yes"}, "invalid_field_value", "machine_detection"),
        ({"to": TO, "record": True}, "unknown_field", "record"),
        ({"to": TO}, "missing_required_field", "from"),
    ],
)
async def test_calls_that_cannot_be(api: Api, body: dict[str, Any], code: str, param: str) -> None:
    await connected(api)
    of = await session(api)
    response = await api.call("POST", f"/v1/sessions/{of['id']}/dial", body)
    assert error(response) == (400, code, param), response.text
    assert api.line.orders == []
    assert (await get(api, f"/v1/sessions/{of['id']}/calls"))["data"] == []
    assert await events(api, of["id"]) == []


async def test_without_a_connection_or_with_one_that_cannot_dial(api: Api) -> None:
    of = await session(api)
    assert error(await dial(api, of["id"])) == (400, "routing_unavailable", "from")
    by_texml = {name: value for name, value in TELNYX.items() if name != "call_control_app_id"}
    await connected(api, by_texml, texml_app_id="15")
    assert error(await dial(api, of["id"], from_=NUMBER)) == (400, "routing_unavailable", "from")
    assert api.line.orders == []


async def test_a_number_of_somebody_else_or_that_is_not_active(api: Api) -> None:
    await connection(api)
    stranger = await api.tenant()
    theirs = await connection(api, key=stranger)
    other = await number(api, theirs, key=stranger)
    of = await session(api)
    assert error(await dial(api, of["id"], from_=NUMBER)) == (400, "routing_unavailable", "from")
    await api.call("PATCH", f"/v1/phone_numbers/{other['id']}", {"active": False}, key=stranger)
    their_session = await session(api, key=stranger)
    assert error(await dial(api, their_session["id"], from_=NUMBER, key=stranger)) == (
        400,
        "routing_unavailable",
        "from",
    )
    assert api.line.orders == []


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        ("21211", (400, "invalid_phone_number", "to")),
        ("21217", (400, "invalid_phone_number", "to")),
        ("10016", (400, "invalid_phone_number", "to")),
        ("21210", (502, "carrier_error", None)),
        (None, (502, "carrier_error", None)),
    ],
)
async def test_a_carrier_that_refuses(api: Api, code: str | None, answer: tuple[int, str, str | None]) -> None:
    await connected(api)
    of = await session(api)
    api.line.refuses = CarrierError("They said no.", code=code, status=400)
    response = await dial(api, of["id"], from_=NUMBER)
    assert error(response) == answer
    assert response.json()["error"]["message"] == "They said no."
    (call,) = (await get(api, f"/v1/sessions/{of['id']}/calls"))["data"]
    assert (call["status"], call["hangup_cause"], call["provider_call_id"]) == ("failed", code or "carrier_error", None)
    assert (call["answered_at"], call["ended_at"], call["duration_seconds"]) == (None, "2026-03-26T11:00:00Z", 0)
    assert await events(api, of["id"]) == ["connecting", "failed"]


async def test_a_session_that_has_ended(api: Api) -> None:
    await connected(api)
    of = await session(api)
    await api.call("POST", f"/v1/sessions/{of['id']}/end")
    assert error(await dial(api, of["id"], from_=NUMBER)) == (409, "session_already_ended", None)
    assert api.line.orders == []


async def test_a_session_that_ends_hangs_up(api: Api) -> None:
    call, _ = await on_the_line(api)
    await api.call("POST", f"/v1/sessions/{call['session_id']}/end")
    await becomes(api, call["id"], "completed")
    assert api.line.asked == [("hang_up", call["provider_call_id"])]
    assert await events(api, call["session_id"]) == ["connecting", "connected", "disconnected"]


async def test_a_session_that_ends_has_its_calls_over_whatever_the_carrier_says(api: Api) -> None:
    call, _ = await on_the_line(api)
    api.line.refuses = CarrierError("down")
    await api.call("POST", f"/v1/sessions/{call['session_id']}/end")
    assert (await becomes(api, call["id"], "completed"))["hangup_cause"] == "session_ended"


async def test_nobody_reaches_anothers_calls(api: Api) -> None:
    call, live = await on_the_line(api)
    strangers = [await api.tenant(), await api.key(livemode=False)]
    orders, asked = len(api.line.orders), len(api.line.asked)
    sessions: list[tuple[str, str, Any]] = [
        ("POST", f"/v1/sessions/{call['session_id']}/dial", {"to": TO, "from": NUMBER}),
        ("GET", f"/v1/sessions/{call['session_id']}/calls", None),
    ]
    calls: list[tuple[str, str, Any]] = [("GET", f"/v1/calls/{call['id']}", None)]
    calls += [("POST", f"/v1/calls/{call['id']}/{what}", body) for what, body in [*CONTROLS, ("hangup", None)]]
    for stranger in strangers:
        for routes, code in ((sessions, "session_not_found"), (calls, "call_not_found")):
            for method, path, body in routes:
                response = await api.call(method, path, body, key=stranger)
                assert error(response) == (404, code, None), path
                assert TO not in response.text
    assert (len(api.line.orders), len(api.line.asked)) == (orders, asked)
    assert await get(api, f"/v1/calls/{call['id']}") == call
    assert not live.find("customer").muted  # type: ignore[union-attr]


@pytest.mark.parametrize("wrong", ["call_", "call_%00", "x" * 65, "%F0%9F%98%80", "..%2f..", "' OR 1=1", "call_1%0A"])
async def test_ids_that_are_none(api: Api, wrong: str) -> None:
    for what, body in [*CONTROLS, ("hangup", None)]:
        assert (await api.call("POST", f"/v1/calls/{wrong}/{what}", body)).status_code == 404
    assert (await api.call("GET", f"/v1/calls/{wrong}")).status_code == 404
    for path in (f"/v1/sessions/{wrong}/dial", f"/v1/sessions/{wrong}/calls"):
        method = "POST" if path.endswith("dial") else "GET"
        assert (await api.call(method, path, {"to": TO} if method == "POST" else None)).status_code == 404


async def test_scopes(api: Api) -> None:
    call, _ = await on_the_line(api)
    reader = await api.key(scopes=("sessions:read",))
    assert (await api.call("GET", f"/v1/calls/{call['id']}", key=reader)).status_code == 200
    for what, body in [*CONTROLS, ("hangup", None)]:
        response = await api.call("POST", f"/v1/calls/{call['id']}/{what}", body, key=reader)
        assert error(response)[:2] == (403, "insufficient_permissions")
    response = await dial(api, call["session_id"], from_=NUMBER, key=reader)
    assert error(response)[:2] == (403, "insufficient_permissions")
    assert (await api.call("GET", f"/v1/calls/{call['id']}", key="sk_live_none")).status_code == 401
