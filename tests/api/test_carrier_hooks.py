"""What carriers ask and tell, signed as they sign it."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import httpx
import pytest
from nacl.signing import SigningKey
from tests.api.conftest import Api
from tests.api.test_calls import (
    NUMBER,
    PAIR,
    TO,
    TWILIO,
    connection,
    dial,
    dialled,
    events,
    get,
    kept,
    made,
    session,
)
from twilio.request_validator import RequestValidator

from kallglot.accounts.model import Organization
from kallglot.carriers.client import CarrierError
from kallglot.carriers.instructions import Instructions
from kallglot.store import SqlDeliveries
from kallglot.webhooks.client import Answer, Unreachable

TOKEN = "geheim"
SIGNER = SigningKey(bytes(range(32)))
TELNYX = {
    "carrier": "telnyx",
    "api_key": "geheim",
    "public_key": base64.b64encode(bytes(SIGNER.verify_key)).decode(),
    "call_control_app_id": "1494404757",
}
FORM = "application/x-www-form-urlencoded"
SID = "CA" + "1" * 32
CALLER = "+4930123456"
INCOMING = {"CallSid": SID, "From": CALLER, "To": NUMBER, "CallStatus": "ringing", "Direction": "inbound"}
HOOK = "https://hooks.example.com/calls"


async def ready(api: Api, body: dict[str, Any] = TWILIO, *, key: str | None = None, **number: Any) -> str:
    """A connection with a number whose policy takes calls."""
    made_id = await connection(api, body, key=key)
    fields = {"number": NUMBER, "connection_id": made_id, "policy": PAIR} | number
    await made(api, "/v1/phone_numbers", {name: one for name, one in fields.items() if one is not None}, key=key)
    return made_id


async def asked(
    api: Api, path: str, fields: dict[str, str] | bytes, *, token: str = TOKEN, **headers: str
) -> httpx.Response:
    """Signed by Twilio."""
    signed = fields if isinstance(fields, dict) else {}
    signature = RequestValidator(token).compute_signature(f"http://testserver{path}", signed)
    body = urlencode(fields).encode() if isinstance(fields, dict) else fields
    sent = {"X-Twilio-Signature": signature, "Content-Type": FORM} | headers
    return await api.client.post(path, content=body, headers=sent)


async def notified(
    api: Api, path: str, body: bytes | dict[str, Any], *, late_s: int = 0, signer: SigningKey = SIGNER
) -> httpx.Response:
    """Signed by Telnyx."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    at = str(int(api.clock.now().timestamp()) - late_s)
    signature = base64.b64encode(signer.sign(f"{at}|".encode() + raw).signature).decode()
    headers = {"telnyx-timestamp": at, "telnyx-signature-ed25519": signature, "content-type": "application/json"}
    return await api.client.post(path, content=raw, headers=headers)


def event(kind: str, **payload: Any) -> dict[str, Any]:
    fields = {"call_control_id": "v3:one", "from": CALLER, "to": NUMBER, "direction": "incoming"} | payload
    data = {"event_type": kind, "id": "evt", "occurred_at": "2026-03-26T11:00:00Z", "payload": fields}
    return {"data": data}


def state(**fields: str) -> str:
    return base64.b64encode(json.dumps(fields).encode()).decode()


