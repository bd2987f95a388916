"""Calls over REST: placing them, looking at them, controlling them, with a carrier that is played by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from tests.api.conftest import Api

from kallglot.carriers.callbacks import CallChange
from kallglot.carriers.client import CarrierError, Order
from kallglot.carriers.model import Call
from kallglot.carriers.simulated import INVALID, MACHINE, OUTCOMES, SimulatedLeg
from kallglot.ids import CALL, new_id
from kallglot.session.live import LiveSession
from kallglot.store import SqlCalls

NUMBER = "+14155550100"
TO = "+4930901820"
ACCOUNT = "AC" + "0123456789abcdef" * 2
TWILIO = {"carrier": "twilio", "account_sid": ACCOUNT, "auth_token": "geheim"}
TELNYX = {"carrier": "telnyx", "api_key": "geheim", "require_signature": False, "call_control_app_id": "1494404757"}
PAIR = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en"}
CONTROLS: list[tuple[str, Any]] = [
    ("hold", None),
    ("unhold", None),
    ("mute", None),
    ("unmute", None),
    ("dtmf", {"digits": "1"}),
    ("transfer", {"to": TO}),
    ("transfer", {"to": TO, "type": "warm"}),
]


async def made(api: Api, path: str, body: dict[str, Any], *, key: str | None = None) -> dict[str, Any]:
    response = await api.call("POST", path, body, key=key)
    assert response.status_code == 201, response.text
    return response.json()


async def connection(api: Api, body: dict[str, Any] = TWILIO, *, key: str | None = None, **fields: Any) -> str:
    return (await made(api, "/v1/connections", body | fields, key=key))["id"]


async def number(api: Api, connection_id: str, number: str = NUMBER, *, key: str | None = None) -> dict[str, Any]:
    return await made(api, "/v1/phone_numbers", {"number": number, "connection_id": connection_id}, key=key)


async def connected(api: Api, body: dict[str, Any] = TWILIO, **fields: Any) -> str:
    """A connection that has a number."""
    made_id = await connection(api, body, **fields)
    await number(api, made_id)
    return made_id


async def session(api: Api, *, key: str | None = None, **fields: Any) -> dict[str, Any]:
    return await made(api, "/v1/sessions", PAIR | fields, key=key)


async def dial(
    api: Api, session_id: str, *, key: str | None = None, idempotent: str | None = None, **fields: Any
) -> httpx.Response:
    headers = {} if idempotent is None else {"Idempotency_Key": idempotent}
    body = {"to": TO} | {name.rstrip("_"): value for name, value in fields.items()}
    return await api.call("POST", f"/v1/sessions/{session_id}/dial", body, key=key, **headers)


async def dialled(api: Api, session_id: str, **fields: Any) -> dict[str, Any]:
    response = await dial(api, session_id, **fields)
    assert response.status_code == 202, response.text
    return response.json()


def error(response: httpx.Response) -> tuple[int, str, str | None]:
    found = response.json()["error"]
    return response.status_code, found["code"], found["param"]


async def events(api: Api, session_id: str, *, key: str | None = None) -> list[str]:
    found = (await api.call("GET", f"/v1/events?session_id={session_id}&limit=100", key=key)).json()["data"]
    kinds = [one["type"] for one in reversed(found)]
    return [kind.removeprefix("session.provider.") for kind in kinds if kind.startswith("session.provider.")]


async def get(api: Api, path: str, *, key: str | None = None) -> dict[str, Any]:
    response = await api.call("GET", path, key=key)
    assert response.status_code == 200, response.text
    return response.json()


async def becomes(api: Api, call_id: str, *statuses: str, key: str | None = None) -> dict[str, Any]:
    """What happens behind the request is known by what it leaves in the database."""
    async with asyncio.timeout(30):
        while True:
            call = await get(api, f"/v1/calls/{call_id}", key=key)
            if call["status"] in statuses:
                return call


def kept(api: Api) -> SqlCalls:
    return SqlCalls(api.store.database, api.store.cipher)


async def told(api: Api, call_id: str, status: Any, **fields: Any) -> None:
    assert api.services.exchange is not None
    await api.services.exchange.told_of(call_id, CallChange("", status, **fields))


async def leg(api: Api, session_id: str, participant: str = "customer", *, livemode: bool = True) -> LiveSession:
    return await api.board.connect(session_id, livemode, SimulatedLeg(participant).bound)


async def on_the_line(api: Api, **fields: Any) -> tuple[dict[str, Any], LiveSession]:
    """A live call that is in progress, and its live session."""
    await connected(api)
    of = await session(api)
    call = await dialled(api, of["id"], from_=NUMBER, **fields)
    live = await leg(api, of["id"])
    await told(api, call["id"], "in_progress")
    return await get(api, f"/v1/calls/{call['id']}"), live


# Placing


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


# The same request again


async def test_the_same_key_twice_is_one_call(api: Api) -> None:
    await connected(api)
    of = await session(api)
    first = await dial(api, of["id"], from_=NUMBER, idempotent="one")
    second = await dial(api, of["id"], from_=NUMBER, idempotent="one")
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json() == second.json()
    assert second.headers["idempotent-replayed"] == "true"
    assert len(api.line.orders) == 1
    other = await dial(api, of["id"], from_=NUMBER, idempotent="two")
    assert other.json()["id"] != first.json()["id"]
    mismatch = await dial(api, of["id"], from_=NUMBER, idempotent="one", timeout_seconds=7)
    assert error(mismatch)[:2] == (400, "idempotency_mismatch")
    assert len(api.line.orders) == 2
    assert await events(api, of["id"]) == ["connecting", "connecting"]


async def test_twenty_at_once_with_one_key_are_one_call(api: Api) -> None:
    await connected(api)
    of = await session(api)
    answers = await asyncio.gather(*(dial(api, of["id"], from_=NUMBER, idempotent="one") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1
    assert len(api.line.orders) == 1
    assert await events(api, of["id"]) == ["connecting"]


def crashing(api: Api, monkeypatch: pytest.MonkeyPatch, *, when: Callable[[Order], None]) -> None:
    """The process dies while it asks the carrier: nothing is tidied up."""
    real = api.line.dial

    async def dies(order: Order) -> str:
        when(order)
        monkeypatch.setattr(api.line, "dial", real)
        raise RuntimeError("killed")

    async def nothing(*_: Any) -> None:
        pass

    monkeypatch.setattr(api.line, "dial", dies)
    monkeypatch.setattr(api.services.idempotency, "_release", nothing)


async def test_a_crash_between_the_row_and_the_carrier(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await connected(api)
    of = await session(api)
    crashing(api, monkeypatch, when=lambda _: None)
    assert (await dial(api, of["id"], from_=NUMBER, idempotent="one")).status_code == 500
    (left,) = (await get(api, f"/v1/sessions/{of['id']}/calls"))["data"]
    assert (left["status"], left["provider_call_id"]) == ("queued", None)
    api.clock.advance(61)
    again = await dialled(api, of["id"], from_=NUMBER, idempotent="one")
    assert again["id"] == left["id"]
    assert [order.call_id for order in api.line.orders] == [left["id"]]
    assert len((await get(api, f"/v1/sessions/{of['id']}/calls"))["data"]) == 1
    assert await events(api, of["id"]) == ["connecting"]


async def test_a_crash_after_the_carrier_repeats_the_same_order(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its id the carrier's client knows it for the same: Telnyx's command_id, Twilio's list of calls."""
    await connected(api)
    of = await session(api)
    crashing(api, monkeypatch, when=api.line.orders.append)
    assert (await dial(api, of["id"], from_=NUMBER, idempotent="one")).status_code == 500
    api.clock.advance(61)
    again = await dialled(api, of["id"], from_=NUMBER, idempotent="one")
    assert {order.call_id for order in api.line.orders} == {again["id"]}
    assert len((await get(api, f"/v1/sessions/{of['id']}/calls"))["data"]) == 1


