"""The same call asked for again, and calls that change while they are placed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.api.calling import (
    NUMBER,
    TO,
    connected,
    dial,
    dialled,
    error,
    events,
    get,
    on_the_line,
    session,
)
from tests.api.conftest import Api

from kallglot.carriers.callbacks import CallChange
from kallglot.carriers.client import CarrierError, Order


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