def verbs(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/xml")
    return [child.tag for child in ElementTree.fromstring(response.text)]


def rejection(response: httpx.Response) -> str | None:
    assert verbs(response) == ["Reject"]
    return ElementTree.fromstring(response.text)[0].get("reason")


def streamed(response: httpx.Response) -> tuple[str, dict[str, str], str]:
    """Where the stream goes, its parameters, and what is asked afterwards."""
    assert verbs(response) == ["Connect", "Pause", "Redirect"]
    root = ElementTree.fromstring(response.text)
    noun = root[0][0]
    parameters = {one.get("name", ""): one.get("value", "") for one in noun}
    return noun.get("url", ""), parameters, (root[2].text or "").partition("#")[0]


def nothing_told(response: httpx.Response) -> None:
    assert response.status_code == 404, response.text
    assert response.json()["error"]["code"] in ("connection_not_found", "resource_not_found")


async def sessions(api: Api, key: str | None = None) -> list[dict[str, Any]]:
    return (await get(api, "/v1/sessions", key=key))["data"]


async def only_call(api: Api, key: str | None = None) -> dict[str, Any]:
    (of,) = await sessions(api, key)
    (call,) = (await get(api, f"/v1/sessions/{of['id']}/calls", key=key))["data"]
    return call


async def ended(api: Api, session_id: str) -> str:
    """Why the session ended, when it has."""
    async with asyncio.timeout(30):
        while True:
            found = await get(api, f"/v1/sessions/{session_id}")
            if found["status"] == "ended":
                return found["end_reason"]


async def came_in(api: Api, **fields: str) -> tuple[str, dict[str, Any]]:
    """A connection, and the call that came in to its number."""
    through = await ready(api)
    streamed(await asked(api, f"/v1/carriers/twilio/{through}/voice", INCOMING | fields))
    return through, await only_call(api)


async def placed(api: Api, body: dict[str, Any] = TWILIO) -> tuple[str, dict[str, Any], str]:
    """A call that we have placed, and where its carrier tells of it."""
    through = await ready(api, body)
    of = await session(api)
    call = await dialled(api, of["id"], from_=NUMBER)
    return through, call, f"/v1/carriers/{body['carrier']}/{through}/calls/{call['id']}"


async def organization_of(api: Api, key: str) -> Organization:
    name = (await get(api, "/v1/organization", key=key))["name"]
    async with api.store.read() as unit:
        return next(one for one in await unit.organizations.list() if one.name == name)


# A call comes in


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


# Who asks

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


# What comes is not what was expected


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


# Calls that are not taken


async def refused(api: Api, through: str, key: str | None = None, **fields: str) -> str | None:
    """What the caller hears; nothing is kept."""
    async with api.store.read() as unit:
        before = [one.credits_remaining for one in await unit.organizations.list()]
    known = len(await sessions(api, key))
    heard = rejection(await asked(api, f"/v1/carriers/twilio/{through}/voice", INCOMING | fields))
    async with api.store.read() as unit:
        assert [one.credits_remaining for one in await unit.organizations.list()] == before
    assert len(await sessions(api, key)) == known
    assert await kept(api).by_carrier_id("twilio", fields.get("CallSid", SID)) is None
    return heard


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


# The customer's webhook


class Hook:
    """A poster that a test plays."""

    def __init__(self, answers: bytes = b"{}", status: int = 200) -> None:
        self.answer = Answer(status, {}, answers)
        self.error: Unreachable | None = None
        self.posts: list[tuple[str, Any, dict[str, str], float]] = []

    async def post(self, url: str, body: bytes, headers: dict[str, str], *, timeout_s: float) -> Answer:
        self.posts.append((url, json.loads(body), headers, timeout_s))
        if self.error is not None:
            raise self.error
        return self.answer


def hooked(api: Api, hook: Hook) -> None:
    secrets = SqlDeliveries(api.store.database, api.store.cipher).organization_secrets
    object.__setattr__(api.services, "instructions", Instructions(hook, api.clock, secrets))


async def test_a_customer_is_asked(api: Api) -> None:
    hook = Hook(json.dumps(PAIR | {"target_language": "es", "metadata": {"queue": "sales"}}).encode(), 201)
    hooked(api, hook)
    through = await ready(api, policy={"webhook_url": HOOK})
    streamed(await asked(api, f"/v1/carriers/twilio/{through}/voice", INCOMING))
    (of,) = await sessions(api)
    assert (of["target_language"], of["metadata"], of["provider"]) == ("es", {"queue": "sales"}, "twilio")
    number = (await get(api, "/v1/phone_numbers"))["data"][0]["id"]
    ((url, question, headers, timeout_s),) = hook.posts
    async with api.store.read() as unit:
        secrets = await unit.webhook_endpoints.organization_secrets((await api.organization()).id)
    assert secrets is not None
    stamp, _, code = headers["Kallglot-Signature"].removeprefix("t=").partition(",v1=")
    said = f"{stamp}.{json.dumps(question)}".encode()
    assert (int(stamp), code) == (
        api.clock.now().timestamp(),
        hmac.digest(secrets.current.encode(), said, "sha256").hex(),
    )
    assert (url, timeout_s) == (HOOK, 6.0)
    assert question == {
        "id": question["id"],
        "type": "call.incoming",
        "api_version": "v1",
        "created_at": "2026-03-26T11:00:00Z",
        "data": {
            "provider": "twilio",
            "provider_call_id": SID,
            "phone_number_id": number,
            "from": CALLER,
            "to": NUMBER,
        },
    }
    assert question["id"].startswith("evt_")
    # Asked again by the carrier, nobody asks the customer again.
    streamed(await asked(api, f"/v1/carriers/twilio/{through}/voice", INCOMING))
    assert len(hook.posts) == 1


def _answers(**fields: Any) -> bytes:
    return json.dumps(PAIR | fields).encode()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (204, b""),
        (200, b""),
        (200, b" \n"),
        (200, b"<Response/>"),
        (200, b"[]"),
        (200, b"null"),
        (200, b'"busy"'),
        (200, b"\xff\xfe\x00"),
        (200, b"[" * 60_000),
        (200, b"{}"),
        (200, b'{"mode":"duet"}'),
        (200, _answers(source_language="german")),
        (200, _answers(target_language="fr")),
        (200, _answers(surprise=1)),
        (200, _answers(metadata={"k": 1})),
        (200, _answers(metadata={"k": "\ud800"})),
        (200, _answers(metadata={"k": "\x00"})),
        (200, _answers(participants=[{"role": "customer", "name": "\ud800"}, {"role": "agent"}])),
        (200, _answers(voice={"speed": float("nan")})),
        (200, _answers(mode="ai_agent", ai_agent={"agent_id": "agt_1"})),
        (302, _answers()),
        (404, _answers()),
        (500, _answers()),
    ],
)
async def test_a_customer_who_does_not_take_the_call(api: Api, status: int, body: bytes) -> None:
    hook = Hook(body, status)
    hooked(api, hook)
    through = await ready(api, policy={"webhook_url": HOOK})
    assert await refused(api, through) == "rejected"
    assert len(hook.posts) == 1