async def test_a_refusal_is_not_turned_into_a_success_by_asking_again(api: Api) -> None:
    await connected(api)
    of = await session(api)
    api.line.refuses = CarrierError("No such number.", code="21211", status=400)
    first = await dial(api, of["id"], from_=NUMBER, idempotent="one")
    second = await dial(api, of["id"], from_=NUMBER, idempotent="one")
    assert error(first) == error(second) == (400, "invalid_phone_number", "to")
    (left,) = (await get(api, f"/v1/sessions/{of['id']}/calls"))["data"]
    assert left["status"] == "failed"
    api.line.refuses = None
    call = await dialled(api, of["id"], from_=NUMBER, idempotent="one")
    assert (call["id"], call["status"], call["ended_at"]) == (left["id"], "queued", None)
    assert len(api.line.orders) == 3


async def test_an_order_of_which_nobody_knows_is_not_placed_again(api: Api) -> None:
    await connected(api)
    of = await session(api)
    api.line.refuses = CarrierError("No answer.", unclear=True)
    for _ in range(2):
        answer = await dial(api, of["id"], from_=NUMBER, idempotent="one")
        assert error(answer) == (502, "carrier_error", None)
        api.line.refuses = None
    assert len(api.line.orders) == 1
    assert len((await get(api, f"/v1/sessions/{of['id']}/calls"))["data"]) == 1


