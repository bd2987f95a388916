from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from tests.api.conftest import Api

from kallglot.ids import transcript_id
from kallglot.session.model import Translation, Turn

OBJECT = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en"}


async def test_create_answers_with_everything(api: Api) -> None:
    response = await api.call("POST", "/v1/sessions", OBJECT | {"metadata": {"a": "1"}})
    session = response.json()
    assert response.status_code == 201
    assert session["id"].startswith("sess_")
    assert session["stream"]["url"] == f"ws://testserver/v1/sessions/{session['id']}/connect"
    assert session["stream"]["token"].startswith("kst_live_")
    assert session["stream"]["expires_at"] == "2026-03-26T11:05:00Z"
    assert session["created_at"] == "2026-03-26T11:00:00Z"
    assert [(one["role"], one["language"]) for one in session["participants"]] == [("customer", "de"), ("agent", "en")]
    assert session["recording"] == {"enabled": False, "channels": "dual"}
    assert (session["livemode"], session["status"], session["usage"]) == (True, "created", None)
    headers = response.headers
    assert headers["x-request-id"].startswith("req_")
    assert (headers["x-api-credits-remaining"], headers["x-api-credits-used"]) == ("999999", "1")
    assert (headers["x-ratelimit-limit"], headers["x-ratelimit-remaining"]) == ("6000", "5999")
    assert headers["ratelimit-policy"] == '"sessions_write";q=6000;w=60'
    stored = await api.journal.load(session["id"])
    assert stored is not None
    assert stored.deadline_at == api.clock.now() + timedelta(minutes=30)


async def test_only_mode_is_required(api: Api) -> None:
    response = await api.call("POST", "/v1/sessions", {"mode": "bidirectional_translation"})
    assert response.status_code == 201
    assert response.json()["source_language"] is None


EVERYTHING: dict[str, Any] = {
    "participants": [
        {"role": "customer", "language": "de", "name": "Erika"},
        {"type": "agent", "language": "en-us"},
    ],
    "voice": {"de": {"name": "a", "speed": 1.2}},
    "recording": {"enabled": True, "channels": "mono"},
    "transcription": {"partials": False, "terms": ["Kallglot"], "profanity_filter": True},
    "translation": {"glossary": [{"source": "a", "target": "b"}], "formality": "formal"},
    "webhook_url": "https://example.com/hook",
    "metadata": {"k" * 40: "v" * 500},
    "routing": {"type": "sip", "direction": "inbound", "sip": {"from_uri": "sip:a@example.com", "password": "geheim"}},
}


async def test_every_field_is_kept_and_echoed_and_secrets_are_not(api: Api) -> None:
    made = await api.create(**EVERYTHING)
    found = (await api.call("GET", f"/v1/sessions/{made['id']}")).json()
    assert {**found, "stream": None} == {**made, "stream": None}
    assert found["participants"][1]["language"] == "en-US"
    assert found["voice"] == EVERYTHING["voice"]
    assert found["provider"] == "sip"
    assert found["sip_uri"] is None
    assert found["transcription"] == EVERYTHING["transcription"]
    assert "geheim" not in str(found)
    stored = await api.journal.load(made["id"])
    assert "geheim" not in str(stored)