async def test_a_customer_who_does_not_answer(api: Api) -> None:
    hook = Hook(_answers())
    hook.error = Unreachable("There was no answer within 6 s.")
    hooked(api, hook)
    through = await ready(api, policy={"webhook_url": HOOK})
    assert await refused(api, through) == "rejected"
    hook.error = None
    streamed(await asked(api, f"/v1/carriers/twilio/{through}/voice", INCOMING))


async def test_a_customer_may_say_where_the_call_goes_but_not_through_whom(api: Api) -> None:
    stranger = await api.tenant()
    theirs = await connection(api, key=stranger)
    hooked(api, Hook(_answers(routing={"connection_id": theirs})))
    through = await ready(api, policy={"webhook_url": HOOK})
    streamed(await asked(api, f"/v1/carriers/twilio/{through}/voice", INCOMING))
    session_id = (await sessions(api))[0]["id"]
    found = await api.journal.load(session_id)
    assert found is not None
    assert (found.routing or {})["connection_id"] == through


# What becomes of a call

RINGING = {"CallSid": SID, "CallStatus": "ringing", "SequenceNumber": "0"}
ANSWERED = {"CallSid": SID, "CallStatus": "in-progress", "SequenceNumber": "1"}
COMPLETED = {"CallSid": SID, "CallStatus": "completed", "SequenceNumber": "2", "CallDuration": "7"}


@pytest.mark.parametrize(
    "order",
    [
        (RINGING, ANSWERED, COMPLETED),
        (RINGING, RINGING, ANSWERED, ANSWERED, COMPLETED, COMPLETED),
        (ANSWERED, RINGING, COMPLETED, ANSWERED, RINGING),
        (RINGING, ANSWERED, COMPLETED, RINGING, ANSWERED, COMPLETED),
    ],
)
async def test_callbacks_in_any_order(api: Api, order: tuple[dict[str, str], ...]) -> None:
    _, call, base = await placed(api)
    for fields in order:
        fields = fields | {"CallSid": call["provider_call_id"]}
        assert (await asked(api, f"{base}/status", fields)).status_code == 204
    found = await get(api, f"/v1/calls/{call['id']}")
    assert (found["status"], found["hangup_cause"]) == ("completed", "completed")
    assert found["answered_at"] is not None
    assert await events(api, call["session_id"]) == ["connecting", "connected", "disconnected"]


