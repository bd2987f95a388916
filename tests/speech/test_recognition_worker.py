"""What the child asks its model for, and when; the model notes it and answers at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np

from kallglot.speech.engines.recognition_models import Cadence, Heard
from kallglot.speech.engines.recognition_worker import Worker
from kallglot.speech.engines.schedule import Job, Urgency
from kallglot.speech.engines.silero import Silero, VoiceState, Window
from kallglot.speech.frames import Frame, FrameReader, Kind

WINDOW = 256
LOUD = np.tile(np.array([8000, -8000], "<i2"), WINDOW // 2).tobytes()
QUIET = bytes(WINDOW * 2)


class Loudness:
    def probabilities(self, windows: Sequence[tuple[VoiceState, Window]]) -> list[float]:
        return [float(np.abs(window.samples).max() > 0.1) for _, window in windows]


class AtOnce(ThreadPoolExecutor):
    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


class Noting:
    """It would be asked for a partial with every window."""

    cadence = Cadence(32, 32)

    def __init__(self, *, streaming: bool = False) -> None:
        self.streaming = streaming
        self.jobs: list[Job] = []

    def recognise(self, job: Job) -> Heard:
        self.jobs.append(job)
        return Heard(f"hello there {len(self.jobs)}")

    def forget(self, stream: int) -> None: ...


async def told(model: Noting, windows: Sequence[bytes], tmp_path: Path) -> list[list[Any]]:
    """The events of a stream, one window of which comes after the other."""
    with (tmp_path / "out").open("w+b") as out:
        worker = Worker(model, cast(Silero, Loudness()), out.fileno())
        worker._decoder = AtOnce(1)
        options = {"rate": 8000, "start": 0, "partials": True, "language": "en"}
        worker._take(Frame(Kind.OPEN, 1, msgspec.msgpack.encode(options)))
        for window in windows:
            worker._take(Frame(Kind.AUDIO, 1, window))
            worker._judge_once()
            for _ in range(4):
                await asyncio.sleep(0)
    written = FrameReader().feed((tmp_path / "out").read_bytes())
    return [msgspec.msgpack.decode(frame.payload) for frame in written if frame.kind is Kind.EVENT]


def silence(job: Job) -> int:
    """In windows, at the end."""
    loud = np.flatnonzero(np.abs(job.audio) > 0.1)
    return (len(job.audio) - 1 - int(loud[-1])) // WINDOW


async def test_what_is_told_as_final_was_recognised_in_the_pause(tmp_path: Path) -> None:
    model = Noting()
    events = await told(model, [LOUD] * 20 + [QUIET] * 20, tmp_path)
    assert [job.urgency for job in model.jobs if job.urgency is not Urgency.PARTIAL] == [
        Urgency.FIRST_PARTIAL,
        Urgency.GUESS,
    ]
    assert [event[0] for event in events if event[0] != "partial"] == ["started", "stopped", "final"]
    assert f"hello there {len(model.jobs)}" in events[-1]


async def test_no_partial_is_begun_in_what_may_be_the_pause(tmp_path: Path) -> None:
    model = Noting()
    await told(model, [LOUD] * 20 + [QUIET] * 20, tmp_path)
    partials = [job for job in model.jobs if job.urgency is Urgency.PARTIAL]
    assert len(partials) > 10
    assert {silence(job) for job in partials} == {0, 1}


async def test_a_breath_between_words_is_no_pause(tmp_path: Path) -> None:
    model = Noting()
    await told(model, [LOUD] * 10 + [QUIET] * 4 + [LOUD] * 10, tmp_path)
    assert len(model.jobs[-1].audio) == 24 * WINDOW
    assert Urgency.GUESS not in {job.urgency for job in model.jobs}


async def test_who_remembers_what_it_heard_goes_on_hearing(tmp_path: Path) -> None:
    """A guess is not for it, so nothing is in a partial's way."""
    model = Noting(streaming=True)
    await told(model, [LOUD] * 20 + [QUIET] * 20, tmp_path)
    assert {job.urgency for job in model.jobs} == {Urgency.FIRST_PARTIAL, Urgency.PARTIAL, Urgency.FINAL}
    assert max(map(silence, model.jobs)) > 4