@pytest.mark.parametrize(
    ("change", "status", "code", "param"),
    [
        ({"mode": None}, 400, "invalid_mode", "mode"),
        ({"mode": "duet"}, 400, "invalid_mode", "mode"),
        ({"colour": 1}, 400, "unknown_field", "colour"),
        ({"source_language": "german"}, 400, "invalid_language_code", "source_language"),
        ({"source_language": "xx"}, 400, "invalid_language_code", "source_language"),
        ({"source_language": 5}, 400, "invalid_field_value", "source_language"),
        ({"target_language": "fr"}, 400, "unsupported_language_pair", "target_language"),
        ({"metadata": {"k": 1}}, 400, "invalid_field_value", "metadata.k"),
        ({"metadata": {"k" * 41: "v"}}, 400, "invalid_field_value", None),
        ({"metadata": {"k": "v" * 501}}, 400, "invalid_field_value", "metadata.k"),
        ({"metadata": {f"k{n}": "" for n in range(51)}}, 400, "invalid_field_value", "metadata"),
        ({"metadata": {"k": "a\u0000b"}}, 400, "invalid_field_value", "metadata.k"),
        ({"metadata": {"k": "\ud800"}}, 400, "invalid_field_value", "metadata.k"),
        ({"webhook_url": "http://example.com"}, 400, "invalid_field_value", "webhook_url"),
        ({"recording": {"channels": "quad"}}, 400, "invalid_field_value", "recording.channels"),
        ({"recording": {"enabled": "yes"}}, 400, "invalid_field_value", "recording.enabled"),
        ({"participants": []}, 400, "invalid_field_value", "participants"),
        ({"participants": [{"language": "de"}]}, 400, "missing_required_field", "participants.0.role"),
        ({"participants": [{"role": "boss"}]}, 400, "invalid_field_value", "participants.0.role"),
        ({"voice": {"speed": 9.0}}, 400, "invalid_field_value", "voice.speed"),
        ({"routing": {"phone_number": "123"}}, 400, "invalid_phone_number", "routing.phone_number"),
        ({"routing": {"phone_number": "+14155551234"}}, 400, "routing_unavailable", "routing.phone_number"),
        (
            {"routing": {"phone_number": "+14155551234", "type": "sip"}},
            400,
            "conflicting_fields",
            "routing",
        ),
        ({"routing": {"connection_id": "pcon_01HXYZ"}}, 404, "connection_not_found", "routing.connection_id"),
        ({"routing": {"direction": "inbound"}}, 400, "routing_unavailable", "routing"),
        ({"routing": {"type": "sip", "direction": "outbound"}}, 403, "feature_not_available", "routing.direction"),
        ({"mode": "ai_agent", "ai_agent": {"agent_id": "agt_1"}}, 404, "ai_agent_not_found", "ai_agent.agent_id"),
        ({"mode": "ai_agent", "ai_agent": {"system_prompt": "Be"}}, 403, "feature_not_available", "ai_agent"),
        ({"ai_agent": {"system_prompt": "Be"}}, 400, "conflicting_fields", "ai_agent"),
        ({"provider": {"type": "pigeon"}}, 400, "invalid_field_value", "provider.type"),
        ({"provider": {"type": "twilio"}, "routing": {"type": "sip"}}, 400, "conflicting_fields", "provider"),
        ({"provider": {"type": "twilio", "sip_uri": "sip:a@b"}}, 400, "conflicting_fields", "provider"),
    ],
)
async def test_bad_requests_say_what_is_wrong_and_leave_nothing(
    api: Api, change: dict[str, Any], status: int, code: str, param: str | None
) -> None:
    response = await api.call("POST", "/v1/sessions", OBJECT | change)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code), error
    assert error["param"] == param or param is None
    assert error["request_id"] == response.headers["x-request-id"]
    assert error["message"]
    assert (await api.organization()).credits_used == 0
    assert (await api.call("GET", "/v1/sessions")).json()["data"] == []


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b"[" * 50_000, b'{"a": NaN}'])
async def test_what_is_not_json_is_invalid_json(api: Api, raw: bytes) -> None:
    headers = {"Authorization": f"Bearer {api.secret}"}
    response = await api.client.post("/v1/sessions", content=raw, headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_json")


async def test_too_large_a_body(api: Api) -> None:
    response = await api.call("POST", "/v1/sessions", OBJECT | {"metadata": {"k": "v" * 70_000}})
    assert (response.status_code, response.json()["error"]["code"]) == (413, "request_too_large")


async def test_an_owned_number_routes(api: Api) -> None:
    from kallglot.accounts.model import PhoneNumber

    owner = (await api.organization()).id
    async with api.store.write() as unit:
        await unit.phone_numbers.add(PhoneNumber("pn_1", owner, "+14155551234", "telnyx", True, api.clock.now()))
    made = await api.create(routing={"phone_number": "+14155551234"})
    assert (made["provider"], made["phone_number"]) == ("telnyx", "+14155551234")
    other = await api.tenant()
    refused = await api.call("POST", "/v1/sessions", OBJECT | {"routing": {"phone_number": "+14155551234"}}, key=other)
    assert refused.json()["error"]["code"] == "routing_unavailable"


async def test_the_older_form_is_understood_and_answered_in_kind(api: Api) -> None:
    body = OBJECT | {"provider": {"type": "twilio", "call_sid": "CA123", "phone_number": "+14155551234"}}
    response = await api.call("POST", "/v1/sessions", body)
    assert response.headers["deprecation"]
    nested = {"type": "twilio", "call_sid": "CA123", "phone_number": "+14155551234", "status": "pending"}
    assert response.json()["provider"] == nested
    made = response.json()
    assert (await api.call("GET", f"/v1/sessions/{made['id']}")).json()["provider"] == nested
    sip = {"type": "sip", "sip_uri": "sip:a@b.com", "credentials": {"username": "u", "password": "geheim"}}
    answered = await api.call("POST", "/v1/sessions", OBJECT | {"provider": sip})
    assert answered.status_code == 201
    assert "geheim" not in answered.text
    assert "geheim" not in str(await api.journal.load(answered.json()["id"]))


async def test_test_keys_see_test_sessions_and_spend_nothing(api: Api) -> None:
    test_key = await api.key(livemode=False)
    made = (await api.call("POST", "/v1/sessions", OBJECT, key=test_key)).json()
    assert made["livemode"] is False
    assert made["stream"]["token"].startswith("kst_test_")
    assert (await api.organization()).credits_used == 0
    assert (await api.call("GET", f"/v1/sessions/{made['id']}")).status_code == 404
    assert (await api.call("GET", f"/v1/sessions/{made['id']}", key=test_key)).status_code == 200


async def test_credits_run_out(api: Api) -> None:
    key = await api.tenant(credits=2)
    found = [(await api.call("POST", "/v1/sessions", OBJECT, key=key)) for _ in range(3)]
    assert [response.status_code for response in found] == [201, 201, 402]
    assert found[2].json()["error"]["code"] == "insufficient_api_credits"
    assert [response.headers["x-api-credits-remaining"] for response in found] == ["1", "0", "0"]


async def test_only_so_many_sessions_at_a_time(api: Api) -> None:
    key = await api.tenant(plan="free")
    found = await asyncio.gather(*(api.call("POST", "/v1/sessions", OBJECT, key=key) for _ in range(6)))
    assert sorted(response.status_code for response in found) == [201, 201, 429, 429, 429, 429]
    refused = next(response for response in found if response.status_code == 429)
    assert refused.json()["error"]["code"] == "concurrent_session_limit_exceeded"
    assert int(refused.headers["retry-after"]) > 0
    made = next(response for response in found if response.status_code == 201).json()
    await api.call("POST", f"/v1/sessions/{made['id']}/end", key=key)
    assert (await api.call("POST", "/v1/sessions", OBJECT, key=key)).status_code == 201


async def test_a_busy_server_takes_no_more(api: Api) -> None:
    api.busy.append(5)
    response = await api.call("POST", "/v1/sessions", OBJECT)
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert response.json()["error"]["code"] == "overloaded"


async def test_lists_filters_and_cursors(api: Api) -> None:
    made = []
    for n in range(5):
        made.append((await api.create(metadata={"n": str(n), "all": "yes"}))["id"])
        api.clock.advance(60)
    newest_first = sorted(made, reverse=True)

    async def ids(query: str) -> list[str]:
        response = await api.call("GET", f"/v1/sessions?{query}")
        assert response.status_code == 200, response.text
        return [one["id"] for one in response.json()["data"]]

    first = (await api.call("GET", "/v1/sessions?limit=2")).json()
    assert (first["object"], first["url"], first["has_more"]) == ("list", "/v1/sessions", True)
    assert [one["id"] for one in first["data"]] == newest_first[:2]
    assert await ids(f"limit=2&starting_after={newest_first[1]}") == newest_first[2:4]
    assert await ids(f"ending_before={newest_first[2]}") == newest_first[:2]
    assert await ids("metadata[n]=3") == [made[3]]
    assert await ids("metadata[n]=3&metadata[all]=no") == []
    assert await ids("created_after=2026-03-26T11:02:00Z") == [made[4], made[3]]
    assert await ids("created_before=2026-03-26T12:01:00%2B01:00") == [made[0]]
    assert await ids("status=ended") == []
    await api.call("POST", f"/v1/sessions/{made[0]}/end")
    assert await ids("status=ended&mode=bidirectional_translation") == [made[0]]


@pytest.mark.parametrize(
    ("query", "code", "param"),
    [
        ("limit=0", "invalid_field_value", "limit"),
        ("limit=101", "invalid_field_value", "limit"),
        ("limit=x", "invalid_field_value", "limit"),
        ("status=gone", "invalid_field_value", "status"),
        ("mode=duet", "invalid_mode", "mode"),
        ("starting_after=sess_nowhere", "invalid_field_value", "starting_after"),
        ("starting_after=a&ending_before=b", "conflicting_fields", "ending_before"),
        ("created_after=yesterday", "invalid_field_value", "created_after"),
        ("created_after=2026-03-26T11:00:00", "invalid_field_value", "created_after"),
        ("metadata[a]=%00", "invalid_field_value", "metadata[a]"),
    ],
)
async def test_bad_lists(api: Api, query: str, code: str, param: str) -> None:
    response = await api.call("GET", f"/v1/sessions?{query}")
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, code, param)


