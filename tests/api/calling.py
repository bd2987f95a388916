"""Placing calls over REST, with a carrier that is played by hand."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
from tests.api.conftest import Api

from kallglot.carriers.callbacks import CallChange
from kallglot.carriers.simulated import SimulatedLeg
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
