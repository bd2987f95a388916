from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.api.conftest import Api

from kallglot.accounts import credits
from kallglot.accounts.credits import Period
from kallglot.billing.check import check
from kallglot.session.model import Turn, Usage
from kallglot.speech.used import EngineUse

DAY = timedelta(days=1)
QUERY = "/v1/usage?start=2026-03-01&end=2026-05-01"


async def used(api: Api, key: str, session_seconds: float, translation: float = 0.0, **fields: Any) -> str:
    """A session of so many seconds, which ends now."""
    body = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en"} | fields
    made = await api.call("POST", "/v1/sessions", body, key=key)
    assert made.status_code == 201, made.text
    session_id = made.json()["id"]
    await api.journal.ended(session_id, api.clock.now(), "completed", Usage(session_seconds, translation, 0.0))
    return session_id


async def usage(api: Api, query: str = QUERY, key: str | None = None) -> dict[str, Any]:
    response = await api.call("GET", query, key=key)
    assert response.status_code == 200, response.text
    return response.json()


async def test_by_day_mode_and_key_and_everything_adds_up(api: Api) -> None:
    first, second = await api.key(id="key_1"), await api.key(id="key_2")
    await used(api, first, 0.1, 0.1)
    await used(api, first, 0.2, 0.1)
    await used(api, second, 60.003, mode="help_chat_voice")
    api.clock.advance(DAY.total_seconds())
    await used(api, first, 5.0)
    by_all = await usage(api, f"{QUERY}&group_by=api_key,day,mode")
    assert (by_all["object"], by_all["group_by"], by_all["livemode"]) == ("usage", ["day", "mode", "api_key"], True)
    assert [
        (row["day"], row["mode"], row["api_key_id"], row["sessions"], row["session_seconds"], row["credits_used"])
        for row in by_all["data"]
    ] == [
        ("2026-03-26", "bidirectional_translation", "key_1", 2, 0.3, 2),
        ("2026-03-26", "help_chat_voice", "key_2", 1, 60.003, 1),
        ("2026-03-27", "bidirectional_translation", "key_1", 1, 5.0, 1),
    ]
    assert by_all["data"][0]["translation_seconds"] == 0.2
    for groups, rows in (("", 1), ("day", 2), ("mode", 2), ("api_key", 2), ("day,day,mode", 3)):
        found = await usage(api, f"{QUERY}&group_by={groups}")
        assert len(found["data"]) == rows, groups
        assert found["total"] == by_all["total"]
    assert by_all["total"] == {
        "sessions": 4,
        "session_seconds": 65.303,
        "translation_seconds": 0.2,
        "ai_agent_seconds": 0.0,
        "session_minutes": 1.088,
        "translation_minutes": 0.003,
        "ai_agent_minutes": 0.0,
        "credits_used": 4,
    }
    assert await check(api.store) == []


async def test_a_session_counts_on_the_day_it_ended_its_credit_on_the_day_it_was_taken(api: Api) -> None:
    made = await api.create()
    api.clock.advance(DAY.total_seconds())
    await api.journal.ended(made["id"], api.clock.now(), "completed", Usage(1.0, 0.0, 0.0))
    rows = (await usage(api))["data"]
    assert [(row["day"], row["sessions"], row["credits_used"]) for row in rows] == [
        ("2026-03-26", 0, 1),
        ("2026-03-27", 1, 0),
    ]


async def test_what_is_given_back_was_not_spent_and_grants_are_no_use(api: Api) -> None:
    owner = (await api.organization()).id
    async with api.store.write() as unit:
        now = api.clock.now()
        await unit.organizations.grant_credits(owner, 50, credits.GRANT, "g", now)
        for name in ("a", "b"):
            await unit.organizations.take_credit(owner, 1, credits.ANALYSIS, name, now, mode="ai_agent")
        await unit.organizations.refund(owner, credits.ANALYSIS, "a", now)
    found = await usage(api, f"{QUERY}&group_by=mode")
    assert [(row["mode"], row["credits_used"]) for row in found["data"]] == [("ai_agent", 1)]
    assert (await api.organization()).credits_used == 1