async def test_metadata_changes_like_a_merge(api: Api) -> None:
    made = await api.create(metadata={"a": "1", "b": "2"})
    path = f"/v1/sessions/{made['id']}"
    changed = (await api.call("PATCH", path, {"metadata": {"a": None, "c": "3"}})).json()
    assert changed["metadata"] == {"b": "2", "c": "3"}
    many = {f"k{n}": "" for n in range(49)}
    assert (await api.call("PATCH", path, {"metadata": many})).status_code == 400
    assert (await api.call("PATCH", path, {"metadata": None})).json()["metadata"] is None
    refused = await api.call("PATCH", path, {"metadata": {}, "mode": "ai_agent"})
    assert refused.json()["error"]["code"] == "unknown_field"
    assert (await api.call("PATCH", path, {})).json()["error"]["code"] == "missing_required_field"


async def test_ending(api: Api) -> None:
    made = await api.create()
    path = f"/v1/sessions/{made['id']}"
    refused = await api.call("POST", f"{path}/end", {"reason": "bored"})
    assert refused.json()["error"]["param"] == "reason"
    first = await api.call("POST", f"{path}/end", {"reason": "customer_hangup"})
    assert first.status_code == 200
    assert first.json() == {
        "id": made["id"],
        "object": "session",
        "status": "ended",
        "duration_seconds": 0.0,
        "ended_at": "2026-03-26T11:00:00Z",
        "end_reason": "customer_hangup",
    }
    api.clock.advance(60)
    assert (await api.call("POST", f"{path}/end")).json() == first.json()
    found = (await api.call("GET", path)).json()
    assert (found["stream"], found["status"]) == (None, "ended")
    assert found["usage"] == {"session_seconds": 0.0, "translation_seconds": 0.0, "ai_agent_seconds": 0.0}


