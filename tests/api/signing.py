"""What carriers ask and tell, signed as they sign it, and what of it can be seen."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import httpx
from nacl.signing import SigningKey
from tests.api.calling import NUMBER, PAIR, TWILIO, connection, dialled, get, kept, made, session
from tests.api.conftest import Api
from twilio.request_validator import RequestValidator

from kallglot.accounts.model import Organization

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
RINGING = {"CallSid": SID, "CallStatus": "ringing", "SequenceNumber": "0"}
ANSWERED = {"CallSid": SID, "CallStatus": "in-progress", "SequenceNumber": "1"}
COMPLETED = {"CallSid": SID, "CallStatus": "completed", "SequenceNumber": "2", "CallDuration": "7"}


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
