"""Calls that come in, and who may tell of them."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlencode

import pytest
from nacl.signing import SigningKey
from tests.api.calling import NUMBER, PAIR, TWILIO, connection, dialled, events, get, session
from tests.api.conftest import Api
from tests.api.signing import (
    CALLER,
    FORM,
    INCOMING,
    SID,
    TELNYX,
    TOKEN,
    asked,
    came_in,
    event,
    nothing_told,
    notified,
    only_call,
    ready,
    sessions,
    streamed,
)
from twilio.request_validator import RequestValidator


async def test_a_call_comes_in(api: Api) -> None:
    through = await ready(api)
    before = await api.organization()
    response = await asked(api, f"/v1/carriers/twilio/{through}/voice", INCOMING)
    (of,) = await sessions(api)
    call = await only_call(api)
    url, parameters, afterwards = streamed(response)
    assert url == f"ws://testserver/v1/sessions/{of['id']}/connect"
    assert (parameters["call"], api.services.tokens.check(parameters["token"], of["id"])) == (call["id"], "ok")
    assert afterwards == f"http://testserver/v1/carriers/twilio/{through}/calls/{call['id']}/stream"
    assert (of["provider"], of["phone_number"], of["mode"], of["status"]) == ("twilio", NUMBER, PAIR["mode"], "created")
    assert of["call"]["id"] == call["id"]
    assert (call["provider_call_id"], call["direction"], call["status"]) == (SID, "inbound", "ringing")
    assert (call["from"], call["to"], call["connection_id"]) == (CALLER, NUMBER, through)
    assert await events(api, of["id"]) == ["connecting"]
    assert (await api.organization()).credits_remaining == before.credits_remaining - 1


async def test_a_texml_call_comes_in(api: Api) -> None:
    through = await ready(api, TELNYX)
    body = urlencode(INCOMING | {"CallSid": "v3:one"}).encode()
    response = await notified(api, f"/v1/carriers/telnyx/{through}/voice", body)
    _, parameters, _ = streamed(response)
    call = await only_call(api)
    assert (parameters["call"], call["provider"], call["provider_call_id"]) == (call["id"], "telnyx", "v3:one")
    told = urlencode({"CallSid": "v3:one", "CallStatus": "completed"}).encode()
    assert (await notified(api, f"/v1/carriers/telnyx/{through}/status", told)).status_code == 204
    assert (await get(api, f"/v1/calls/{call['id']}"))["status"] == "completed"


async def test_asked_again_it_answers_the_same(api: Api) -> None:
    through = await ready(api)
    path = f"/v1/carriers/twilio/{through}/voice"
    before = (await api.organization()).credits_remaining
    answers = [await asked(api, path, INCOMING) for _ in range(3)]
    answers += await asyncio.gather(*(asked(api, path, INCOMING) for _ in range(20)))
    assert len({(streamed(one)[0], streamed(one)[2]) for one in answers}) == 1
    assert len(await sessions(api)) == 1
    assert (await api.organization()).credits_remaining == before - 1


async def test_twenty_at_once_are_one_session_and_one_credit(api: Api) -> None:
    through = await ready(api)
    before = (await api.organization()).credits_remaining
    path = f"/v1/carriers/twilio/{through}/voice"
    answers = await asyncio.gather(*(asked(api, path, INCOMING) for _ in range(20)))
    assert len({streamed(one)[0] for one in answers}) == 1
    call = await only_call(api)
    assert await events(api, call["session_id"]) == ["connecting"]
    assert (await api.organization()).credits_remaining == before - 1


async def test_another_call_is_another_session(api: Api) -> None:
    through = await ready(api)
    path = f"/v1/carriers/twilio/{through}/voice"
    for n in range(2):
        streamed(await asked(api, path, INCOMING | {"CallSid": f"CA{n}"}))
    assert len(await sessions(api)) == 2


async def test_the_query_and_the_parameters_of_a_url_are_signed_too(api: Api) -> None:
    through = await ready(api)
    streamed(await asked(api, f"/v1/carriers/twilio/{through}/voice?a=1&b=%20", INCOMING))
    signature = RequestValidator(TOKEN).compute_signature(f"http://testserver/v1/carriers/twilio/{through}/voice", {})
    path = f"/v1/carriers/twilio/{through}/voice?a=2"
    nothing_told(await asked(api, path, INCOMING, **{"X-Twilio-Signature": signature}))


POSTS: list[tuple[str, dict[str, str]]] = [
    ("voice", INCOMING | {"CallSid": "CA2"}),
    ("status", {"CallSid": SID, "CallStatus": "completed"}),
    ("calls/CALL/stream", {"CallSid": SID, "CallStatus": "in-progress"}),
    ("calls/CALL/status", {"CallSid": SID, "CallStatus": "completed"}),
    ("calls/CALL/amd", {"CallSid": SID, "AnsweredBy": "human"}),
    ("calls/CALL/transferred", {"CallSid": SID, "DialCallStatus": "busy"}),
]


@pytest.mark.parametrize(("what", "fields"), POSTS)
async def test_who_is_not_the_connections_carrier_learns_nothing(api: Api, what: str, fields: dict[str, str]) -> None:
    through, call = await came_in(api)
    other = await connection(api, TWILIO | {"auth_token": "anderes"})
    inactive = await connection(api, TWILIO | {"auth_token": TOKEN})
    await api.call("PATCH", f"/v1/connections/{inactive}", {"active": False})
    what = what.replace("CALL", call["id"])

    def path(connection_id: str, carrier: str = "twilio") -> str:
        return f"/v1/carriers/{carrier}/{connection_id}/{what}"

    nothing_told(await asked(api, path(through), fields, **{"X-Twilio-Signature": ""}))
    nothing_told(await asked(api, path(through), fields, **{"X-Twilio-Signature": "bm8="}))
    nothing_told(await asked(api, path(through), fields, token="anderes"))
    nothing_told(await asked(api, path(other), fields))
    nothing_told(await asked(api, path(inactive), fields))
    nothing_told(await asked(api, path(through, "telnyx"), fields))
    nothing_told(await asked(api, path(through, "simulated"), fields))
    nothing_told(await asked(api, path("pcon_none"), fields))
    nothing_told(await notified(api, path(through), urlencode(fields).encode()))
    changed = urlencode(fields | {"CallSid": "CA3"}).encode()
    signature = RequestValidator(TOKEN).compute_signature(f"http://testserver{path(through)}", fields)
    nothing_told(await asked(api, path(through), changed, **{"X-Twilio-Signature": signature}))
    assert await get(api, f"/v1/calls/{call['id']}") == call
    assert len(await sessions(api)) == 1
    # It was the signature.
    assert (await asked(api, path(through), fields)).status_code in (200, 204)


async def test_a_stranger_learns_nothing_from_telnyxs_events(api: Api) -> None:
    through = await ready(api, TELNYX)
    twilio = await connection(api)
    path = f"/v1/carriers/telnyx/{through}/events"
    incoming = event("call.initiated")
    nothing_told(await api.client.post(path, json=incoming))
    nothing_told(await notified(api, path, incoming, signer=SigningKey(bytes(32))))
    nothing_told(await notified(api, path, incoming, late_s=301))
    nothing_told(await notified(api, path, incoming, late_s=-301))
    nothing_told(await notified(api, f"/v1/carriers/telnyx/{twilio}/events", incoming))
    nothing_told(await notified(api, f"/v1/carriers/telnyx/{twilio}/events", incoming))
    nothing_told(await asked(api, f"/v1/carriers/telnyx/{twilio}/events", json.dumps(incoming).encode()))
    assert await sessions(api) == []
    assert api.line.asked == []
    assert (await notified(api, path, incoming, late_s=299)).status_code == 200
    assert [what for what, _ in api.line.asked] == ["answer"]


@pytest.mark.parametrize("wrong", ["%00", "pcon_%00", "x" * 65, "%F0%9F%98%80", "..%2f..", "' OR 1=1", "pcon_1%0A"])
async def test_ids_that_are_none_do_not_reach_the_database(
    api: Api, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL fails where it is asked for a NUL."""
    looked: list[str] = []
    exchange = api.services.exchange
    assert exchange is not None

    async def look(connection_id: str) -> None:
        looked.append(connection_id)

    monkeypatch.setattr(exchange.calls, "connection", look)
    for what in ("voice", "status", "calls/call_1/stream"):
        response = await asked(api, f"/v1/carriers/twilio/{wrong}/{what}", INCOMING)
        assert response.status_code == 404
    assert (await api.client.post(f"/v1/carriers/telnyx/{wrong}/events", json={})).status_code == 404
    assert looked == []


