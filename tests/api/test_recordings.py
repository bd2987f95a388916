from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from tests.api.conftest import Api

from kallglot.accounts.model import SCOPES
from kallglot.recording.render import Renderer
from kallglot.recording.shelf import Shelf, ShelfError

DAY = 86_400.0


async def audio(api: Api, recording: str, format: str = "mp3", **headers: str) -> httpx.Response:
    return await api.call("GET", f"/v1/recordings/{recording}/audio?format={format}", **headers)


def code(response: httpx.Response) -> str:
    return response.json()["error"]["code"]


async def heard_too(api: Api) -> tuple[str, dict[str, str]]:
    """A finished session in which both spoke and both heard; its recordings by channel."""
    made = await api.create(recording={"enabled": True})
    session = await api.journal.load(made["id"])
    assert session is not None
    await api.journal.started(session.id, api.clock.now())
    tape = await api.recorder.begin(session, lambda _: None)
    assert tape is not None
    customer, agent = session.participants
    for who, said, heard in ((customer, 300, 500), (agent, 700, 900)):
        at = 2 * np.pi * np.arange(8000) / 8000
        tape.said(who, 0, np.rint(9000 * np.sin(said * at)).astype("<i2").tobytes(), 8000)
        tape.heard(who, 0, np.rint(9000 * np.sin(heard * at)).astype("<i2").tobytes(), 8000)
    await tape.close()
    api.clock.advance(1.0)
    await api.board.end(session, "completed")
    await api.recorder.finish_ended()
    listed = (await api.call("GET", f"/v1/sessions/{session.id}/recordings")).json()["data"]
    return session.id, {one["channel"]: one["id"] for one in listed}


def loudest(sound: bytes) -> list[int]:
    """The loudest frequency of each channel."""
    samples, rate = soundfile.read(io.BytesIO(sound), always_2d=True)
    spectrum = np.abs(np.fft.rfft(samples[:rate], axis=0))
    return [round(float(hz) * rate / len(samples[:rate])) for hz in spectrum.argmax(axis=0)]


async def test_a_sessions_recordings(api: Api) -> None:
    session_id, ids = await heard_too(api)
    assert set(ids) == {"mixed", "heard"}
    answer = (await api.call("GET", f"/v1/sessions/{session_id}/recordings")).json()
    assert (answer["object"], answer["has_more"]) == ("list", False)
    one = (await api.call("GET", f"/v1/recordings/{ids['mixed']}")).json()
    assert one in answer["data"]
    whole = await audio(api, ids["mixed"])
    assert one == {
        "id": ids["mixed"],
        "object": "recording",
        "session_id": session_id,
        "channel": "mixed",
        "channels": 2,
        "status": "ready",
        "format": "mp3",
        "duration": 1.0,
        "size": len(whole.content),
        "sample_rate": 8000,
        "bit_depth": 16,
        "download_url": f"/v1/recordings/{ids['mixed']}/audio",
        "created_at": one["created_at"],
        "expires_at": one["expires_at"],
    }
    first = (await api.call("GET", f"/v1/sessions/{session_id}/recordings?limit=1")).json()
    assert first["has_more"] is True
    cursor = first["data"][0]["id"]
    rest = (await api.call("GET", f"/v1/sessions/{session_id}/recordings?starting_after={cursor}")).json()
    assert {one["id"] for one in first["data"] + rest["data"]} == set(ids.values())
    plain = await api.create()
    assert (await api.call("GET", f"/v1/sessions/{plain['id']}/recordings")).json()["data"] == []


@pytest.mark.parametrize("format", ["mp3", "wav", "ogg"])
async def test_the_sound_in_every_format(api: Api, format: str) -> None:
    session_id, ids = await heard_too(api)
    for channel, hz in (("mixed", [300, 700]), ("heard", [500, 900])):
        answer = await audio(api, ids[channel], format)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == {"mp3": "audio/mpeg", "wav": "audio/wav", "ogg": "audio/ogg"}[format]
        name = f"recording-{session_id}{'-heard' if channel == 'heard' else ''}.{format}"
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
        assert loudest(answer.content) == [pytest.approx(one, abs=2) for one in hz]
        info = soundfile.info(io.BytesIO(answer.content))
        assert (info.format, info.samplerate, info.channels) == (format.upper(), 8000, 2)
        assert info.duration == pytest.approx(1.0, abs=0.3)


async def test_formats_that_there_are_not(api: Api) -> None:
    _, recording = await api.recorded()
    for format in ("flac", "", "../mp3"):
        answer = await audio(api, recording, format)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "format")


