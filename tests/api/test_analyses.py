"""Asking for analyses, and reading them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from tests.api.conftest import Api

from kallglot.analysis.model import PARTS
from kallglot.api.services import ApiServices
from kallglot.carriers.model import Call
from kallglot.ids import CALL, new_id
from kallglot.store import SqlAnalysisQueue, SqlExpiry


@pytest.fixture
async def over(api: Api) -> str:
    """A session that has ended."""
    session_id = (await api.create())["id"]
    assert (await api.call("POST", f"/v1/sessions/{session_id}/end")).status_code == 200
    return session_id


async def ask(api: Api, session_id: str, body: Any = None, **more: Any) -> Any:
    return await api.call("POST", f"/v1/sessions/{session_id}/analysis", body, **more)


def refused(response: Any) -> tuple[int, str, str | None]:
    error = response.json()["error"]
    return response.status_code, error["code"], error["param"]


async def used(api: Api) -> int:
    return (await api.organization()).credits_used


async def test_an_analysis_is_accepted_and_can_be_read(api: Api, over: str) -> None:
    before = await used(api)
    made = await ask(api, over)
    assert made.status_code == 202
    found = made.json()
    assert found["id"].startswith("anl_")
    assert (found["object"], found["session_id"], found["status"]) == ("analysis", over, "processing")
    assert (found["profile"], found["include"], found["call_id"]) == ("default", list(PARTS), None)
    assert [found[part] for part in (*PARTS, "engine", "error", "completed_at")] == [None] * 8
    assert await used(api) == before + 1
    assert made.headers["x-api-credits-used"] == str(before + 1)
    for path in (f"/v1/analyses/{found['id']}", f"/v1/analysis/{found['id']}"):
        assert (await api.call("GET", path)).json() == found
    listed = (await api.call("GET", f"/v1/sessions/{over}/analyses")).json()
    assert (listed["url"], listed["data"]) == (f"/v1/sessions/{over}/analyses", [found])


async def test_what_is_asked_for_is_what_is_kept(api: Api, over: str) -> None:
    made = (await ask(api, over, {"include": ["keywords", "summary", "keywords"]})).json()
    assert made["include"] == ["summary", "keywords"], "each once, in the order of the documentation"


async def test_a_finished_one_and_a_failed_one(api: Api, over: str) -> None:
    queue = SqlAnalysisQueue(api.store.database)
    first, second = (await ask(api, over)).json(), (await ask(api, over)).json()
    before = await used(api)
    until = api.clock.now() + timedelta(seconds=60)
    assert len(await queue.claim("me", api.clock.now(), until, 9, ())) == 2
    await queue.complete(first["id"], "me", {"summary": "So it was.", "engine": "extractive"}, api.clock.now())
    await queue.fail(second["id"], "me", "It cannot be said.", api.clock.now())
    done = (await api.call("GET", f"/v1/analyses/{first['id']}")).json()
    assert (done["status"], done["summary"], done["completed_at"]) == (
        "completed",
        "So it was.",
        "2026-03-26T11:00:00Z",
    )
    failed = (await api.call("GET", f"/v1/analyses/{second['id']}")).json()
    assert (failed["status"], failed["error"], failed["summary"]) == ("failed", "It cannot be said.", None)
    assert await used(api) == before - 1
    events = (await api.call("GET", "/v1/events")).json()["data"]
    told = {one["type"]: one["data"] for one in events if one["type"].startswith("analysis.")}
    assert told == {"analysis.complete": done, "analysis.failed": failed}


async def test_the_newest_call_is_named(api: Api, over: str) -> None:
    organization = await api.organization()
    calls = [
        Call(new_id(CALL), over, organization.id, True, "simulated", "inbound", "completed", api.clock.now()),
        Call(
            new_id(CALL),
            over,
            organization.id,
            True,
            "simulated",
            "inbound",
            "completed",
            api.clock.now() + timedelta(1),
        ),
    ]
    async with api.store.write() as unit:
        for call in calls:
            await unit.calls.add(call)
    assert (await ask(api, over)).json()["call_id"] == calls[1].id


async def test_a_session_that_goes_on_has_to_end_first(api: Api) -> None:
    session_id = (await api.create())["id"]
    before = await used(api)
    response = await ask(api, session_id)
    assert refused(response) == (409, "transcript_not_ready", None)
    assert response.headers["retry-after"] == "5"
    assert await used(api) == before


async def test_a_transcript_that_is_gone(api: Api, over: str) -> None:
    organization = await api.organization()
    api.clock.advance(86400)
    expiry = SqlExpiry(api.store.database)
    assert await expiry.expire_transcripts(organization.id, api.clock.now(), api.clock.now(), 10) == 1
    response = await ask(api, over)
    assert refused(response) == (404, "resource_not_found", None)
    assert "gone" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"profile": "astrology"}, "invalid_field_value", "profile"),
        ({"profile": ""}, "invalid_field_value", "profile"),
        ({"include": []}, "invalid_field_value", "include"),
        ({"include": ["summary", "horoscope"]}, "invalid_field_value", "include.1"),
        ({"include": "summary"}, "invalid_field_value", "include"),
        ({"colour": "red"}, "unknown_field", "colour"),
    ],
)
async def test_what_cannot_be_asked_for(api: Api, over: str, body: Any, code: str, param: str) -> None:
    before = await used(api)
    response = await ask(api, over, body)
    assert refused(response) == (400, code, param)
    assert await used(api) == before


async def test_an_unknown_profile_is_told_which_there_are(api: Api, over: str) -> None:
    object.__setattr__(api.services, "analysis_profiles", ("sales", "default"))
    message = (await ask(api, over, {"profile": "support"})).json()["error"]["message"]
    assert "default, sales" in message
    assert (await ask(api, over, {"profile": "sales"})).status_code == 202


async def test_sessions_that_are_not_there(api: Api, over: str) -> None:
    assert refused(await ask(api, "sess_none")) == (404, "session_not_found", None)
    other = await api.tenant()
    assert refused(await ask(api, over, key=other)) == (404, "session_not_found", None)
    test = await api.key(livemode=False)
    assert refused(await ask(api, over, key=test)) == (404, "session_not_found", None)
    analysis = (await ask(api, over)).json()["id"]
    for key in (other, test):
        for path in (f"/v1/analyses/{analysis}", f"/v1/analysis/{analysis}"):
            assert refused(await api.call("GET", path, key=key)) == (404, "analysis_not_found", None)
    assert refused(await api.call("GET", "/v1/analyses/" + "x" * 65)) == (404, "analysis_not_found", None)


async def test_no_credit_no_analysis(api: Api) -> None:
    key = await api.tenant(credits=2)
    body = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en"}
    session_id = (await api.call("POST", "/v1/sessions", body, key=key)).json()["id"]
    await api.call("POST", f"/v1/sessions/{session_id}/end", key=key)
    answers = await asyncio.gather(*(ask(api, session_id, key=key) for _ in range(5)))
    assert sorted(one.status_code for one in answers) == [202, 402, 402, 402, 402]
    listed = (await api.call("GET", f"/v1/sessions/{session_id}/analyses", key=key)).json()
    assert len(listed["data"]) == 1


async def test_an_inactive_organization_is_told_so_first(api: Api) -> None:
    key = await api.tenant(status="inactive", credits=0)
    assert refused(await ask(api, "sess_none", key=key)) == (403, "organization_inactive", None)


async def test_a_test_key_pays_nothing(api: Api) -> None:
    key = await api.key(livemode=False)
    before = await used(api)
    made = await api.call("POST", "/v1/sessions", {"mode": "assistive_translation", "source_language": "de"}, key=key)
    await api.call("POST", f"/v1/sessions/{made.json()['id']}/end", key=key)
    response = await ask(api, made.json()["id"], key=key)
    assert (response.status_code, response.json()["livemode"]) == (202, False)
    assert await used(api) == before


async def test_the_same_key_asks_once(api: Api, over: str) -> None:
    woken: list[int] = []
    object.__setattr__(api.services, "wake_analyst", lambda: woken.append(1))
    assert isinstance(api.services, ApiServices)
    before = await used(api)
    answers = await asyncio.gather(*(ask(api, over, Idempotency_Key="k-1") for _ in range(4)))
    assert {one.status_code for one in answers} == {202}
    assert len({one.json()["id"] for one in answers}) == 1
    assert await used(api) == before + 1
    assert woken == [1]
    other = await ask(api, over, {"profile": "default"}, Idempotency_Key="k-1")
    assert refused(other) == (400, "idempotency_mismatch", None)


async def test_deleting_a_session_takes_its_analyses_along(api: Api, over: str) -> None:
    analysis = (await ask(api, over)).json()["id"]
    assert (await api.call("DELETE", f"/v1/sessions/{over}")).status_code == 200
    assert refused(await api.call("GET", f"/v1/analyses/{analysis}")) == (404, "analysis_not_found", None)