async def test_a_fresh_token_every_time(api: Api) -> None:
    made = await api.create()
    api.clock.advance(200)
    found = (await api.call("GET", f"/v1/sessions/{made['id']}")).json()
    assert found["stream"]["expires_at"] > made["stream"]["expires_at"]


def turn(session_id: str, sequence: int, text: str, start_ms: int) -> Turn:
    from kallglot.clock import FakeClock

    return Turn(
        id=f"turn_{sequence}",
        session_id=session_id,
        sequence=sequence,
        participant_id="part_1",
        speaker="customer",
        language="de",
        text=text,
        start_ms=start_ms,
        end_ms=start_ms + 1500,
        created_at=FakeClock().now(),
        confidence=0.96,
        translations=(Translation("en", "I want <b> & more\n--> now"),),
    )


async def test_transcripts(api: Api) -> None:
    made = await api.create()
    path = f"/v1/sessions/{made['id']}/transcript"
    empty = (await api.call("GET", path)).json()
    assert (empty["status"], empty["turns"], empty["id"]) == ("in_progress", [], transcript_id(made["id"]))
    await api.journal.add_turn(turn(made["id"], 1, "Ich möchte", 500))
    await api.journal.add_turn(turn(made["id"], 2, "Danke", 3_600_000))
    found = (await api.call("GET", path)).json()
    assert found["metadata"] == {"total_turns": 2, "duration_seconds": 0.0, "languages_detected": ["de"]}
    assert found["turns"][0] == {
        "sequence": 1,
        "id": "turn_1",
        "speaker": "customer",
        "participant_id": "part_1",
        "language": "de",
        "text": "Ich möchte",
        "translation": {"language": "en", "text": "I want <b> & more\n--> now"},
        "translations": [{"language": "en", "text": "I want <b> & more\n--> now"}],
        "confidence": 0.96,
        "start_ms": 500,
        "end_ms": 2000,
        "timestamp": "2026-03-26T11:00:00Z",
        "engines": [],
    }
    bare = (await api.call("GET", f"{path}?include_translations=false")).json()
    assert (bare["turns"][0]["translation"], bare["turns"][0]["translations"]) == (None, [])
    text = await api.call("GET", f"{path}?format=text&include_translations=false")
    assert text.text == "[00:00:00.500] customer: Ich möchte\n[01:00:00.000] customer: Danke\n"
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    srt = await api.call("GET", f"{path}?format=srt")
    assert srt.text.startswith(
        "1\n00:00:00,500 --> 00:00:02,000\ncustomer: Ich möchte\nI want <b> & more → now\n\n2\n01:00:00,000 -->"
    )
    vtt = await api.call("GET", f"{path}?format=vtt")
    assert vtt.text.startswith("WEBVTT\n\nturn_1\n00:00:00.500 --> 00:00:02.000\n<v customer>Ich möchte\nI want &lt;b")
    assert vtt.headers["content-type"] == "text/vtt; charset=utf-8"
    assert (await api.call("GET", f"{path}?format=pdf")).json()["error"]["param"] == "format"


