"""The life of recordings, with a database, a renderer and a shelf that are real, and processes that die."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from tests.recording.conftest import RETENTION_DAYS, Office, s3_url, tone

from kallglot.recording.recorder import RENDER_ATTEMPTS, Recorder
from kallglot.recording.shelf import NotOnShelf, Shelf, ShelfError, open_shelf
from kallglot.session.model import Session

SAID, HEARD = (300, 700), (500, 900)


class Killed(BaseException):
    """The process ends here."""


class Away:
    """A shelf that refuses while ``away``, or does ``then`` in the place of a call."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self.away = False
        self.instead: dict[str, Callable[[], None]] = {}
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._shelf, name)
        if name in ("name", "local"):
            return real

        async def call(*args: Any) -> Any:
            self.asked.append(name)
            if self.away:
                raise ShelfError("the store does not answer")
            if name in self.instead:
                self.instead[name]()
            return await real(*args)

        return call


class DyingLedger:
    """Dies at the given update, counted from 1."""

    def __init__(self, ledger: Any, at: int) -> None:
        self._ledger = ledger
        self._left = at

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    async def update(self, recording: Any) -> bool:
        self._left -= 1
        if not self._left:
            raise Killed
        return await self._ledger.update(recording)


def away(office: Office) -> Any:
    return Away(office.shelf())


def kill() -> None:
    raise Killed


def levels(path: Path, hz: tuple[float, ...]) -> list[list[float]]:
    """The level of each tone in each channel, of the first second."""
    audio, rate = soundfile.read(str(path), dtype="int16", always_2d=True)
    second = audio[:rate].astype(float)
    spectrum = np.abs(np.fft.rfft(second * np.hanning(len(second))[:, None], axis=0)) * 4 / len(second)
    return [[float(spectrum[round(one), channel]) for one in hz] for channel in range(audio.shape[1])]


def separate(path: Path, hz: tuple[float, float]) -> bool:
    left, right = levels(path, hz)
    return left[0] > 5000 and right[1] > 5000 and left[1] < 200 and right[0] < 200


async def right_recordings(office: Office, one: Session) -> None:
    """Exactly one of each channel, complete, and nothing of its making left."""
    found = await office.of(one)
    assert sorted(found) == ["heard", "mixed"]
    for recording, hz in ((found["mixed"], SAID), (found["heard"], HEARD)):
        assert recording.status == "ready"
        assert recording.stored
        for format in ("flac", "mp3"):
            path = office.folder / "shelf" / recording.key(format)
            assert separate(path, hz)
    assert len(office.on_shelf()) == 4
    assert not office.tracks(one).exists()
    assert await office.ledger.unfinished() == []


async def test_a_call_becomes_two_recordings(office: Office) -> None:
    recorder = office.recorder()
    one = await office.session()
    await office.taped(recorder, one)
    assert {channel: made.status for channel, made in (await office.of(one)).items()} == {
        "mixed": "processing",
        "heard": "processing",
    }
    ended = await office.ended(one, after=3.5)
    await recorder.finish_ended()
    await right_recordings(office, one)
    for recording in (await office.of(one)).values():
        mp3 = office.folder / "shelf" / recording.key("mp3")
        assert recording.duration_seconds == ended.duration_seconds == 3.5
        assert recording.size == mp3.stat().st_size
        assert (recording.sample_rate_hz, recording.channels) == (8000, 2)
        assert (recording.organization_id, recording.livemode) == (one.organization_id, one.livemode)
        assert recording.expires_at is not None
        assert (recording.expires_at - office.clock.now()).days == RETENTION_DAYS
        assert soundfile.info(str(mp3)).duration == pytest.approx(3.5, abs=0.25)
        assert soundfile.info(str(mp3.with_suffix(".flac"))).duration == 3.5


async def test_mono_and_wide_band(office: Office) -> None:
    recorder = office.recorder()
    one = await office.session(recording={"enabled": True, "channels": "mono"})
    tape = await recorder.begin(one, lambda _: None)
    assert tape is not None
    tape.said(one.participants[0], 0, tone(300, 1), 8000)
    tape.said(one.participants[1], 500, tone(700, 1, 48000), 48000)
    await tape.close()
    await office.ended(one, after=1.0)
    await recorder.finish_ended()
    found = await office.of(one)
    assert list(found) == ["mixed"], "nobody heard anything"
    mixed = found["mixed"]
    assert (mixed.channels, mixed.sample_rate_hz, mixed.duration_seconds) == (1, 16000, 1.5)
    (both,) = levels(office.folder / "shelf" / mixed.key("flac"), SAID)
    assert min(both) > 2000
    assert not office.tracks(one).exists()