async def test_a_connection_that_does_not_sign(api: Api) -> None:
    body = {"carrier": "twilio", "account_sid": TWILIO["account_sid"], "auth_token": TOKEN, "require_signature": False}
    through = await ready(api, body)
    response = await api.client.post(f"/v1/carriers/twilio/{through}/voice", data=INCOMING)
    streamed(response)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"\x00\xff\xfe",
        b"a" * 60_000,
        b"&" * 500,
        b"a=1&" * 400,
        b"CallSid=" + b"C" * 50_000,
        b"CallSid=%00&From=%00&To=%00",
        b"CallSid=%ED%A0%80&To=%2B14155559999",
        b"CallSid=%00&To=%2B14155550100",
        b"CallSid=" + b"C" * 201 + b"&To=%2B14155550100",
        b"CallSid=CA1",
        b"CallSid=CA1&To=&From=",
        b"CallSid=CA1&CallStatus=exploded&SequenceNumber=-1&CallDuration=1e9&Timestamp=yesterday",
        b"callsid=CA1&CallSid[]=1",
    ],
)
async def test_bodies_that_are_none(api: Api, body: bytes) -> None:
    unsigned = {"carrier": "twilio", "account_sid": TWILIO["account_sid"], "auth_token": TOKEN}
    through = await ready(api, unsigned | {"require_signature": False})
    of = await session(api)
    call = await dialled(api, of["id"], from_=NUMBER)
    before = (await api.organization()).credits_remaining
    for what in ("voice", "status", *(f"calls/{call['id']}/{one}" for one in ("status", "amd", "transferred"))):
        path = f"/v1/carriers/twilio/{through}/{what}"
        for headers in ({"Content-Type": FORM}, {"Content-Type": "application/json"}, {}):
            response = await api.client.post(path, content=body, headers=headers)
            assert response.status_code < 500, (what, response.text)
    assert len(await sessions(api)) == 1
    assert (await api.organization()).credits_remaining == before
    found = await get(api, f"/v1/calls/{call['id']}")
    assert (found["status"], found["answered_by"]) == ("queued", None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"1",
        b'"x"',
        b"{",
        b"\xff\xfe",
        b"[" * 60_000,
        b'{"data":[]}',
        b'{"data":{"event_type":["call.initiated"],"payload":{"call_control_id":"v3:one"}}}',
        b'{"data":{"event_type":"call.initiated","payload":{"call_control_id":"v3:one","direction":"incoming"}}}',
        b'{"data":{"event_type":"call.initiated","payload":{"call_control_id":"v3:one","direction":"incoming",'
        b'"to":"\\ud800","from":"\\u0000"}}}',
        b'{"data":{"event_type":"call.hangup","payload":{"call_control_id":"v3:one","client_state":"%%%"}}}',
        b'{"data":{"event_type":"call.hangup","occurred_at":1e400,"payload":{"call_control_id":{}}}}',
    ],
)
async def test_events_that_are_none(api: Api, body: bytes) -> None:
    through = await ready(api, TELNYX)
    response = await notified(api, f"/v1/carriers/telnyx/{through}/events", body)
    assert response.status_code in (200, 400)
    assert await sessions(api) == []
    assert "answer" not in [what for what, _ in api.line.asked]


async def test_what_names_no_call(api: Api) -> None:
    through = await ready(api)
    nobody = {name: value for name, value in INCOMING.items() if name != "CallSid"}
    response = await asked(api, f"/v1/carriers/twilio/{through}/voice", nobody)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "CallSid")
    for what in ("stream", "status", "amd", "transferred"):
        response = await asked(api, f"/v1/carriers/twilio/{through}/calls/call_none/{what}", {"CallSid": SID})
        assert (response.status_code, response.json()["error"]["code"]) == (404, "call_not_found")
    unknown = {"CallSid": "CA9", "CallStatus": "completed"}
    assert (await asked(api, f"/v1/carriers/twilio/{through}/status", unknown)).status_code == 204
