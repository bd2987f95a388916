"""What becomes of calls: callbacks in any order, the end of the session, transfers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.api.calling import NUMBER, TO, dial, dialled, events, get
from tests.api.conftest import Api
from tests.api.signing import (
    ANSWERED,
    COMPLETED,
    INCOMING,
    RINGING,
    SID,
    asked,
    came_in,
    ended,
    placed,
    sessions,
    streamed,
    verbs,
)


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