async def test_a_refused_request_that_was_put_right_dials(api: Api) -> None:
    """Nothing is remembered of what was refused: the key may be used for another body."""
    await connected(api)
    of = await session(api)
    api.line.refuses = CarrierError("No such number.", code="21211", status=400)
    assert (await dial(api, of["id"], from_=NUMBER, idempotent="one")).status_code == 400
    api.line.refuses = None
    call = await dialled(api, of["id"], from_=NUMBER, idempotent="one", to="+4930901821")
    assert (call["to"], call["status"]) == ("+4930901821", "queued")
    assert [order.to for order in api.line.orders] == [TO, "+4930901821"]


async def test_one_key_for_a_dial_and_a_transfer_is_two_calls(api: Api) -> None:
    call, _ = await on_the_line(api, idempotent="one")
    warm = {"to": "+4930901821", "type": "warm", "from": NUMBER}
    second = await api.call("POST", f"/v1/calls/{call['id']}/transfer", warm, Idempotency_Key="one")
    assert (second.status_code, second.json()["to"]) == (200, "+4930901821")
    assert second.json()["id"] != call["id"]
    assert [order.to for order in api.line.orders] == [TO, "+4930901821"]


async def test_calls_are_listed_newest_first(api: Api) -> None:
    await connected(api)
    of = await session(api)
    made: list[str] = []
    for n in range(8):
        made.insert(0, (await dialled(api, of["id"], from_=NUMBER, idempotent=f"key-{n}"))["id"])
        api.clock.advance(1)
    listed = (await get(api, f"/v1/sessions/{of['id']}/calls"))["data"]
    assert [one["id"] for one in listed] == made


async def test_a_call_that_is_hung_up_while_it_is_placed(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await connected(api)
    of = await session(api)
    asked, answered = asyncio.Event(), asyncio.Event()
    real = api.line.dial

    async def slow(order: Order) -> str:
        asked.set()
        await answered.wait()
        return await real(order)

    monkeypatch.setattr(api.line, "dial", slow)
    placing = asyncio.create_task(dial(api, of["id"], from_=NUMBER))
    await asked.wait()
    (call,) = (await get(api, f"/v1/sessions/{of['id']}/calls"))["data"]
    hung_up = (await api.call("POST", f"/v1/calls/{call['id']}/hangup")).json()
    assert hung_up["status"] == "canceled"
    answered.set()
    placed = (await placing).json()
    assert (placed["status"], placed["provider_call_id"]) == ("canceled", f"CA{call['id'][-26:]}")
    assert api.line.asked == [("hang_up", placed["provider_call_id"])]


async def test_callbacks_that_come_before_the_carriers_answer(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await connected(api)
    of = await session(api)
    real = api.line.dial

    async def late(order: Order) -> str:
        assert api.services.exchange is not None
        sid = await real(order)
        await api.services.exchange.told_of(order.call_id, CallChange(sid, "busy", hangup_cause="busy"))
        return sid

    monkeypatch.setattr(api.line, "dial", late)
    call = await dialled(api, of["id"], from_=NUMBER)
    assert (call["status"], call["provider_call_id"]) == ("busy", f"CA{call['id'][-26:]}")
    assert api.line.asked == []
    assert await events(api, of["id"]) == ["connecting", "failed"]


# Whose


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


# Test keys


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


# Control


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
