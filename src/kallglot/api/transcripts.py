"""``/v1/sessions/{id}/transcript`` as JSON, text and subtitles."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from kallglot.api import views
from kallglot.api.auth import Caller, requires
from kallglot.api.openapi import documented
from kallglot.api.services import services
from kallglot.api.sessions import find
from kallglot.errors import KallglotError
from kallglot.session.model import Turn

router = APIRouter(prefix="/v1/sessions", tags=["transcripts"])

SHORTEST_CUE_MS: Final = 1000
"""Typed turns take no time; a subtitle has to stand long enough to be read."""

Format = Literal["json", "text", "srt", "vtt"]


@router.get("/{session_id}/transcript", **documented("get_transcript"))
async def get(
    request: Request,
    session_id: str,
    caller: Caller = requires("sessions:read", "sessions_read"),
    format: Annotated[Format, Query(description="What the transcript is written as.")] = "json",
    include_translations: Annotated[bool, Query()] = True,
) -> Response:
    """The transcript so far; complete when the session has ended."""
    given = services(request)
    session = await find(given, caller, session_id)
    if session.transcript_deleted_at is not None:
        raise KallglotError("resource_not_found", "The transcript was kept for as long as it had to be, and is gone.")
    async with given.store.read() as unit:
        turns = await unit.turns.list(session_id)
    if format == "text":
        return Response(as_text(turns, include_translations), media_type="text/plain; charset=utf-8")
    if format == "srt":
        return Response(as_srt(turns, include_translations), media_type="application/x-subrip; charset=utf-8")
    if format == "vtt":
        return Response(as_vtt(turns, include_translations), media_type="text/vtt; charset=utf-8")
    seconds = session.duration_seconds
    if seconds is None:
        started = session.started_at
        seconds = 0.0 if started is None else max(0.0, (given.clock.now() - started).total_seconds())
    return JSONResponse(views.transcript(session, turns, include_translations=include_translations, seconds=seconds))


def as_text(turns: list[Turn], include_translations: bool) -> str:
    lines: list[str] = []
    for turn in turns:
        lines.append(f"[{_clock(turn.start_ms, '.')}] {turn.speaker}: {_line(turn.text)}")
        if include_translations:
            lines.extend(f"    {one.language}: {_line(one.text)}" for one in turn.translations)
    return "\n".join(lines) + ("\n" if lines else "")


def as_srt(turns: list[Turn], include_translations: bool) -> str:
    cues = [
        f"{number}\n{_clock(turn.start_ms, ',')} --> {_clock(_cue_end(turn), ',')}\n"
        + "\n".join(_cue_lines(turn, include_translations))
        for number, turn in enumerate(turns, 1)
    ]
    return "\n\n".join(cues) + ("\n" if cues else "")


def as_vtt(turns: list[Turn], include_translations: bool) -> str:
    """WebVTT (W3C), each speaker in a voice span."""
    cues = ["WEBVTT"]
    for turn in turns:
        first, *rest = (_escaped(line) for line in _cue_lines(turn, include_translations, named=False))
        body = "\n".join([f"<v {turn.speaker}>{first}", *rest])
        cues.append(f"{turn.id}\n{_clock(turn.start_ms, '.')} --> {_clock(_cue_end(turn), '.')}\n{body}")
    return "\n\n".join(cues) + "\n"


def _cue_lines(turn: Turn, include_translations: bool, *, named: bool = True) -> list[str]:
    lines = [f"{turn.speaker}: {_line(turn.text)}" if named else _line(turn.text)]
    if include_translations:
        lines.extend(_line(one.text) for one in turn.translations)
    return [lines[0], *(line for line in lines[1:] if line)]


def _cue_end(turn: Turn) -> int:
    return max(turn.end_ms, turn.start_ms + SHORTEST_CUE_MS)


def _line(text: str) -> str:
    """One line: a line break inside would end the cue, and an arrow would begin another."""
    return " ".join(text.split()).replace("-->", "→")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clock(ms: int, point: str) -> str:
    seconds, millis = divmod(ms, 1000)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours:02d}:{minute:02d}:{second:02d}{point}{millis:03d}"
