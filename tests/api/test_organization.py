from __future__ import annotations

from typing import Any

import pytest
from tests.api.conftest import Api


async def test_the_organization(api: Api) -> None:
    await api.create()
    response = await api.call("GET", "/v1/organization")
    found = response.json()
    assert (found["object"], found["status"]) == ("organization", "active")
    assert (found["credits_remaining"], found["credits_used"]) == (999_999, 1)
    assert response.headers["x-api-credits-remaining"] == "999999"


async def test_languages(api: Api) -> None:
    listed = (await api.call("GET", "/v1/languages")).json()
    german = next(one for one in listed["data"] if one["code"] == "de")
    assert (listed["object"], listed["url"], listed["has_more"]) == ("list", "/v1/languages", False)
    assert (german["id"], german["object"], german["name"]) == ("de", "language", "German")
    assert {one["language"] for one in german["translation_to"]} == {"en", "es"}


ORGANIZATION = "/v1/organization"
PATTERN = {"name": "n", "pattern": "x"}


async def changed(api: Api, body: dict[str, Any], key: str | None = None) -> dict[str, Any]:
    response = await api.call("PATCH", ORGANIZATION, body, key=key)
    assert response.status_code == 200, response.text
    assert (await api.call("GET", ORGANIZATION, key=key)).json() == response.json()
    return response.json()


NOTHING = {
    "retention": {"transcripts_days": None, "recordings_days": None, "events_days": None},
    "redaction": {"card_numbers": False, "patterns": []},
}


async def test_its_policy_part_by_part(api: Api) -> None:
    before = (await api.call("GET", ORGANIZATION)).json()
    assert {part: before[part] for part in NOTHING} == NOTHING
    found = await changed(api, {"name": "Müller & Söhne", "retention": {"transcripts_days": 90, "events_days": 1.5}})
    assert found["name"] == "Müller & Söhne"
    assert found["retention"] == {"transcripts_days": 90, "recordings_days": None, "events_days": 1.5}
    found = await changed(api, {"retention": {"transcripts_days": None, "recordings_days": 7}})
    assert found["retention"] == {"transcripts_days": None, "recordings_days": 7, "events_days": 1.5}
    patterns = [{"name": "customer", "pattern": "K-[0-9]{6}"}, {"name": "x", "pattern": "y", "replacement": ""}]
    found = await changed(api, {"redaction": {"card_numbers": True, "patterns": patterns}})
    assert [one["replacement"] for one in found["redaction"]["patterns"]] == ["[customer]", ""]
    found = await changed(api, {"redaction": {"card_numbers": False}})
    assert len(found["redaction"]["patterns"]) == 2
    found = await changed(api, {"redaction": None, "retention": None})
    assert {part: found[part] for part in NOTHING} == NOTHING
    assert await changed(api, {}) == found
    audit = (await api.call("GET", "/v1/audit_log")).json()["data"]
    told = [one["details"]["changed"] for one in audit if one["action"] == "organization.updated"]
    assert told == [
        ["redaction", "retention"],
        ["redaction.card_numbers"],
        ["redaction.card_numbers", "redaction.patterns"],
        ["retention.recordings_days", "retention.transcripts_days"],
        ["name", "retention.events_days", "retention.transcripts_days"],
    ]


async def test_tenants_have_policies_of_their_own(api: Api) -> None:
    other = await api.tenant()
    await changed(api, {"retention": {"transcripts_days": 1}}, key=other)
    assert (await api.call("GET", ORGANIZATION)).json()["retention"] == NOTHING["retention"]
    refused = await api.call("PATCH", ORGANIZATION, {"name": "n"}, key=await api.key(livemode=False))
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "insufficient_permissions")


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"name": ""}, "invalid_field_value", "name"),
        ({"name": None}, "invalid_field_value", "name"),
        ({"plan": "pro"}, "unknown_field", "plan"),
        ({"retention": {"transcripts_days": 0.5}}, "invalid_field_value", "retention.transcripts_days"),
        ({"retention": {"recordings_days": 3651}}, "invalid_field_value", "retention.recordings_days"),
        ({"retention": {"events_days": "7"}}, "invalid_field_value", "retention.events_days"),
        ({"retention": {"days": 7}}, "unknown_field", "retention.days"),
        ({"redaction": {"card_numbers": "yes"}}, "invalid_field_value", "redaction.card_numbers"),
        ({"redaction": {"patterns": None}}, "invalid_field_value", "redaction.patterns"),
        (
            {"redaction": {"patterns": [{"name": "n", "pattern": "x"}] * 21}},
            "invalid_field_value",
            "redaction.patterns",
        ),
        *(
            ({"redaction": {"patterns": [PATTERN, one]}}, code, f"redaction.patterns.1.{field}")
            for one, code, field in (
                ({"name": "n", "pattern": "["}, "invalid_field_value", "pattern"),
                ({"name": "n", "pattern": "(?=x)"}, "invalid_field_value", "pattern"),
                ({"name": "n", "pattern": "x*"}, "invalid_field_value", "pattern"),
                ({"name": "n", "pattern": "^"}, "invalid_field_value", "pattern"),
                ({"name": "n", "pattern": ""}, "invalid_field_value", "pattern"),
                ({"name": "n", "pattern": "x" * 501}, "invalid_field_value", "pattern"),
                ({"name": "<b>", "pattern": "x"}, "invalid_field_value", "name"),
                ({"name": "n"}, "missing_required_field", "pattern"),
                ({"name": "n", "pattern": "x", "replacement": "r" * 101}, "invalid_field_value", "replacement"),
            )
        ),
    ],
)
async def test_policies_that_cannot_be(api: Api, body: dict[str, Any], code: str, param: str) -> None:
    response = await api.call("PATCH", ORGANIZATION, body)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, code, param), error
    assert (await api.call("GET", ORGANIZATION)).json()["redaction"] == NOTHING["redaction"]


async def test_why_a_pattern_is_refused_is_said(api: Api) -> None:
    response = await api.call("PATCH", ORGANIZATION, {"redaction": {"patterns": [{"name": "n", "pattern": "(a"}]}})
    assert "missing ): (a" in response.json()["error"]["message"]
