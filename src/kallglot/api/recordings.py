"""``/v1/recordings`` and the recordings of a session: read, hear, delete."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import FileResponse, RedirectResponse, Response

from kallglot.api import views
from kallglot.api.auth import Caller, requires
from kallglot.api.openapi import documented
from kallglot.api.services import ApiServices, services
from kallglot.api.sessions import Cursor, Limit, find, page_of
from kallglot.errors import KallglotError
from kallglot.recording.model import Recording
from kallglot.recording.render import RenderFailed
from kallglot.recording.shelf import ShelfError

router = APIRouter(tags=["recordings"])

Format = Literal["mp3", "wav", "ogg"]
MEDIA_TYPES: Final[dict[str, str]] = {"mp3": "audio/mpeg", "wav": "audio/wav", "ogg": "audio/ogg"}
AGAIN_SECONDS: Final = 5
_RANGES: Final = re.compile(r"bytes=\s*(\d{1,18}-\d{0,18}|-\d{1,18})(\s*,\s*(\d{1,18}-\d{0,18}|-\d{1,18})){0,15}\s*")

ChosenFormat = Annotated[Format, Query(description="What the sound is written as.")]


@router.get("/v1/sessions/{session_id}/recordings", **documented("list_recordings"))
async def list_recordings(
    request: Request,
    session_id: str,
    caller: Caller = requires("recordings:read", "recordings"),
    limit: Limit = 20,
    starting_after: Cursor = None,
    ending_before: Cursor = None,
) -> dict[str, Any]:
    """What was said, and what each side heard."""
    given = services(request)
    page = page_of(limit, starting_after, ending_before)
    await find(given, caller, session_id)
    async with given.store.read() as unit:
        found, more = await unit.recordings.list(session_id, page)
    return views.listing(f"/v1/sessions/{session_id}/recordings", [views.recording(one) for one in found], more)


@router.get("/v1/recordings/{recording_id}", **documented("get_recording"))
async def get(
    request: Request, recording_id: str, caller: Caller = requires("recordings:read", "recordings")
) -> dict[str, Any]:
    """One recording."""
    return views.recording(await _find(services(request), caller, recording_id))


@router.head("/v1/recordings/{recording_id}/audio", include_in_schema=False)
@router.get("/v1/recordings/{recording_id}/audio", **documented("get_recording_audio"))
async def audio(
    request: Request,
    recording_id: str,
    caller: Caller = requires("recordings:read", "recordings"),
    format: ChosenFormat = "mp3",
) -> Response:
    """The sound. Ranges of bytes can be asked for (RFC 9110, section 14)."""
    given = services(request)
    recording = await _find(given, caller, recording_id)
    if recording.status != "ready":
        message = "The recording could not be made." if recording.status == "failed" else "The recording is being made."
        again = AGAIN_SECONDS if recording.status == "processing" else None
        raise KallglotError("recording_not_ready", message, retry_after=again)
    expired = recording.expires_at is not None and recording.expires_at <= given.clock.now()
    if expired or not recording.stored or given.recordings is None:
        raise KallglotError("recording_expired", "The recording was kept until its expires_at, and is gone.")
    try:
        path = await given.recordings.audio(recording, format)
        stat = await asyncio.to_thread(path.stat)
    except (ShelfError, RenderFailed, OSError):
        message = "The recording cannot be fetched from where it is kept."
        raise KallglotError("unavailable", message, retry_after=AGAIN_SECONDS) from None
    if not _understood(request.headers.get("range")):
        # RFC 9110, section 14.2: a Range that is not understood is as good as none.
        request.scope["headers"] = [header for header in request.scope["headers"] if header[0] != b"range"]
    response = FileResponse(
        path,
        media_type=MEDIA_TYPES[format],
        filename=f"recording-{recording.session_id}{'-heard' if recording.channel == 'heard' else ''}.{format}",
        stat_result=stat,
    )
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if response.headers["etag"] in known or "*" in known:
        kept = {name: response.headers[name] for name in ("etag", "last-modified")}
        return Response(status_code=304, headers=kept)
    return response


@router.get("/v1/recordings/{recording_id}/download", status_code=302, **documented("download_recording"))
async def download(
    request: Request,
    recording_id: str,
    caller: Caller = requires("recordings:read", "recordings"),
    format: ChosenFormat = "mp3",
) -> Response:
    """The older address of the sound."""
    await _find(services(request), caller, recording_id)
    return RedirectResponse(f"/v1/recordings/{recording_id}/audio?format={format}", 302)


@router.delete("/v1/recordings/{recording_id}", **documented("delete_recording"))
async def remove(
    request: Request, recording_id: str, caller: Caller = requires("recordings:delete", "recordings")
) -> dict[str, Any]:
    """Deletes a recording, its files included."""
    given = services(request)
    recording = await _find(given, caller, recording_id)
    if recording.status == "processing" or given.recordings is None:
        raise KallglotError("recording_not_ready", "The recording is being made.", retry_after=AGAIN_SECONDS)
    await given.recordings.delete(recording)
    return {"id": recording.id, "object": "recording", "deleted": True}


def _understood(asked: str | None) -> bool:
    if asked is None or not _RANGES.fullmatch(asked):
        return asked is None
    pairs = [pair.strip().split("-") for pair in asked.partition("=")[2].split(",")]
    return all(not first or not last or int(first) <= int(last) for first, last in pairs)


async def _find(given: ApiServices, caller: Caller, recording_id: str) -> Recording:
    """The caller's own recording. Raises ``recording_not_found``."""
    if re.fullmatch(r"[A-Za-z0-9_]{1,64}", recording_id):
        async with given.store.read() as unit:
            found = await unit.recordings.get(recording_id, caller.organization_id, caller.livemode)
        if found is not None:
            return found
    raise KallglotError("recording_not_found", "There is no such recording.")