async def test_callbacks_all_at_once(api: Api) -> None:
    _, call, base = await placed(api)
    some = [fields | {"CallSid": call["provider_call_id"]} for fields in (RINGING, ANSWERED, COMPLETED) * 5]
    answers = await asyncio.gather(*(asked(api, f"{base}/status", fields) for fields in some))
    assert {one.status_code for one in answers} == {204}
    assert (await get(api, f"/v1/calls/{call['id']}"))["status"] == "completed"
    told = await events(api, call["session_id"])
    assert told[0] == "connecting"
    assert len(told) == len(set(told))
    assert told[-1] in ("disconnected", "failed")


@pytest.mark.parametrize(
    ("status", "expected"),
    [("busy", "busy"), ("no-answer", "no_answer"), ("failed", "failed"), ("canceled", "canceled")],
)
async def test_a_call_that_nobody_answers(api: Api, status: str, expected: str) -> None:
    _, call, base = await placed(api)
    fields = {"CallSid": call["provider_call_id"], "CallStatus": status, "SipResponseCode": "486"}
    await asked(api, f"{base}/status", fields)
    await asked(api, f"{base}/status", fields | {"CallStatus": "completed"})
    found = await get(api, f"/v1/calls/{call['id']}")
    assert (found["status"], found["hangup_cause"], found["answered_at"]) == (expected, "sip_486", None)
    assert await events(api, call["session_id"]) == ["connecting", "failed"]
    assert (await get(api, f"/v1/sessions/{call['session_id']}"))["status"] == "created"


async def test_a_callback_of_another_call_changes_nothing(api: Api) -> None:
    _, call, base = await placed(api)
    for what in ("status", "amd"):
        await asked(api, f"{base}/{what}", {"CallSid": "CA9", "CallStatus": "completed", "AnsweredBy": "human"})
    assert await get(api, f"/v1/calls/{call['id']}") == call


async def test_who_answered(api: Api) -> None:
    _, call, base = await placed(api)
    for answerer, expected in (("unknown", "unknown"), ("human", "human"), ("machine_end_beep", "machine")):
        fields = {"CallSid": call["provider_call_id"], "AnsweredBy": answerer}
        assert (await asked(api, f"{base}/amd", fields)).status_code == 204
        assert (await get(api, f"/v1/calls/{call['id']}"))["answered_by"] == expected
    await asked(api, f"{base}/amd", {"CallSid": call["provider_call_id"], "AnsweredBy": "martian"})
    assert (await get(api, f"/v1/calls/{call['id']}"))["answered_by"] == "machine"


async def test_somebody_picks_up(api: Api) -> None:
    through, call, base = await placed(api)
    fields = {"CallSid": call["provider_call_id"], "CallStatus": "in-progress"}
    for _ in range(2):
        url, parameters, afterwards = streamed(await asked(api, f"{base}/stream", fields))
        assert url.endswith(f"/v1/sessions/{call['session_id']}/connect")
        assert parameters["participant"] == call["participant_id"]
        assert afterwards == f"http://testserver/v1/carriers/twilio/{through}/calls/{call['id']}/stream"
    assert (await get(api, f"/v1/calls/{call['id']}"))["status"] == "in_progress"
    assert await events(api, call["session_id"]) == ["connecting", "connected"]


async def test_a_stream_that_has_ended_with_its_session_or_call(api: Api) -> None:
    _, call, base = await placed(api)
    fields = {"CallSid": call["provider_call_id"], "CallStatus": "in-progress"}
    streamed(await asked(api, f"{base}/stream", fields))
    assert verbs(await asked(api, f"{base}/stream", fields | {"CallStatus": "completed"})) == ["Hangup"]
    assert verbs(await asked(api, f"{base}/stream", fields)) == ["Hangup"]
    again = await dialled(api, call["session_id"], from_=NUMBER)
    await api.call("POST", f"/v1/sessions/{call['session_id']}/end")
    other = base.replace(call["id"], again["id"])
    for what in ("stream", "transferred"):
        response = await asked(api, f"{other}/{what}", fields | {"CallSid": again["provider_call_id"]})
        assert verbs(response) == ["Hangup"]


