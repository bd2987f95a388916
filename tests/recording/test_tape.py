from __future__ import annotations

import asyncio
import contextlib
import resource
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from tests.session.fakes import AGENT, CUSTOMER
from tests.waiting import until

from kallglot.recording import tape as tapes
from kallglot.recording.mixdown import blocks
from kallglot.recording.tape import MOST_WAITING_BYTES, Tape, seconds, tracks
from kallglot.session.model import Participant

LOUD = 10_000
OTHER = Participant("part_o", "customer", "fr")

_Samples = npt.NDArray[np.int16]


@pytest.fixture
async def disk() -> AsyncIterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
def warned() -> list[str]:
    return []


@pytest.fixture
def tape(tmp_path: Path, disk: ThreadPoolExecutor, warned: list[str]) -> Tape:
    return Tape(tmp_path, warned.append, disk)


def level(value: int, ms: float, rate: int = 8000) -> bytes:
    return value.to_bytes(2, "little", signed=True) * round(ms * rate / 1000)


def tone(hz: float, seconds: float, rate: int) -> bytes:
    return np.rint(LOUD * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype("<i2").tobytes()


def read(folder: Path, name: str) -> _Samples:
    return np.frombuffer((folder / name).read_bytes(), "<i2")


def click(samples: _Samples, hz: float, rate: int) -> float:
    """How far the worst sample is from where a tone's neighbours put it, as a share of the tone."""
    x = samples.astype(float)
    return float(np.abs(x[2:] - 2 * np.cos(2 * np.pi * hz / rate) * x[1:-1] + x[:-2]).max()) / LOUD


@contextlib.contextmanager
def files_at_most(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_gaps_are_holes(tape: Tape, tmp_path: Path) -> None:
    tape.said(CUSTOMER, 0, level(5, 20), 8000)
    tape.said(CUSTOMER, 600_000, level(7, 20), 8000)
    await tape.close()
    samples = read(tmp_path, "said.left.part_c.8000.pcm")
    assert len(samples) == 600_020 * 8
    assert set(samples[:160]) == {5}
    assert not samples[160:-160].any()
    assert set(samples[-160:]) == {7}
    assert (tmp_path / "said.left.part_c.8000.pcm").stat().st_blocks * 512 < 100_000


async def test_each_participant_and_each_kind_has_a_track(tape: Tape, tmp_path: Path) -> None:
    tape.said(CUSTOMER, 0, level(1, 20), 8000)
    tape.said(OTHER, 0, level(2, 40), 8000)
    tape.said(AGENT, 0, level(3, 20, 48000), 48000)
    tape.heard(AGENT, 0, level(4, 60), 8000)
    await tape.close()
    assert [(track.path.name, track.sample_rate_hz, track.side) for track in tracks(tmp_path, "said")] == [
        ("said.left.part_c.8000.pcm", 8000, "left"),
        ("said.left.part_o.8000.pcm", 8000, "left"),
        ("said.right.part_a.16000.pcm", 16000, "right"),
    ]
    assert seconds(tracks(tmp_path, "said")) == 0.04
    assert seconds(tracks(tmp_path, "heard")) == 0.06
    mixed = np.concatenate(list(blocks(tracks(tmp_path, "said")[:2], channels="dual", sample_rate_hz=8000)))
    assert mixed[:, 0].tolist() == [3] * 160 + [2] * 160


async def test_later_audio_takes_the_place_of_earlier(tape: Tape, tmp_path: Path) -> None:
    """What was handed out to a listener ahead of time and then cleared was not heard."""
    tape.heard(AGENT, 0, level(9, 1000), 8000)
    tape.heard(AGENT, 200, level(0, 800), 8000)
    tape.heard(AGENT, 300, level(4, 20), 8000)
    await tape.close()
    samples = read(tmp_path, "heard.right.part_a.8000.pcm")
    assert len(samples) == 8000
    assert (set(samples[:1600]), set(samples[2400:2560])) == ({9}, {4})
    assert not samples[1600:2400].any()
    assert not samples[2560:].any()


async def test_what_lies_before_the_session_is_left_out(tape: Tape, tmp_path: Path) -> None:
    tape.said(CUSTOMER, -10, level(1, 10) + level(2, 10), 8000)
    tape.said(AGENT, -100, level(3, 20), 8000)
    await tape.close()
    assert set(read(tmp_path, "said.left.part_c.8000.pcm")) == {2}
    assert seconds(tracks(tmp_path, "said")) == 0.01


@pytest.mark.parametrize(("rate", "chunk_ms"), [(8000, 10), (8000, 20), (16000, 40), (8000, 1000)])
@pytest.mark.parametrize("slew", [-0.004, -0.0005, 0.0005, 0.004])
@pytest.mark.parametrize("flushing", [False, True])
async def test_a_clock_that_is_followed_never_clicks(
    tape: Tape, tmp_path: Path, rate: int, chunk_ms: int, slew: float, flushing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tapes, "FLUSH_SECONDS", 0.0)
    sound, size = tone(300, 6, rate), chunk_ms * rate // 1000 * 2
    for n in range(len(sound) // size):
        tape.said(CUSTOMER, n * chunk_ms * (1 + slew), sound[n * size : (n + 1) * size], rate)
        if flushing:
            await asyncio.sleep(0)
    await tape.close()
    samples = read(tmp_path, f"said.left.part_c.{rate}.pcm")
    assert len(samples) == pytest.approx(6 * rate * (1 + slew), abs=chunk_ms * 0.005 * rate / 1000 + 2)
    assert click(samples, 300, rate) < 0.015


@pytest.mark.parametrize("rate", [22050, 24000, 48000])
@pytest.mark.parametrize("chunk", [441, 500, 960, 1024])
async def test_wide_band_audio_is_whole_and_in_its_place(tape: Tape, tmp_path: Path, rate: int, chunk: int) -> None:
    sound = tone(300, 3, rate)
    for at in range(0, len(sound) // 2, chunk):
        tape.said(AGENT, 500 + at * 1000 / rate, sound[at * 2 : (at + chunk) * 2], rate)
    tape.said(AGENT, 10_000, tone(300, 0.5, rate), rate)
    await tape.close()
    samples = read(tmp_path, "said.right.part_a.16000.pcm")
    assert not samples[:7990].any()
    first, second = samples[8000 : 8000 + 48000], samples[160_000 : 160_000 + 8000]
    ideal = np.frombuffer(tone(300, 3, 16000), "<i2").astype(int)
    # A tenth of the tone is a sample more or less.
    assert np.abs(first[100:-100] - ideal[100:-100]).max() < 0.11 * LOUD
    assert np.abs(second[100:-100] - ideal[100:7900]).max() < 0.11 * LOUD
    assert click(first[100:-100], 300, 16000) < 0.015
    assert not samples[8000 + 48100 : 159_990].any(), "the end of a piece is not put before the next"
    assert len(samples) == pytest.approx(168_000, abs=50)


async def test_a_participant_who_comes_back_with_another_rate_stays_on_the_track(tape: Tape, tmp_path: Path) -> None:
    for n in range(50):
        tape.said(CUSTOMER, n * 20, tone(300, 0.02, 8000), 8000)
    for n in range(50):
        tape.said(CUSTOMER, 1000 + n * 20, tone(300, 0.02, 16000), 16000)
    for n in range(50):
        tape.said(CUSTOMER, 2000 + n * 20, tone(300, 0.02, 8000), 8000)
    await tape.close()
    assert [track.path.name for track in tracks(tmp_path, "said")] == ["said.left.part_c.8000.pcm"]
    samples = read(tmp_path, "said.left.part_c.8000.pcm")
    assert len(samples) == 24000
    assert click(samples, 300, 8000) < 0.3


async def test_a_tape_that_goes_on_after_a_crash_keeps_rate_and_places(
    tmp_path: Path, disk: ThreadPoolExecutor, warned: list[str]
) -> None:
    first = Tape(tmp_path, warned.append, disk)
    first.said(CUSTOMER, 0, level(5, 1000), 8000)
    await first.close()
    with (tmp_path / "said.left.part_c.8000.pcm").open("ab") as file:
        file.write(b"\x05")
    second = Tape(tmp_path, warned.append, disk)
    second.said(CUSTOMER, 61_000, level(6, 1000, 16000), 16000)
    await second.close()
    samples = read(tmp_path, "said.left.part_c.8000.pcm")
    assert [track.path.name for track in tracks(tmp_path, "said")] == ["said.left.part_c.8000.pcm"]
    assert set(samples[:8000]) == {5}
    assert not samples[8001:487_900].any()
    assert set(samples[488_100:-100]) == {6}
    assert not warned


async def test_closing_twice_closes_once(tmp_path: Path, disk: ThreadPoolExecutor) -> None:
    closed: list[bool] = []
    tape = Tape(tmp_path, lambda _: None, disk, lambda: closed.append(True))
    tape.said(CUSTOMER, 0, level(1, 20), 8000)
    await asyncio.gather(tape.close(), tape.close())
    await tape.close()
    assert closed == [True]
    tape.said(CUSTOMER, 20, level(1, 20), 8000)
    await tape.close()
    assert len(read(tmp_path, "said.left.part_c.8000.pcm")) == 160


async def test_a_tape_on_which_nothing_was_said_leaves_nothing(tape: Tape, tmp_path: Path) -> None:
    await tape.close()
    assert not list(tmp_path.iterdir())
    assert (tracks(tmp_path, "said"), seconds([])) == ([], 0.0)


async def test_it_is_written_half_a_second_after_it_was_said(
    tape: Tape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    timers: list[tuple[float, Callable[[], None]]] = []

    class Handle:
        def cancel(self) -> None:
            timers.clear()

    def call_later(delay: float, callback: Callable[[], None]) -> Handle:
        timers.append((delay, callback))
        return Handle()

    with monkeypatch.context() as patched:
        patched.setattr(loop, "call_later", call_later)
        for n in range(20):
            tape.said(CUSTOMER, n * 20, level(5, 20), 8000)
        assert [delay for delay, _ in timers] == [0.5], "one timer for all"
        timers.pop()[1]()
    path = tmp_path / "said.left.part_c.8000.pcm"
    await until(lambda: path.exists() and path.stat().st_size == 6400)
    tape.said(CUSTOMER, 400, level(5, 20), 8000)
    await until(lambda: path.stat().st_size == 6720)
    await tape.close()


async def test_a_full_disk_costs_sound_and_a_warning(tape: Tape, tmp_path: Path, warned: list[str]) -> None:
    with files_at_most(64 * 1024):
        tape.said(CUSTOMER, 0, level(5, 60_000), 8000)
        tape.said(AGENT, 0, level(6, 1000), 8000)
        await until(lambda: warned)
        tape.said(CUSTOMER, 60_000, level(5, 1000), 8000)
        tape.said(AGENT, 1000, level(6, 1000), 8000)
        await until(lambda: len(warned) > 1)
    assert set(warned) == {"Part of the recording could not be written: File too large."}
    tape.said(CUSTOMER, 61_000, level(7, 1000), 8000)
    await tape.close()
    assert len(warned) == 2
    assert len(read(tmp_path, "said.right.part_a.8000.pcm")) == 16000, "the other tracks go on"
    samples = read(tmp_path, "said.left.part_c.8000.pcm")
    assert set(samples[-8000:]) == {7}, "and so does this one when there is room again"
    assert len(samples) == 62 * 8000


async def test_a_folder_that_cannot_be_written(tmp_path: Path, disk: ThreadPoolExecutor, warned: list[str]) -> None:
    (tmp_path / "folder").write_text("in the way")
    closed: list[bool] = []
    tape = Tape(tmp_path / "folder", warned.append, disk, lambda: closed.append(True))
    tape.said(CUSTOMER, 0, level(5, 20), 8000)
    await tape.close()
    assert warned == ["Part of the recording could not be written: Not a directory."]
    assert closed == [True]


async def test_a_disk_that_fails_at_the_end_is_told_and_the_tape_closed(
    tmp_path: Path, disk: ThreadPoolExecutor, warned: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[bool] = []
    tape = Tape(tmp_path, warned.append, disk, lambda: closed.append(True))
    tape.said(CUSTOMER, 0, level(5, 20), 8000)

    def fsync(_number: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(tapes.os, "fsync", fsync)
    await tape.close()
    assert warned == ["Part of the recording could not be written: Input/output error."]
    assert closed == [True]


async def test_a_disk_that_does_not_answer_costs_sound_and_no_memory(
    tmp_path: Path, warned: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tapes, "FLUSH_SECONDS", 0.0)
    answers = threading.Event()
    with ThreadPoolExecutor(1) as disk:
        disk.submit(answers.wait)
        tape = Tape(tmp_path, warned.append, disk)
        minute = level(5, 1000, 16000)
        for n in range(1000):
            tape.said(AGENT, n * 1000, minute, 16000)
            await asyncio.sleep(0)
        assert set(warned) == {"The disk does not keep up; part of the recording is lost."}
        assert disk._work_queue.qsize() <= 1, "what waits does not wait in many writes"
        answers.set()
        path = tmp_path / "said.right.part_a.16000.pcm"
        await until(lambda: path.exists() and path.stat().st_size >= MOST_WAITING_BYTES)
        await until(lambda: not tape._waiting_bytes)
        del warned[:]
        tape.said(AGENT, 1_000_000, minute, 16000)
        await tape.close()
        assert not warned
    samples = read(tmp_path, path.name)
    kept = np.flatnonzero(samples == 0)[0] * 2
    assert MOST_WAITING_BYTES <= kept <= MOST_WAITING_BYTES + 2 * len(minute)
    assert set(samples[-16000:]) == {5}


CHILD = """
import asyncio, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from kallglot.recording.tape import Tape
from kallglot.session.model import Participant

async def main():
    tape = Tape(Path(sys.argv[1]), print, ThreadPoolExecutor(2))
    people = Participant("part_c", "customer"), Participant("part_a", "agent")
    begun, n = time.monotonic(), 0
    while True:
        for one in people:
            tape.said(one, n * 20, b"\\x05\\x00" * 160, 8000)
        n += 1
        print(n * 20, flush=True)
        await asyncio.sleep(max(0, begun + n * 0.02 - time.monotonic()))

asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("kill_at_ms", [1500, 1740, 1980])
def test_kill_9_loses_at_most_the_last_second(tmp_path: Path, kill_at_ms: int) -> None:
    command = [sys.executable, "-c", CHILD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        said_ms = 0
        for line in child.stdout:
            said_ms = int(line)
            if said_ms >= kill_at_ms:
                child.kill()
                break
        said_ms = max([said_ms, *(int(line) for line in child.stdout if line.endswith("\n"))])
    for side in ("left.part_c", "right.part_a"):
        samples = read(tmp_path, f"said.{side}.8000.pcm")
        lost_ms = said_ms - len(samples) / 8
        print(f"lost {lost_ms:.0f} ms of {side}")
        assert 0 <= lost_ms <= 1000
        assert set(samples) == {5}
    mixed = np.concatenate(list(blocks(tracks(tmp_path, "said"), channels="dual", sample_rate_hz=8000)))
    assert len(mixed) >= (said_ms - 1000) * 8