async def test_recordings_are_an_empty_list(api: Api) -> None:
    made = await api.create(recording={"enabled": True})
    found = await api.call("GET", f"/v1/sessions/{made['id']}/recordings")
    assert found.json() == {
        "object": "list",
        "url": f"/v1/sessions/{made['id']}/recordings",
        "has_more": False,
        "data": [],
    }


ENGINES = {"recognition": {"de": ["scripted", "local"]}, "translation": {"de>en": ["local"]}}


async def test_the_engines_of_a_session_and_of_its_organization(api: Api) -> None:
    listed = (await api.call("GET", "/v1/languages")).json()["data"]
    german = next(one for one in listed if one["code"] == "de")
    assert (german["recognizers"], german["synthesizers"]) == (["scripted"], ["scripted"])
    made = await api.create(engines=ENGINES)
    assert made["engines"] == {**ENGINES}
    assert (await api.create())["engines"] is None
    policy = {"recognition": {"*": ["local"], "de": ["local"]}, "synthesis": {"en": ["scripted"]}}
    changed = await api.call("PATCH", "/v1/organization", {"engines": policy})
    assert changed.json()["engines"] == {"translation": {}, **policy}
    assert (await api.create())["engines"] == policy
    assert (await api.create(engines=ENGINES))["engines"] == {
        "recognition": {"*": ["local"], "de": ["scripted", "local"]},
        "translation": {"de>en": ["local"]},
        "synthesis": {"en": ["scripted"]},
    }
    changed = await api.call("PATCH", "/v1/organization", {"engines": {"synthesis": None}})
    assert changed.json()["engines"] == {"recognition": policy["recognition"], "translation": {}, "synthesis": {}}
    await api.call("PATCH", "/v1/organization", {"engines": None})
    assert (await api.create())["engines"] is None


@pytest.mark.parametrize(
    ("engines", "code", "param"),
    [
        ({"recognition": {"de": ["deepgram"]}}, "invalid_field_value", "engines.recognition.de.0"),
        ({"translation": {"de>en": ["local", "x"]}}, "invalid_field_value", "engines.translation.de>en.1"),
        ({"recognition": {"de": []}}, "invalid_field_value", "engines.recognition.de"),
        ({"recognition": {"de": ["local", "local"]}}, "invalid_field_value", "engines.recognition"),
        ({"recognition": {"de>en": ["local"]}}, None, "engines.recognition"),
        ({"translation": {"de": ["local"]}}, None, "engines.translation"),
        ({"analysis": {"de": ["local"]}}, "unknown_field", "engines.analysis"),
        ({"recognition": {"de": "local"}}, "invalid_field_value", "engines.recognition.de"),
    ],
)
async def test_engines_that_cannot_be_chosen(api: Api, engines: Any, code: str | None, param: str) -> None:
    body = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en", "engines": engines}
    for method, path, given in (("POST", "/v1/sessions", body), ("PATCH", "/v1/organization", {"engines": engines})):
        response = await api.call(method, path, given)
        error = response.json()["error"]
        assert (response.status_code, error["param"]) == (400, param), error
        assert code is None or error["code"] == code


async def test_a_session_whose_engines_do_not_serve_its_languages(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.registry, "names", lambda kind: ["elsewhere"])
    body = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en"}
    chosen = {"synthesis": {"*": ["elsewhere"]}}
    response = await api.call("POST", "/v1/sessions", {**body, "engines": chosen})
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "unsupported_language_pair"
    assert response.json()["error"]["message"].startswith("engines.synthesis: of elsewhere none is ready")