async def test_where_nothing_was_said_there_is_no_recording(office: Office) -> None:
    recorder = office.recorder()
    one = await office.session()
    await office.taped(recorder, one, said=False, heard=False)
    await office.ended(one)
    await recorder.finish_ended()
    assert await office.of(one) == {}
    assert await office.ledger.unfinished() == []
    assert not office.tracks(one).exists()


async def test_what_was_heard_is_recorded_though_nothing_was_said(office: Office) -> None:
    recorder = office.recorder()
    one = await office.session()
    await office.taped(recorder, one, said=False)
    await office.ended(one)
    await recorder.finish_ended()
    found = await office.of(one)
    assert {channel: made.status for channel, made in found.items()} == {"heard": "ready"}


async def test_a_session_that_is_still_taped_is_not_finished(office: Office) -> None:
    recorder = office.recorder()
    one = await office.session()
    tape = await recorder.begin(one, lambda _: None)
    assert tape is not None
    tape.said(one.participants[0], 0, tone(300, 1), 8000)
    await office.ended(one)
    await recorder.finish_ended()
    await recorder.sweep()
    assert {made.status for made in (await office.of(one)).values()} == {"processing"}
    tape.said(one.participants[0], 1000, tone(300, 1), 8000)
    await tape.close()
    await recorder.finish_ended()
    assert (await office.of(one))["mixed"].duration_seconds == 2.0


async def test_a_call_that_was_interrupted_is_one_recording(office: Office) -> None:
    one = await office.session()
    for at_ms in (0, 60_000):
        recorder = office.recorder()
        tape = await recorder.begin(one, lambda _: None)
        assert tape is not None
        tape.said(one.participants[0], at_ms, tone(300, 1), 8000)
        await tape.close()
        await recorder.finish_ended()
        await recorder.sweep()
        assert office.tracks(one).exists(), "the session has not ended"
    await office.ended(one, after=61.0)
    await office.recorder().finish_ended()
    mixed = (await office.of(one))["mixed"]
    assert mixed.duration_seconds == 61.0
    audio, rate = soundfile.read(str(office.folder / "shelf" / mixed.key("flac")), dtype="int16")
    assert np.abs(audio[:rate, 0]).max() > 8000
    assert not audio[rate + 100 : 60 * rate - 100].any()
    assert np.abs(audio[60 * rate :, 0]).max() > 8000


# What dies


async def test_killed_after_the_tape_was_closed(office: Office) -> None:
    one = await office.recorded(office.recorder())
    await office.recorder().finish_ended()
    await right_recordings(office, one)


@pytest.mark.parametrize("put", [1, 2, 3])
async def test_killed_between_rendering_and_the_shelf(office: Office, put: int) -> None:
    shelf = away(office)
    one = await office.recorded(office.recorder())
    shelf.instead["put"] = lambda: kill() if shelf.asked.count("put") == put else None
    with pytest.raises(Killed):
        await office.recorder(shelf).finish_ended()
    # Which it leaves behind where it cannot tidy up any more.
    (office.tracks(one) / "work").mkdir()
    (office.tracks(one) / "work" / "audio.flac").write_text("half of it")
    (office.tracks(one) / "work" / ".audio.mp3.99.part").write_text("half of it")
    await office.recorder().finish_ended()
    await right_recordings(office, one)


@pytest.mark.parametrize("update", [1, 2])
async def test_killed_before_the_ledger_knows(office: Office, update: int) -> None:
    one = await office.recorded(office.recorder())
    with pytest.raises(Killed):
        await office.recorder(ledger=DyingLedger(office.ledger, update)).finish_ended()
    assert len(office.on_shelf()) == 2 * update
    await office.recorder().finish_ended()
    await right_recordings(office, one)