async def test_days_begin_at_midnight_utc_and_the_end_is_not_in_it(api: Api) -> None:
    api.clock.advance((datetime(2026, 3, 27, tzinfo=UTC) - api.clock.now()).total_seconds() - 0.001)
    await used(api, api.secret, 1.0)
    api.clock.advance(0.001)
    await used(api, api.secret, 2.0)

    async def seconds(start: str, end: str) -> float:
        return (await usage(api, f"/v1/usage?start={start}&end={end}"))["total"]["session_seconds"]

    assert await seconds("2026-03-26", "2026-03-27") == 1.0
    assert await seconds("2026-03-27", "2026-03-28") == 2.0
    assert await seconds("2026-03-27T00:00:00Z", "2026-03-27T00:00:01Z") == 2.0
    assert await seconds("2026-03-27T01:00:00%2B01:00", "2026-03-27T01:00:01%2B01:00") == 2.0


async def test_the_last_thirty_days_or_the_current_period(api: Api) -> None:
    found = await usage(api, "/v1/usage")
    assert (found["start"], found["end"]) == ("2026-02-24T11:00:00Z", "2026-03-26T11:00:00Z")
    start = api.clock.now() - 3 * DAY
    async with api.store.write() as unit:
        owner = (await unit.organizations.list())[0]
        await unit.organizations.begin_period(owner.id, Period(start, start + 31 * DAY), 5, api.clock.now())
    assert (await usage(api, "/v1/usage"))["start"] == "2026-03-23T11:00:00Z"
    assert (await usage(api, "/v1/usage?end=2026-03-25"))["start"] == "2026-02-23T00:00:00Z"
    shown = (await api.call("GET", "/v1/organization")).json()
    assert (shown["plan_credits"], shown["period_start"], shown["period_end"]) == (
        5,
        "2026-03-23T11:00:00Z",
        "2026-04-23T11:00:00Z",
    )


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("start=yesterday", "start"),
        ("start=2026-02-30", "start"),
        ("start=2026-03-26T11:00:00", "start"),
        ("start=1774522800", "start"),
        ("start=0001-01-01&end=0001-12-31", "end"),
        ("end=9999-12-31T23:59:59-23:00", "end"),
        ("start=2026-03-26&end=2026-03-26", "end"),
        ("start=2026-03-27&end=2026-03-26", "end"),
        ("start=2025-03-01&end=2026-03-03", "start"),
        ("start=2027-01-01", "end"),
        ("group_by=week", "group_by"),
        ("group_by=day,%00", "group_by"),
        (f"group_by={'day,' * 20}", "group_by"),
    ],
)
async def test_what_cannot_be_asked(api: Api, query: str, param: str) -> None:
    response = await api.call("GET", f"/v1/usage?{query}")
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, "invalid_field_value", param), error


async def test_three_hundred_and_sixty_six_days_can(api: Api) -> None:
    found = await usage(api, "/v1/usage?start=2025-03-01&end=2026-03-02")
    assert (found["data"], found["total"]["sessions"]) == ([], 0)


async def test_too_many_rows_are_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kallglot.store.usage.MOST_ROWS", 2)
    monkeypatch.setattr("kallglot.api.usage.MOST_ROWS", 2)
    for number in range(3):
        await used(api, await api.key(id=f"key_{number}"), 1.0)
    response = await api.call("GET", f"{QUERY}&group_by=api_key")
    assert response.json()["error"]["param"] == "group_by"
    assert (await usage(api, f"{QUERY}&group_by=day"))["total"]["sessions"] == 3


async def test_tenants_and_modes_never_meet(api: Api) -> None:
    test_key, stranger = await api.key(livemode=False), await api.tenant(credits=5)
    await used(api, api.secret, 1.0)
    await used(api, test_key, 2.0)
    await used(api, stranger, 4.0)
    for key, seconds, spent in ((api.secret, 1.0, 1), (test_key, 2.0, 0), (stranger, 4.0, 1)):
        found = await usage(api, key=key)
        assert (found["total"]["session_seconds"], found["total"]["credits_used"]) == (seconds, spent)
        assert found["livemode"] is (key != test_key)
    ours = (await api.call("GET", "/v1/usage/ledger")).json()["data"]
    theirs = (await api.call("GET", "/v1/usage/ledger", key=stranger)).json()["data"]
    assert not {line["id"] for line in ours} & {line["id"] for line in theirs}
    assert (await api.call("GET", "/v1/usage/ledger", key=test_key)).json()["data"] == []
    foreign = await api.call("GET", f"/v1/usage/ledger?starting_after={theirs[0]['id']}")
    assert (foreign.status_code, foreign.json()["error"]["param"]) == (400, "starting_after")