async def test_a_callback_with_the_sid_of_another_call_of_ours(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """No carrier does that; it is no reason to fail."""
    through, call = await came_in(api)
    asked_for, answered = asyncio.Event(), asyncio.Event()
    real = api.line.dial

    async def slow(order: Any) -> str:
        asked_for.set()
        await answered.wait()
        return await real(order)

    monkeypatch.setattr(api.line, "dial", slow)
    placing = asyncio.create_task(dial(api, call["session_id"], from_=NUMBER))
    await asked_for.wait()
    listed = (await get(api, f"/v1/sessions/{call['session_id']}/calls"))["data"]
    second = next(one for one in listed if one["id"] != call["id"])
    path = f"/v1/carriers/twilio/{through}/calls/{second['id']}/status"
    assert (await asked(api, path, {"CallSid": SID, "CallStatus": "completed"})).status_code == 204
    answered.set()
    assert (await placing).json()["status"] == "queued"


# The end of a session


async def test_a_session_ends_with_its_only_call(api: Api) -> None:
    through, call = await came_in(api)
    path = f"/v1/carriers/twilio/{through}/status"
    for _ in range(3):
        assert (await asked(api, path, COMPLETED)).status_code == 204
    assert await ended(api, call["session_id"]) == "customer_hangup"
    assert await events(api, call["session_id"]) == ["connecting", "failed"]
    assert verbs(await asked(api, f"/v1/carriers/twilio/{through}/voice", INCOMING)) == ["Hangup"]
    assert len(await sessions(api)) == 1


async def test_a_session_does_not_end_while_another_call_is_on(api: Api) -> None:
    through, call = await came_in(api)
    second = await dialled(api, call["session_id"], from_=NUMBER)
    ending: list[str] = []
    api.board.end_soon = lambda session, reason: ending.append(session.id)  # type: ignore[method-assign]
    await asked(api, f"/v1/carriers/twilio/{through}/status", COMPLETED)
    assert (await get(api, f"/v1/calls/{call['id']}"))["status"] == "completed"
    assert ending == []
    assert (await get(api, f"/v1/calls/{second['id']}"))["status"] == "queued"


async def test_a_session_that_was_there_before_its_call_goes_on(api: Api) -> None:
    _, call, base = await placed(api)
    ending: list[str] = []
    api.board.end_soon = lambda session, reason: ending.append(session.id)  # type: ignore[method-assign]
    await asked(api, f"{base}/status", ANSWERED | {"CallSid": call["provider_call_id"]})
    await asked(api, f"{base}/status", COMPLETED | {"CallSid": call["provider_call_id"]})
    assert (await get(api, f"/v1/calls/{call['id']}"))["status"] == "completed"
    assert ending == []


# Transfers


async def transferring(api: Api) -> tuple[dict[str, Any], str]:
    through, call = await came_in(api)
    await asked(api, f"/v1/carriers/twilio/{through}/status", ANSWERED)
    begun = await api.call("POST", f"/v1/calls/{call['id']}/transfer", {"to": TO})
    assert begun.json()["transfer"] == {"to": TO, "status": "started"}
    return call, f"/v1/carriers/twilio/{through}/calls/{call['id']}/transferred"


@pytest.mark.parametrize("outcome", ["completed", "answered"])
async def test_a_transfer_that_has_succeeded(api: Api, outcome: str) -> None:
    call, path = await transferring(api)
    for _ in range(2):
        assert verbs(await asked(api, path, {"CallSid": SID, "DialCallStatus": outcome})) == ["Hangup"]
    found = await get(api, f"/v1/calls/{call['id']}")
    assert found["transfer"] == {"to": TO, "status": "completed"}


@pytest.mark.parametrize("outcome", ["busy", "no-answer", "failed", "canceled", ""])
async def test_a_transfer_that_has_failed(api: Api, outcome: str) -> None:
    call, path = await transferring(api)
    url, _, _ = streamed(await asked(api, path, {"CallSid": SID, "DialCallStatus": outcome}))
    assert url.endswith(f"/v1/sessions/{call['session_id']}/connect")
    found = await get(api, f"/v1/calls/{call['id']}")
    assert found["transfer"] == {"to": TO, "status": "failed", "reason": outcome}
    assert (await api.call("POST", f"/v1/calls/{call['id']}/transfer", {"to": TO})).status_code == 200


# Call Control


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