@pytest.mark.parametrize(
    ("asked", "slices"),
    [
        ("bytes=0-99", slice(0, 100)),
        ("bytes=100-", slice(100, None)),
        ("bytes=-50", slice(-50, None)),
        ("bytes= 0-0", slice(0, 1)),
        ("bytes=10-999999999", slice(10, None)),
        ("bytes=-999999999", slice(0, None)),
    ],
)
async def test_ranges_of_bytes(api: Api, asked: str, slices: slice) -> None:
    _, recording = await api.recorded()
    whole = (await audio(api, recording, "wav")).content
    part = await audio(api, recording, "wav", Range=asked)
    assert part.status_code == 206
    assert part.content == whole[slices]
    begin, end, _ = slices.indices(len(whole))
    assert part.headers["content-range"] == f"bytes {begin}-{end - 1}/{len(whole)}"
    assert part.headers["accept-ranges"] == "bytes"


async def test_several_ranges_at_once(api: Api) -> None:
    _, recording = await api.recorded()
    whole = (await audio(api, recording, "wav")).content
    parts = await audio(api, recording, "wav", Range="bytes=0-9, 100-109")
    assert parts.status_code == 206
    assert parts.headers["content-type"].startswith("multipart/byteranges")
    assert whole[:10] in parts.content
    assert whole[100:110] in parts.content


async def test_a_range_behind_the_end(api: Api) -> None:
    _, recording = await api.recorded()
    size = len((await audio(api, recording, "wav")).content)
    for asked in (f"bytes={size}-", "bytes=999999999-"):
        answer = await audio(api, recording, "wav", Range=asked)
        assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{size}")


