"""Two organisations, and one organisation's live and test side: nobody reaches what is another's."""

from __future__ import annotations

from typing import Any

from tests.api.conftest import Api

from kallglot.session.model import Turn

OBJECT = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en"}


def routes(session_id: str, key_id: str, recording_id: str) -> list[tuple[str, str, Any, str]]:
    return [
        ("GET", f"/v1/sessions/{session_id}", None, "session_not_found"),
        ("PATCH", f"/v1/sessions/{session_id}", {"metadata": {"stolen": "yes"}}, "session_not_found"),
        ("POST", f"/v1/sessions/{session_id}/end", None, "session_not_found"),
        ("GET", f"/v1/sessions/{session_id}/transcript", None, "session_not_found"),
        ("GET", f"/v1/sessions/{session_id}/transcript?format=srt", None, "session_not_found"),
        ("GET", f"/v1/sessions/{session_id}/recordings", None, "session_not_found"),
        ("GET", f"/v1/sessions/{session_id}/timings", None, "session_not_found"),
        ("GET", f"/v1/recordings/{recording_id}", None, "recording_not_found"),
        ("GET", f"/v1/recordings/{recording_id}/audio", None, "recording_not_found"),
        ("GET", f"/v1/recordings/{recording_id}/download", None, "recording_not_found"),
        ("DELETE", f"/v1/recordings/{recording_id}", None, "recording_not_found"),
        ("GET", f"/v1/api_keys/{key_id}", None, "resource_not_found"),
        ("DELETE", f"/v1/api_keys/{key_id}", None, "resource_not_found"),
    ]


async def owned(api: Api, key: str) -> tuple[str, str, str]:
    """A session with a turn, an API key and a recording, made with ``key``."""
    made = (await api.call("POST", "/v1/sessions", OBJECT, key=key)).json()
    at = api.clock.now()
    await api.journal.add_turn(
        Turn(f"turn_{made['id']}", made["id"], 1, "part_1", "customer", "de", "Geheim", 0, 9, at)
    )
    spare = (await api.call("POST", "/v1/api_keys", {"name": "spare"}, key=key)).json()
    _, recording_id = await api.recorded(key=key)
    return made["id"], spare["id"], recording_id


async def assert_out_of_reach(
    api: Api, stranger: str, owner: str, session_id: str, key_id: str, recording_id: str
) -> None:
    for method, path, body, code in routes(session_id, key_id, recording_id):
        response = await api.call(method, path, body, key=stranger)
        assert (response.status_code, response.json()["error"]["code"]) == (404, code), (method, path)
        assert "Geheim" not in response.text
    for path, cursor in (("/v1/sessions", session_id), ("/v1/api_keys", key_id)):
        listed = (await api.call("GET", f"{path}?limit=100", key=stranger)).json()["data"]
        assert cursor not in [one["id"] for one in listed]
        for name in ("starting_after", "ending_before"):
            response = await api.call("GET", f"{path}?{name}={cursor}", key=stranger)
            assert (response.status_code, response.json()["error"]["param"]) == (400, name), path
    found = (await api.call("GET", f"/v1/sessions/{session_id}", key=owner)).json()
    assert (found["status"], found["metadata"]) == ("created", None)
    assert (await api.call("GET", f"/v1/api_keys/{key_id}", key=owner)).json()["revoked_at"] is None
    assert (await api.call("GET", f"/v1/recordings/{recording_id}/audio", key=owner)).status_code == 200


async def test_two_organizations_with_every_id_swapped(api: Api) -> None:
    ours, theirs = api.secret, await api.tenant()
    our_ids, their_ids = await owned(api, ours), await owned(api, theirs)
    await assert_out_of_reach(api, theirs, ours, *our_ids)
    await assert_out_of_reach(api, ours, theirs, *their_ids)
    assert (await api.call("GET", "/v1/organization", key=theirs)).json()["name"] == "Other"


async def test_a_test_key_reaches_nothing_live(api: Api) -> None:
    test_key = await api.key(livemode=False)
    await assert_out_of_reach(api, test_key, api.secret, *await owned(api, api.secret))


async def test_a_live_key_reaches_no_test_session(api: Api) -> None:
    test_key = await api.key(livemode=False)
    session_id, _, recording_id = await owned(api, test_key)
    for method, path, body, code in routes(session_id, "key_none", recording_id):
        response = await api.call(method, path, body)
        assert (response.status_code, response.json()["error"]["code"]) == (404, code), (method, path)


async def test_ids_that_are_none(api: Api) -> None:
    for wrong in ("sess_", "x" * 65, "sess_%00", "sess_1%0A", "%F0%9F%98%80", "..%2f..", "' OR 1=1"):
        for method, path, body, _ in routes(wrong, wrong, wrong):
            response = await api.call(method, path, body)
            assert response.status_code == 404, (method, path)