async def test_the_ledger_in_pages(api: Api) -> None:
    made = [(await api.create())["id"] for _ in range(3)]
    page = (await api.call("GET", "/v1/usage/ledger?limit=2")).json()
    assert (page["has_more"], [line["reference"] for line in page["data"]]) == (True, [made[2], made[1]])
    line = page["data"][0]
    assert (line["object"], line["amount"], line["reason"], line["balance_after"]) == (
        "credit_entry",
        -1,
        "session",
        999_997,
    )
    assert (line["mode"], line["created_at"]) == ("bidirectional_translation", "2026-03-26T11:00:00Z")
    rest = (await api.call("GET", f"/v1/usage/ledger?starting_after={page['data'][1]['id']}")).json()
    assert [line["reason"] for line in rest["data"]] == ["session", "bootstrap"]
    assert rest["has_more"] is False
    for query in ("starting_after=9999999999", "starting_after=x", "limit=0"):
        assert (await api.call("GET", f"/v1/usage/ledger?{query}")).status_code == 400, query
    both = await api.call("GET", "/v1/usage/ledger?starting_after=1&ending_before=2")
    assert both.json()["error"]["code"] == "conflicting_fields"


async def test_what_engines_did_by_the_same_groups(api: Api) -> None:
    key = await api.key(id="key_1")
    for seconds in (1.5, 2.0):
        made = await api.call(
            "POST",
            "/v1/sessions",
            {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en"},
            key=key,
        )
        session_id = made.json()["id"]
        heard = EngineUse("recognition", "deepgram", "de", audio_ms=round(seconds * 1000))
        turns = [said(session_id, number, heard) for number in (1, 2)]
        for turn in turns:
            await api.journal.add_turn(turn)
        spoken = EngineUse("synthesis", "espeak-ng", "en", audio_ms=700, characters=12)
        await api.journal.add_uses({turns[0].id: (heard, spoken)})
        await api.journal.ended(session_id, api.clock.now(), "completed", Usage(10.0, 1.0, 0.0))
        # The end of an ended session changes nothing.
        await api.journal.ended(session_id, api.clock.now(), "completed", Usage(10.0, 1.0, 0.0))
    found = await usage(api, f"{QUERY}&group_by=day,api_key")
    group = {"day": "2026-03-26", "mode": None, "api_key_id": "key_1", "sessions": 2}
    assert found["engines"] == [
        {**group, "kind": "recognition", "engine": "deepgram", "seconds": 7.0, "characters": 0},
        {**group, "kind": "synthesis", "engine": "espeak-ng", "seconds": 1.4, "characters": 24},
    ]
    assert len((await usage(api, f"{QUERY}&group_by="))["engines"]) == 2
    assert (await usage(api, "/v1/usage?start=2026-05-01&end=2026-05-02"))["engines"] == []
    assert await check(api.store) == []
    path = f"/v1/sessions/{session_id}/transcript"
    assert (await api.call("GET", path)).json()["turns"][0]["engines"] == [
        {"kind": "recognition", "engine": "deepgram", "language": "de", "seconds": 2.0, "characters": 0},
        {"kind": "synthesis", "engine": "espeak-ng", "language": "en", "seconds": 0.7, "characters": 12},
    ]


def said(session_id: str, number: int, use: EngineUse) -> Turn:
    moment = datetime(2026, 3, 26, 11, tzinfo=UTC)
    turn_id = f"turn_{session_id[-8:]}_{number}"
    return Turn(turn_id, session_id, number, "part_1", "customer", "de", "Ja", 0, 1000, moment, engines=(use,))
