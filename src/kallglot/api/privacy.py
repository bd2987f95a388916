"""Deleting a session with everything that tells of it, and taking all of it along."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from kallglot.accounts.ports import Page
from kallglot.api import views
from kallglot.api.auditing import note
from kallglot.api.auth import Caller, requires
from kallglot.api.openapi import documented
from kallglot.api.ports.events import EventFilter
from kallglot.api.recordings import AGAIN_SECONDS
from kallglot.api.services import ApiServices, services
from kallglot.api.sessions import find
from kallglot.api.timings import as_object as timings_object
from kallglot.api.transcripts import as_srt, as_text, as_vtt
from kallglot.carriers.notices import view as call_view
from kallglot.clock import iso
from kallglot.errors import KallglotError
from kallglot.privacy.archive import PIECE_BYTES, Archive, whole
from kallglot.recording.model import DEFAULT_FORMAT, Recording
from kallglot.recording.render import RenderFailed
from kallglot.recording.shelf import ShelfError
from kallglot.session.model import Session, Turn

router = APIRouter(prefix="/v1/sessions", tags=["sessions"])

_AT_A_TIME: Final = 100


@router.delete("/{session_id}", **documented("delete_session"))
async def delete(
    request: Request,
    session_id: str,
    caller: Caller = requires("sessions:write", "sessions_write", sometimes=("recordings:delete",)),
) -> dict[str, Any]:
    """Deletes an ended session with its transcript, recordings, calls, events and analyses. Where it has recordings
    the key needs recordings:delete too."""
    given = services(request)
    await find(given, caller, session_id)
    async with given.store.write() as unit:
        status = await unit.privacy.lock(session_id)
        if status is None:
            raise KallglotError("session_not_found", "There is no such session.")
        if status != "ended":
            raise KallglotError("unprocessable", "The session has not ended: end it first.")
        if await unit.privacy.recorded(session_id):
            _need_recordings_delete(caller)
        await unit.privacy.delete_session(session_id, given.clock.now())
        await note(unit, request, caller, "session.deleted", session_id)
    if given.recordings is not None:
        given.recordings.look()
    return {"id": session_id, "object": "session", "deleted": True}


@router.get("/{session_id}/export", **documented("export_session"))
async def export(
    request: Request, session_id: str, caller: Caller = requires("sessions:read", "recordings", "recordings:read")
) -> Response:
    """A ZIP file with everything that is kept of an ended session. The key needs recordings:read too; analyses are in
    it where the key has analysis:read."""
    given = services(request)
    session = await find(given, caller, session_id)
    if session.status != "ended":
        raise KallglotError("transcript_not_ready", "The session has not ended: end it first.", retry_after=5)
    parts = await _collect(given, caller, session)
    async with AsyncExitStack() as opened:
        sounds = [(one, await _open(given, one, opened)) for one in parts.recordings]
        keep = opened.pop_all()
    return StreamingResponse(
        _sent(given, session, parts, sounds, keep),
        media_type="application/zip",
        headers={"Content-Disposition": f'attachment; filename="{session.id}.zip"', "Cache-Control": "no-store"},
    )


@dataclass(frozen=True, slots=True)
class _Parts:
    files: list[tuple[str, Callable[[], str]]]
    recordings: list[Recording]
    left_out: list[dict[str, str]]


async def _collect(given: ApiServices, caller: Caller, session: Session) -> _Parts:
    """But for events, of which there may be many, and for sound."""
    left_out: list[dict[str, str]] = []
    async with given.store.read() as unit:
        turns = await unit.turns.list(session.id)
        times = await unit.turns.timings(session.id)
        calls = await unit.calls.of_session(session.id)
        recordings, _ = await unit.recordings.list(session.id, Page(_AT_A_TIME))
        analyses = await unit.privacy.analyses(session.id)
    newest = calls[-1] if calls else None
    files: list[tuple[str, Callable[[], str]]] = [
        ("session.json", lambda: _json(views.session_object(session, newest))),
        ("calls.json", lambda: _json([call_view(call) for call in calls])),
    ]
    if session.transcript_deleted_at is None:
        files += _transcripts(session, turns)
        files.append(("timings.json", lambda: _json(timings_object(session.id, times))))
    else:
        reason = f"its time was over at {iso(session.transcript_deleted_at)}"
        left_out.append({"name": "transcript.json", "reason": reason})
    if "analysis:read" in caller.key.scopes:
        files.append(("analyses.json", lambda: _json(analyses)))
    else:
        left_out.append({"name": "analyses.json", "reason": "the API key lacks the scope analysis:read"})
    kept: list[Recording] = []
    for one in recordings:
        expired = one.expires_at is not None and one.expires_at <= given.clock.now()
        if one.status == "processing":
            raise KallglotError("recording_not_ready", "The recording is being made.", retry_after=AGAIN_SECONDS)
        if one.status == "failed" or expired or not one.stored:
            reason = "it could not be made" if one.status == "failed" else "it was kept until its expires_at"
            left_out.append({"name": _sound_name(one), "reason": reason})
        else:
            kept.append(one)
    return _Parts(files, kept, left_out)


def _transcripts(session: Session, turns: list[Turn]) -> list[tuple[str, Callable[[], str]]]:
    seconds = session.duration_seconds or 0.0
    return [
        (
            "transcript.json",
            lambda: _json(views.transcript(session, turns, include_translations=True, seconds=seconds)),
        ),
        ("transcript.txt", lambda: as_text(turns, True)),
        ("transcript.srt", lambda: as_srt(turns, True)),
        ("transcript.vtt", lambda: as_vtt(turns, True)),
    ]


async def _open(given: ApiServices, one: Recording, opened: AsyncExitStack) -> BinaryIO:
    """Open before the answer begins: what is deleted meanwhile is still read to its end."""
    try:
        if given.recordings is None:
            raise ShelfError("there is no shelf")
        path: Path = await given.recordings.audio(one, DEFAULT_FORMAT)
        file = await asyncio.to_thread(path.open, "rb")
    except (ShelfError, RenderFailed, OSError):
        message = "The recording cannot be fetched from where it is kept."
        raise KallglotError("unavailable", message, retry_after=AGAIN_SECONDS) from None
    opened.push_async_callback(asyncio.to_thread, file.close)
    return file


async def _sent(
    given: ApiServices,
    session: Session,
    parts: _Parts,
    sounds: list[tuple[Recording, BinaryIO]],
    keep: AsyncExitStack,
) -> AsyncGenerator[bytes]:
    async with keep:
        about = {"object": "export", "session_id": session.id, "left_out": parts.left_out}
        archive = Archive(about, given.clock.now())
        for name, content in parts.files:
            text = await asyncio.to_thread(content)
            async for ready in archive.add(name, whole(text.encode())):
                yield ready
        async for ready in archive.add("events.json", _events(given, session)):
            yield ready
        for recording, file in sounds:
            async for ready in archive.add(_sound_name(recording), _pieces(file), compressed=False):
                yield ready
        async for ready in archive.end():
            yield ready


async def _events(given: ApiServices, session: Session) -> AsyncGenerator[bytes]:
    """As a JSON array, newest first, read a page at a time."""
    where = EventFilter(session.organization_id, session.livemode, session_id=session.id)
    after: str | None = None
    more, lead = True, "[\n"
    while more:
        async with given.store.read() as unit:
            found, more = await unit.events.list(where, Page(_AT_A_TIME, starting_after=after))
        if found:
            after = found[-1].id
            yield (lead + ",\n".join(json.dumps(views.event(one)) for one in found)).encode()
            lead = ",\n"
        more = more and bool(found)
    yield (b"[]" if lead == "[\n" else b"\n]") + b"\n"


async def _pieces(file: BinaryIO) -> AsyncGenerator[bytes]:
    while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
        yield piece


def _sound_name(one: Recording) -> str:
    return f"recordings/{one.channel}.{DEFAULT_FORMAT}"


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=_plain) + "\n"


def _plain(value: Any) -> Any:
    return iso(value) if hasattr(value, "tzinfo") else asdict(value)


def _need_recordings_delete(caller: Caller) -> None:
    if "recordings:delete" not in caller.key.scopes:
        message = "The session has recordings; the API key lacks the scope recordings:delete."
        raise KallglotError("insufficient_permissions", message)
