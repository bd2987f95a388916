"""``kallglot call``: one recording through one session, watched."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import httpx
from rich.console import Console

from kallglot.cli.phone import CallRecord, Samples, dial, save
from kallglot.cli.screen import CallScreen

RECORDING_SECONDS: Final = 60.0
"""For how long the server may take to render what was recorded."""


class CallFailed(Exception):
    """Says in one sentence why there was no call."""


@dataclass(frozen=True, slots=True)
class Server:
    url: str
    api_key: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What the other side types when the recording is over."""

    speaker: str
    text: str


@dataclass(frozen=True, slots=True)
class CallOutcome:
    session: dict[str, Any]
    transcript: dict[str, Any]
    lags: dict[str, dict[str, float]]
    """Seconds by stage, as ``GET …/timings`` sums them up."""
    record: CallRecord
    files: list[Path]


async def place(
    server: Server,
    speech: Samples,
    *,
    source: str | None,
    target: str | None,
    console: Console,
    out: Path,
    fast: bool = False,
    reply: Reply | None = None,
) -> CallOutcome:
    """Creates a session, streams the speech as its customer, ends it and fetches transcript and recordings.

    Raises :class:`CallFailed`.
    """
    headers = {"Authorization": f"Bearer {server.api_key}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=30) as rest:
        body = {
            "mode": "bidirectional_translation",
            "source_language": source,
            "target_language": target,
            "recording": {"enabled": True},
        }
        session = await _asked(rest, "POST", "/v1/sessions", body)
        console.print(f"  session {session['id']}  {source or '?'} → {target or '?'}", style="dim", highlight=False)
        with CallScreen(console) as screen:
            try:
                phone = await dial(
                    session["stream"]["url"],
                    session["stream"]["token"],
                    screen.show,
                    query="&pace=burst" if fast else "",
                )
                await phone.say(speech, "customer", fast=fast)
                await phone.listen("customer")
                if reply is not None:
                    await phone.type(reply.text, reply.speaker)
                    await phone.listen("customer")
                await phone.hang_up()
            except OSError as error:
                raise CallFailed(f"The stream broke: {error}.") from error
        ended = await _asked(rest, "GET", f"/v1/sessions/{session['id']}", None)
        transcript = await _asked(rest, "GET", f"/v1/sessions/{session['id']}/transcript", None)
        subtitles = await rest.get(f"/v1/sessions/{session['id']}/transcript", params={"format": "srt"})
        timings = await _asked(rest, "GET", f"/v1/sessions/{session['id']}/timings", None)
        files = write_files(out, phone.record, subtitles.text)
        files += await fetch_recordings(rest, session["id"], out)
    return CallOutcome(ended, transcript, timings["lags"], phone.record, files)


async def fetch_recordings(rest: httpx.AsyncClient, session_id: str, out: Path) -> list[Path]:
    """The server's own recordings of a session that has ended: what was said, and what was heard."""
    until = time.monotonic() + RECORDING_SECONDS
    while True:
        found = (await _asked(rest, "GET", f"/v1/sessions/{session_id}/recordings", None))["data"]
        if all(one["status"] != "processing" for one in found) or time.monotonic() > until:
            break
        await asyncio.sleep(0.2)
    files: list[Path] = []
    for one in found:
        if one["status"] == "ready":
            audio = await rest.get(one["download_url"])
            path = out / f"recording-{'said' if one['channel'] == 'mixed' else one['channel']}.{one['format']}"
            path.write_bytes(audio.raise_for_status().content)
            files.append(path)
    return sorted(files)


def write_files(out: Path, record: CallRecord, subtitles: str) -> list[Path]:
    """What each listener was sent, and subtitles."""
    out.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    for listener, heard in record.heard.items():
        path = out / f"heard-by-{listener}.wav"
        save(path, heard.together())
        files.append(path)
    path = out / "transcript.srt"
    path.write_text(subtitles, encoding="utf-8")
    files.append(path)
    return files


async def _asked(rest: httpx.AsyncClient, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
    try:
        response = await rest.request(method, path, json=body)
    except httpx.HTTPError as error:
        raise CallFailed(f"No answer from {rest.base_url}: {error or type(error).__name__}.") from error
    answer = cast("dict[str, Any]", response.json())
    if response.is_error:
        raise CallFailed(f"{answer['error']['code']}: {answer['error']['message']}")
    return answer
