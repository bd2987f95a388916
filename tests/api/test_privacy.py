"""Deleting a session and taking it along."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import zipfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import soundfile
from sqlalchemy import insert, select
from tests.api.conftest import Api
from tests.api.operations import operations

from kallglot.accounts.model import SCOPES
from kallglot.accounts.policy import Retention
from kallglot.ids import ANALYSIS, TURN, new_id
from kallglot.privacy.retention import Keeper
from kallglot.recording.shelf import ShelfError
from kallglot.session.model import Translation, Turn
from kallglot.store import SqlExpiry
from kallglot.store.tables.analyses import analyses
from kallglot.store.tables.sessions import sessions

SAID = "Wiedersehensfreude"


async def said(api: Api, session_id: str, *texts: str) -> None:
    for n, text in enumerate(texts, 1):
        one = Turn(new_id(TURN), session_id, n, "p", "customer", "de", text, 0, 900, api.clock.now())
        await api.journal.add_turn(replace(one, translations=(Translation("en", f"{text} in en"),)))


async def analysed(api: Api, session_id: str) -> str:
    anl = new_id(ANALYSIS)
    async with api.store.database.write() as connection:
        await connection.execute(
            insert(analyses).values(
                id=anl,
                session_id=session_id,
                organization_id=(await api.organization()).id,
                livemode=True,
                status="complete",
                profile="p",
                include=["summary"],
                created_at=api.clock.now(),
                result={"summary": SAID},
                attempts=1,
            )
        )
    return anl


async def ended(api: Api, **fields: Any) -> str:
    made = await api.create(**fields)
    await said(api, made["id"], SAID)
    await api.call("POST", f"/v1/sessions/{made['id']}/end")
    return made["id"]


def files(api: Api) -> list[Path]:
    folder = Path(str(api.store.database.url.database)).parent / "recordings"
    return [one for one in folder.rglob("*") if one.is_file()]


async def codes(api: Api, session_id: str, recording_id: str) -> set[tuple[int, str]]:
    found: set[tuple[int, str]] = set()
    for path in (
        f"/v1/sessions/{session_id}",
        f"/v1/sessions/{session_id}/transcript",
        f"/v1/sessions/{session_id}/timings",
        f"/v1/sessions/{session_id}/calls",
        f"/v1/sessions/{session_id}/recordings",
        f"/v1/sessions/{session_id}/export",
        f"/v1/recordings/{recording_id}",
        f"/v1/recordings/{recording_id}/audio",
    ):
        response = await api.call("GET", path)
        found.add((response.status_code, response.json()["error"]["code"]))
    return found


async def test_a_deleted_session_is_gone_with_its_files(api: Api) -> None:
    session_id, recording_id = await api.recorded()
    await analysed(api, session_id)
    assert len(files(api)) == 2
    await api.call("GET", f"/v1/recordings/{recording_id}/audio?format=ogg")
    deleted = await api.call("DELETE", f"/v1/sessions/{session_id}")
    assert (deleted.status_code, deleted.json()) == (200, {"id": session_id, "object": "session", "deleted": True})
    assert await codes(api, session_id, recording_id) == {(404, "session_not_found"), (404, "recording_not_found")}
    listed = (await api.call("GET", "/v1/sessions")).json()["data"]
    events = (await api.call("GET", "/v1/events")).json()["data"]
    assert listed == [] == [one for one in events if session_id in json.dumps(one)]
    again = await api.call("DELETE", f"/v1/sessions/{session_id}")
    assert (again.status_code, again.json()["error"]["code"]) == (404, "session_not_found")
    await api.recorder.remove_erased()
    await api.recorder.sweep()
    assert files(api) == []
    audit = (await api.call("GET", "/v1/audit_log")).json()["data"]
    assert [(one["action"], one["target"]) for one in audit if one["action"] == "session.deleted"] == [
        ("session.deleted", session_id)
    ]


async def test_a_session_whose_recording_is_being_made(api: Api) -> None:
    session_id, _ = await api.recorded(finished=False)
    session = await api.journal.load(session_id)
    assert session is not None
    await api.board.end(session, "completed")
    assert len(files(api)) == 1
    assert (await api.call("DELETE", f"/v1/sessions/{session_id}")).status_code == 200
    await api.recorder.finish_ended()
    await api.recorder.remove_erased()
    await api.recorder.sweep()
    assert files(api) == []


async def test_deleted_in_the_moment_in_which_it_reaches_the_shelf(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    session_id, _ = await api.recorded(finished=False)
    session = await api.journal.load(session_id)
    assert session is not None
    await api.board.end(session, "completed")
    shelf = api.recorder._shelf  # pyright: ignore[reportPrivateUsage]
    put = shelf.put

    async def slow(key: str, path: Path) -> None:
        await put(key, path)
        if key.endswith("mp3"):
            await api.call("DELETE", f"/v1/sessions/{session_id}")
            await api.recorder.remove_erased()
            await put(key, path)

    monkeypatch.setattr(shelf, "put", slow)
    await api.recorder.finish_ended()
    await api.recorder.sweep()
    assert files(api) == []


async def test_while_the_store_is_away_files_wait_and_nobody_sees_them(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id, recording_id = await api.recorded()

    async def away(_: str) -> None:
        raise ShelfError("away")

    with monkeypatch.context() as patched:
        patched.setattr(api.recorder._shelf, "delete", away)  # pyright: ignore[reportPrivateUsage]
        assert (await api.call("DELETE", f"/v1/sessions/{session_id}")).status_code == 200
        await api.recorder.remove_erased()
        assert await codes(api, session_id, recording_id) == {(404, "session_not_found"), (404, "recording_not_found")}
        assert len(files(api)) == 2
    await api.recorder.remove_erased()
    assert files(api) == []


async def test_what_is_refused(api: Api) -> None:
    live = (await api.create())["id"]
    refused = await api.call("DELETE", f"/v1/sessions/{live}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "unprocessable")
    early = await api.call("GET", f"/v1/sessions/{live}/export")
    assert (early.status_code, early.json()["error"]["code"]) == (409, "transcript_not_ready")
    recorded, _ = await api.recorded()
    for method, path, lacks in (
        ("DELETE", f"/v1/sessions/{recorded}", "recordings:delete"),
        ("GET", f"/v1/sessions/{recorded}/export", "recordings:read"),
    ):
        key = await api.key(scopes=tuple(scope for scope in SCOPES if scope != lacks))
        refused = await api.call(method, path, key=key)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "insufficient_permissions")
        assert lacks in refused.json()["error"]["message"]
    plain = await ended(api)
    key = await api.key(scopes=("sessions:write",))
    assert (await api.call("DELETE", f"/v1/sessions/{plain}", key=key)).status_code == 200
    for key in (await api.tenant(), await api.key(livemode=False)):
        for method, path in (("DELETE", f"/v1/sessions/{recorded}"), ("GET", f"/v1/sessions/{recorded}/export")):
            refused = await api.call(method, path, key=key)
            assert (refused.status_code, refused.json()["error"]["code"]) == (404, "session_not_found")
    assert (await api.call("GET", f"/v1/sessions/{recorded}")).status_code == 200


async def test_the_document_names_the_scope_that_recordings_need(api: Api) -> None:
    found = operations((await api.client.get("/openapi.json")).json())
    (delete,) = [operation for operation in found if operation.sometimes]
    assert (delete.id, delete.scopes, delete.sometimes) == (
        "delete_session",
        ("sessions:write",),
        ("recordings:delete",),
    )
    recorded, _ = await api.recorded()
    path = delete.path.replace("{session_id}", recorded)
    refused = await api.call(delete.method, path, key=await api.key(scopes=delete.scopes))
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "insufficient_permissions")
    both = await api.key(scopes=(*delete.scopes, *delete.sometimes))
    assert (await api.call(delete.method, path, key=both)).status_code == 200


async def test_deleted_by_two_at_once(api: Api) -> None:
    session_id = await ended(api)
    both = await asyncio.gather(*(api.call("DELETE", f"/v1/sessions/{session_id}") for _ in range(2)))
    assert sorted(one.status_code for one in both) == [200, 404]


async def test_the_key_of_a_deleted_session_is_still_taken(api: Api) -> None:
    body = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en"}
    body["metadata"] = {"name": SAID}  # type: ignore[assignment]
    made = (await api.call("POST", "/v1/sessions", body, Idempotency_Key="one")).json()
    await api.call("POST", f"/v1/sessions/{made['id']}/end")
    await api.call("DELETE", f"/v1/sessions/{made['id']}")
    again = await api.call("POST", "/v1/sessions", body, Idempotency_Key="one")
    assert again.json() == {"id": made["id"], "object": "session", "deleted": True}
    assert again.headers["idempotent-replayed"] == "true"


async def test_an_export_holds_everything(api: Api) -> None:
    session_id, recording_id = await api.recorded()
    async with api.store.database.write() as connection:
        await connection.execute(sessions.update().values(metadata={"../evil": SAID}))
    await said(api, session_id, SAID, *(f"{SAID} {n}" for n in range(150)))
    anl = await analysed(api, session_id)
    response = await api.call("GET", f"/v1/sessions/{session_id}/export")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/zip")
    assert response.headers["content-disposition"] == f'attachment; filename="{session_id}.zip"'
    with zipfile.ZipFile(io.BytesIO(response.content)) as read:
        assert read.testzip() is None
        manifest = json.loads(read.read("manifest.json"))
        names = [one["name"] for one in manifest["files"]]
        assert set(read.namelist()) == {*names, "manifest.json"}
        assert set(names) == {
            "session.json",
            "calls.json",
            "transcript.json",
            "transcript.txt",
            "transcript.srt",
            "transcript.vtt",
            "timings.json",
            "analyses.json",
            "events.json",
            "recordings/mixed.mp3",
        }
        for one in manifest["files"]:
            assert hashlib.sha256(read.read(one["name"])).hexdigest() == one["sha256"]
        assert manifest["left_out"] == []
        assert json.loads(read.read("session.json"))["metadata"] == {"../evil": SAID}
        assert len(json.loads(read.read("transcript.json"))["turns"]) == 151
        assert read.read("transcript.srt").decode().count("-->") == 151
        events = json.loads(read.read("events.json"))
        assert len([one for one in events if one["type"] == "transcript.segment"]) == 151
        assert len({one["id"] for one in events}) == len(events)
        assert json.loads(read.read("analyses.json"))[0]["id"] == anl
        sound = read.read("recordings/mixed.mp3")
    assert sound == (await api.call("GET", f"/v1/recordings/{recording_id}/audio")).content
    audio, rate = soundfile.read(io.BytesIO(sound))
    assert len(audio) / rate > 0.4


async def test_what_an_export_leaves_out_is_said(api: Api) -> None:
    session_id, recording_id = await api.recorded()
    await said(api, session_id, SAID)
    await Keeper(SqlExpiry(api.store.database), Retention(1 / 86400, 30, 30), api.clock).look()
    api.clock.advance(30 * 86400 + 60)
    await Keeper(SqlExpiry(api.store.database), Retention(1, 30, 30), api.clock).look()
    key = await api.key(scopes=("sessions:read", "recordings:read"))
    response = await api.call("GET", f"/v1/sessions/{session_id}/export", key=key)
    with zipfile.ZipFile(io.BytesIO(response.content)) as read:
        manifest = json.loads(read.read("manifest.json"))
        assert [one["name"] for one in manifest["left_out"]] == [
            "transcript.json",
            "analyses.json",
            "recordings/mixed.mp3",
        ]
        assert SAID not in "".join(read.read(name).decode(errors="replace") for name in read.namelist())
    gone = await api.call("GET", f"/v1/sessions/{session_id}/transcript")
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "resource_not_found")
    assert (await api.call("GET", f"/v1/recordings/{recording_id}/audio")).status_code == 410
    assert (await api.call("GET", f"/v1/sessions/{session_id}")).status_code == 200


async def test_no_export_while_the_sound_is_away_or_being_made(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    session_id, _ = await api.recorded()

    async def away(*_: object) -> Path:
        raise ShelfError("away")

    with monkeypatch.context() as patched:
        patched.setattr(api.recorder, "audio", away)
        response = await api.call("GET", f"/v1/sessions/{session_id}/export")
    assert (response.status_code, response.json()["error"]["code"]) == (503, "unavailable")
    early, _ = await api.recorded(finished=False)
    session = await api.journal.load(early)
    assert session is not None
    await api.board.end(session, "completed")
    response = await api.call("GET", f"/v1/sessions/{early}/export")
    assert (response.status_code, response.json()["error"]["code"]) == (409, "recording_not_ready")


async def test_an_organizations_days_for_recordings_hold_when_they_become_ready(api: Api) -> None:
    await api.call("PATCH", "/v1/organization", {"retention": {"recordings_days": 3}})
    _, recording_id = await api.recorded()
    shown = (await api.call("GET", f"/v1/recordings/{recording_id}")).json()
    assert shown["expires_at"].startswith(f"{(api.clock.now() + timedelta(days=3)).date()}")


async def test_sessions_keep_the_redaction_of_their_beginning(api: Api) -> None:
    await api.call("PATCH", "/v1/organization", {"redaction": {"card_numbers": True}})
    first = (await api.create())["id"]
    await api.call("PATCH", "/v1/organization", {"redaction": None})
    second = (await api.create())["id"]
    async with api.store.database.read() as connection:
        rows = await connection.execute(select(sessions.c.id, sessions.c.redaction))
        kept = {row.id: row.redaction for row in rows}
    assert kept == {first: {"card_numbers": True, "patterns": []}, second: None}
