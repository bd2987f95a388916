"""Calls that come in, and the customer's webhook that says what to do with them."""

from __future__ import annotations

import hmac
import json
from typing import Any

import pytest
from tests.api.calling import NUMBER, PAIR, connection, get
from tests.api.conftest import Api
from tests.api.signing import CALLER, INCOMING, SID, asked, ready, refused, sessions, streamed

from kallglot.carriers.instructions import Instructions
from kallglot.store import SqlDeliveries
from kallglot.webhooks.client import Answer, Unreachable

HOOK = "https://hooks.example.com/calls"


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