async def test_killed_before_the_tracks_are_taken_away(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    one = await office.recorded(office.recorder())
    with monkeypatch.context() as patched:
        patched.setattr(Recorder, "_let_go", lambda *_: kill())
        with pytest.raises(Killed):
            await office.recorder().finish_ended()
    assert office.tracks(one).exists()
    recorder = office.recorder()
    await recorder.finish_ended()
    await recorder.sweep()
    await right_recordings(office, one)


async def test_a_running_recorder_finishes_what_it_finds_and_what_ends(office: Office) -> None:
    found = await office.recorded(office.recorder())
    recorder = office.recorder()
    (office.folder / "tracks" / "sess_gone").mkdir()
    await recorder.start()
    one = await office.session()
    await office.taped(recorder, one)
    await recorder.finish(await office.ended(one))
    async with asyncio.timeout(20):
        while any(office.tracks(session).exists() for session in (found, one)):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    for session in (found, one):
        assert {made.status for made in (await office.of(session)).values()} == {"ready"}
    assert not (office.folder / "tracks" / "sess_gone").exists()


async def test_sound_that_the_database_does_not_know_is_kept_for_a_while(office: Office) -> None:
    recorder = office.recorder()
    folder = office.folder / "tracks" / "sess_unknown"
    folder.mkdir()
    track = folder / "said.left.part_c.8000.pcm"
    track.write_bytes(tone(300, 1))
    await recorder.sweep()
    assert track.exists()
    old = time.time() - (RETENTION_DAYS + 1) * 86400
    os.utime(track, (old, old))
    await recorder.sweep()
    assert not folder.exists()


# What fails


async def test_a_session_whose_recording_cannot_begin_leaves_none_that_never_ends(office: Office) -> None:
    recorder = office.recorder()
    one = await office.session()
    office.tracks(one).write_text("in the way")
    assert await recorder.begin(one, lambda _: None) is None
    await office.ended(one)
    assert await office.of(one) == {}
    office.tracks(one).unlink()
    other = await office.recorded(recorder)
    await recorder.finish_ended()
    assert {made.status for made in (await office.of(other)).values()} == {"ready"}


async def test_three_failures_are_enough_and_the_tracks_go_when_it_expires(office: Office) -> None:
    recorder = office.recorder()
    one = await office.recorded(recorder)
    good = await office.recorded(recorder)
    broken = office.tracks(one) / "said.right.part_x.8000.pcm"
    broken.mkdir()
    for _ in range(RENDER_ATTEMPTS):
        assert (await office.of(one))["mixed"].status == "processing"
        await recorder.finish_ended()
    found = await office.of(one)
    assert (found["mixed"].status, found["heard"].status) == ("failed", "ready")
    assert {made.status for made in (await office.of(good)).values()} == {"ready"}, "others are not held up"
    await recorder.finish_ended()
    await recorder.sweep()
    assert broken.exists(), "somebody may still look into it"
    office.pass_days(RETENTION_DAYS + 1)
    await recorder.remove_overdue()
    await recorder.sweep()
    assert not office.tracks(one).exists()
    assert office.on_shelf() == []
    assert (await office.of(one))["mixed"].status == "failed"


async def test_a_failed_recording_that_is_deleted_takes_its_tracks_along(office: Office) -> None:
    recorder = office.recorder()
    one = await office.recorded(recorder)
    shutil.rmtree(office.tracks(one))
    (office.tracks(one) / "said.left.part_x.8000.pcm").mkdir(parents=True)
    for _ in range(RENDER_ATTEMPTS):
        await recorder.finish_ended()
    failed = (await office.of(one))["mixed"]
    assert failed.status == "failed"
    await recorder.delete(failed)
    await recorder.remove_overdue()
    await recorder.sweep()
    assert await office.of(one) == {}
    assert not office.tracks(one).exists()


async def test_a_disk_without_room_for_the_rendering_holds_nobody_else_up(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = office.recorder()
    one = await office.recorded(recorder)
    other = await office.recorded(recorder)
    mkdir = Path.mkdir

    def full(path: Path, *args: Any, **kwargs: Any) -> None:
        if path == office.tracks(one) / "work":
            raise OSError(28, "No space left on device")
        mkdir(path, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "mkdir", full)
        await recorder.finish_ended()
    assert {made.status for made in (await office.of(one)).values()} == {"processing"}
    assert {made.status for made in (await office.of(other)).values()} == {"ready"}
    await recorder.finish_ended()
    assert {made.status for made in (await office.of(one)).values()} == {"ready"}


async def test_a_shelf_that_is_away_delays_and_loses_nothing(office: Office) -> None:
    shelf = away(office)
    recorder = office.recorder(shelf)
    one, other = await office.recorded(recorder), await office.recorded(recorder)
    shelf.away = True
    for _ in range(RENDER_ATTEMPTS + 2):
        await recorder.finish_ended()
        await recorder.sweep()
    assert shelf.asked.count("put") == 1, "nothing is rendered again before the store answers"
    for session in (one, other):
        assert {made.status for made in (await office.of(session)).values()} == {"processing"}
        assert office.tracks(session).exists()
    shelf.away = False
    await recorder.finish_ended()
    for session in (one, other):
        assert {made.status for made in (await office.of(session)).values()} == {"ready"}
        assert not office.tracks(session).exists()


# What goes


async def test_after_its_time_a_recording_is_gone(office: Office) -> None:
    recorder = office.recorder()
    one = await office.recorded(recorder)
    await recorder.finish_ended()
    mixed = (await office.of(one))["mixed"]
    wav = await recorder.audio(mixed, "wav")
    assert wav.exists()
    office.pass_days(RETENTION_DAYS - 1)
    await recorder.remove_overdue()
    assert len(office.on_shelf()) == 4
    office.pass_days(1.1)
    await recorder.remove_overdue()
    assert office.on_shelf() == []
    assert not wav.parent.exists()
    found = await office.of(one)
    assert {(made.status, made.stored) for made in found.values()} == {("ready", False)}
    with pytest.raises(NotOnShelf):
        await recorder.audio(mixed, "mp3")


async def test_a_deleted_recording_is_gone_at_once_and_its_files_soon(office: Office) -> None:
    recorder = office.recorder()
    one = await office.recorded(recorder)
    await recorder.finish_ended()
    mixed = (await office.of(one))["mixed"]
    wav = await recorder.audio(mixed, "wav")
    await recorder.delete(mixed)
    assert list(await office.of(one)) == ["heard"]
    await recorder.remove_overdue()
    assert len(office.on_shelf()) == 2
    assert not wav.parent.exists()
    assert await office.ledger.overdue(office.clock.now()) == []


async def test_deleted_while_the_store_is_away(office: Office) -> None:
    shelf = away(office)
    recorder = office.recorder(shelf)
    some = [await office.recorded(recorder) for _ in range(2)]
    await recorder.finish_ended()
    shelf.away = True
    for one in some:
        for recording in (await office.of(one)).values():
            await recorder.delete(recording)
        assert await office.of(one) == {}
    asked = len(shelf.asked)
    await recorder.remove_overdue()
    assert len(shelf.asked) - asked == 3, "it is not asked for each of many"
    assert len(office.on_shelf()) == 8
    shelf.away = False
    await office.recorder(shelf).remove_overdue()
    assert office.on_shelf() == []
    assert await office.ledger.overdue(office.clock.now()) == []


# Machines


async def test_two_machines_finish_each_their_own(office: Office, tmp_path: Path) -> None:
    shelf = office.shelf()
    machines = [office.recorder(shelf, tmp_path / name) for name in ("one", "two")]
    sessions = [await office.recorded(machine) for machine in machines]
    await machines[0].finish_ended()
    await machines[0].sweep()
    assert {made.status for made in (await office.of(sessions[0])).values()} == {"ready"}
    assert {made.status for made in (await office.of(sessions[1])).values()} == {"processing"}
    await asyncio.gather(*(machine.finish_ended() for machine in machines))
    for session, hz in ((one, SAID) for one in sessions):
        mixed = (await office.of(session))["mixed"]
        assert separate(office.folder / "shelf" / mixed.key("flac"), hz)
    assert not [one for name in ("one", "two") for one in (tmp_path / name / "tracks").iterdir()]


async def test_what_one_machine_deletes_leaves_the_cache_of_the_other(office: Office, tmp_path: Path) -> None:
    shelf = office.shelf()
    first, second = (office.recorder(shelf, tmp_path / name) for name in ("one", "two"))
    one = await office.recorded(first)
    await first.finish_ended()
    mixed, heard = (await office.of(one))["mixed"], (await office.of(one))["heard"]
    gone, kept = await second.audio(mixed, "wav"), await second.audio(heard, "wav")
    await first.delete(mixed)
    await first.remove_overdue()
    await second.sweep()
    assert not gone.exists()
    assert kept.exists()


@pytest.mark.usefixtures("credentials")
async def test_a_bucket_as_the_shelf(office: Office, s3_port: int) -> None:
    shelf = open_shelf(s3_url(s3_port), office.folder / "unused")
    recorder = office.recorder(shelf)
    one = await office.recorded(recorder)
    await recorder.finish_ended()
    found = await office.of(one)
    assert {made.status for made in found.values()} == {"ready"}
    assert found["mixed"].size == await shelf.size(found["mixed"].key("mp3"))
    wav, ogg, mp3 = await asyncio.gather(*(recorder.audio(found["mixed"], format) for format in ("wav", "ogg", "mp3")))
    assert separate(wav, SAID)
    assert separate(ogg, SAID)
    assert separate(mp3, SAID)
    assert sorted(path.name for path in wav.parent.iterdir()) == ["audio.mp3", "audio.ogg", "audio.wav"]
    assert not office.tracks(one).exists()
    await recorder.delete(found["mixed"])
    await recorder.remove_overdue()
    with pytest.raises(NotOnShelf):
        await shelf.size(found["mixed"].key("flac"))
    assert not wav.exists()