@pytest.mark.parametrize(
    "asked",
    ["", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=9-2", "items=0-9", "bytes=0-1,x", "bytes=" + "0-1," * 99],
)
async def test_a_range_that_is_not_understood_is_none(api: Api, asked: str) -> None:
    _, recording = await api.recorded()
    whole = await audio(api, recording, "wav")
    answer = await audio(api, recording, "wav", Range=asked)
    assert (answer.status_code, len(answer.content)) == (200, len(whole.content))


async def test_what_somebody_has_already_is_not_sent_again(api: Api) -> None:
    _, recording = await api.recorded()
    for format in ("mp3", "wav"):
        first = await audio(api, recording, format)
        tag = first.headers["etag"]
        for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            again = await audio(api, recording, format, If_None_Match=known)
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["etag"] == tag
        assert (await audio(api, recording, format, If_None_Match='"other"')).status_code == 200
        part = await audio(api, recording, format, Range="bytes=0-9", If_Range=tag)
        assert (part.status_code, part.content) == (206, first.content[:10])
        changed = await audio(api, recording, format, Range="bytes=0-9", If_Range='"other"')
        assert (changed.status_code, changed.content) == (200, first.content)


async def test_head_says_what_get_would(api: Api) -> None:
    _, recording = await api.recorded()
    path = f"/v1/recordings/{recording}/audio?format=wav"
    got, head = await api.call("GET", path), await api.call("HEAD", path)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-length", "content-type", "etag", "accept-ranges"):
        assert head.headers[name] == got.headers[name]
    assert (await api.call("HEAD", "/v1/recordings/rec_none/audio")).status_code == 404


async def test_a_recording_that_is_being_made(api: Api) -> None:
    session_id, recording = await api.recorded(finished=False)
    one = (await api.call("GET", f"/v1/recordings/{recording}")).json()
    assert (one["status"], one["download_url"], one["size"], one["expires_at"]) == ("processing", None, None, None)
    for method, path in (("GET", "/audio"), ("GET", "/audio?format=wav"), ("DELETE", "")):
        answer = await api.call(method, f"/v1/recordings/{recording}{path}")
        assert (answer.status_code, code(answer)) == (409, "recording_not_ready")
        assert int(answer.headers["retry-after"]) > 0
    session = await api.journal.load(session_id)
    assert session is not None
    await api.board.end(session, "completed")
    await api.recorder.finish_ended()
    assert (await audio(api, recording)).status_code == 200


async def test_a_recording_that_could_not_be_made(api: Api, tmp_path: Path) -> None:
    session_id, recording = await api.recorded(finished=False)
    (tmp_path / "recordings" / "tracks" / session_id / "said.left.part_x.8000.pcm").mkdir()
    session = await api.journal.load(session_id)
    assert session is not None
    await api.board.end(session, "completed")
    for _ in range(3):
        await api.recorder.finish_ended()
    one = (await api.call("GET", f"/v1/recordings/{recording}")).json()
    assert (one["status"], one["download_url"]) == ("failed", None)
    answer = await audio(api, recording)
    assert (answer.status_code, code(answer)) == (409, "recording_not_ready")
    assert "retry-after" not in answer.headers
    assert (await api.call("DELETE", f"/v1/recordings/{recording}")).status_code == 200


async def test_after_its_time_it_is_gone_for_good(api: Api) -> None:
    _, recording = await api.recorded()
    await audio(api, recording, "wav")
    api.clock.advance(31 * DAY)
    for _ in range(2):
        for format in ("mp3", "wav"):
            answer = await audio(api, recording, format)
            assert (answer.status_code, code(answer)) == (410, "recording_expired")
        await api.recorder.remove_overdue()
    assert (await api.call("GET", f"/v1/recordings/{recording}")).status_code == 200
    assert (await api.call("DELETE", f"/v1/recordings/{recording}")).status_code == 200
    await api.recorder.remove_overdue()
    assert (await api.call("GET", f"/v1/recordings/{recording}")).status_code == 404


async def test_others_recordings_are_not_there(api: Api) -> None:
    session_id, recording = await api.recorded()
    trial, other = await api.key(livemode=False), await api.tenant()
    for key in (trial, other):
        for method, path in (("GET", ""), ("GET", "/audio"), ("HEAD", "/audio"), ("GET", "/download"), ("DELETE", "")):
            answer = await api.call(method, f"/v1/recordings/{recording}{path}", key=key)
            assert answer.status_code == 404
            assert method == "HEAD" or code(answer) == "recording_not_found"
        listed = await api.call("GET", f"/v1/sessions/{session_id}/recordings", key=key)
        assert (listed.status_code, code(listed)) == (404, "session_not_found")
    assert (await audio(api, recording)).status_code == 200
    for strange in ("rec_none", "rec_" + "x" * 99, "rec%2F..", "rec%00"):
        assert (await api.call("GET", f"/v1/recordings/{strange}")).status_code == 404


async def test_scopes(api: Api) -> None:
    _, recording = await api.recorded()
    reader = await api.key(scopes=frozenset({"recordings:read"}))
    blind = await api.key(scopes=frozenset(SCOPES) - {"recordings:read"})
    assert (await api.call("GET", f"/v1/recordings/{recording}/audio", key=reader)).status_code == 200
    assert (await api.call("DELETE", f"/v1/recordings/{recording}", key=reader)).status_code == 403
    assert (await api.call("GET", f"/v1/recordings/{recording}/audio", key=blind)).status_code == 403


async def test_deleting_takes_it_away_at_once(api: Api, tmp_path: Path) -> None:
    session_id, recording = await api.recorded()
    await audio(api, recording, "wav")
    answer = await api.call("DELETE", f"/v1/recordings/{recording}")
    assert (answer.status_code, answer.json()) == (200, {"id": recording, "object": "recording", "deleted": True})
    for method, path in (("DELETE", ""), ("GET", ""), ("GET", "/audio")):
        again = await api.call(method, f"/v1/recordings/{recording}{path}")
        assert (again.status_code, code(again)) == (404, "recording_not_found")
    assert (await api.call("GET", f"/v1/sessions/{session_id}/recordings")).json()["data"] == []
    await api.recorder.remove_overdue()
    folder = tmp_path / "recordings"
    assert not [path for path in folder.rglob("*") if path.is_file()]


async def test_the_older_address_leads_to_the_sound(api: Api) -> None:
    _, recording = await api.recorded()
    answer = await api.call("GET", f"/v1/recordings/{recording}/download?format=wav")
    assert (answer.status_code, answer.content) == (302, b"")
    assert (await api.call("GET", answer.headers["location"])).headers["content-type"] == "audio/wav"
    assert (await api.call("GET", "/v1/recordings/rec_none/download")).status_code == 404


async def test_a_store_that_is_away(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    _, recording = await api.recorded()

    async def fetch(*_: Any) -> None:
        raise ShelfError("s3://calls cannot be read: the store does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(Shelf, "local", lambda *_: None)
        patched.setattr(Shelf, "fetch", fetch)
        for format in ("mp3", "wav"):
            answer = await audio(api, recording, format)
            assert (answer.status_code, code(answer)) == (503, "unavailable")
            assert int(answer.headers["retry-after"]) > 0
            assert "s3://" not in answer.text
    assert (await audio(api, recording, "wav")).status_code == 200


async def test_a_full_disk_is_no_crash(api: Api, tmp_path: Path) -> None:
    _, recording = await api.recorded()
    (tmp_path / "recordings" / "cache").write_text("in the way")
    answer = await audio(api, recording, "wav")
    assert (answer.status_code, code(answer)) == (503, "unavailable")


async def test_ten_who_want_the_same_at_once_are_served_by_one_rendering(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, recording = await api.recorded()
    render, orders = Renderer.render, []

    async def counted(self: Renderer, *order: Any, **options: Any) -> Any:
        orders.append(order)
        return await render(self, *order, **options)

    monkeypatch.setattr(Renderer, "render", counted)
    answers = await asyncio.gather(*(audio(api, recording, "wav") for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == len(orders) == 1
