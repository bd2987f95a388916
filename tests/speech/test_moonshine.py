"""The real recogniser on real speech, and what is done to it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeVar

import jiwer
import numpy as np
import psutil
import pytest
from benchmarks.speech import Clip, prompts
from benchmarks.words import normalise

from kallglot.audio import g711
from kallglot.speech.engines.moonshine import MoonshineRecognizer
from kallglot.speech.types import (
    Final,
    Partial,
    RecognizerEvent,
    RecognizerOptions,
    RecognizerStream,
    Restarted,
    SpeechStarted,
    SpeechStopped,
)

pytestmark = [pytest.mark.speech, pytest.mark.xdist_group("moonshine")]

E = TypeVar("E")

PAUSE = bytes(8 * 700 * 2)


class Heard:
    """A stream and everything it told."""

    def __init__(self) -> None:
        self.events: list[RecognizerEvent] = []
        self.news = asyncio.Event()
        self.stream: RecognizerStream

    def told(self, event: RecognizerEvent) -> None:
        self.events.append(event)
        self.news.set()

    async def until(self, kind: type[RecognizerEvent], count: int = 1) -> None:
        async with asyncio.timeout(60):
            while len(self.of(kind)) < count:
                self.news.clear()
                await self.news.wait()

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def text(self) -> str:
        return normalise(" ".join(event.text for event in self.of(Final)))


async def listen(recognizer: MoonshineRecognizer, *, partials: bool = True) -> Heard:
    heard = Heard()
    heard.stream = await recognizer.open(RecognizerOptions(8000, "en", partials), heard.told)
    return heard


def line(clip: Clip) -> bytes:
    return g711.mulaw_to_pcm(g711.pcm_to_mulaw(clip.samples.tobytes()))


@pytest.fixture
def clips(testdata: Path) -> list[Clip]:
    return [clip for clip in prompts(testdata) if 1.5 < clip.end_s - clip.start_s < 6][:10]


@pytest.fixture
async def recognizer() -> AsyncIterator[MoonshineRecognizer]:
    made = MoonshineRecognizer(processes=2, silent_seconds=1.5)
    assert made.missing() is None
    await made.start()
    pids = made.pids
    yield made
    await made.close()
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


async def test_prompts_are_understood_in_order(recognizer: MoonshineRecognizer, clips: list[Clip]) -> None:
    heard = await listen(recognizer)
    for clip in clips:
        heard.stream.push(line(clip))
        heard.stream.push(PAUSE)
    heard.stream.finish()
    await heard.stream.drain()
    assert jiwer.wer(normalise(" ".join(clip.text for clip in clips)), heard.text) <= 0.12
    finals = heard.of(Final)
    assert [final.start_ms for final in finals] == sorted(final.start_ms for final in finals)
    assert all(final.start_ms < final.end_ms for final in finals)
    assert heard.stream.dropped_ms == 0


async def test_an_utterance_is_told_from_start_to_final(recognizer: MoonshineRecognizer, clips: list[Clip]) -> None:
    heard = await listen(recognizer)
    speech = line(clips[0])
    for at in range(0, len(speech), 3200):
        heard.stream.push(speech[at : at + 3200])
    heard.stream.push(PAUSE)
    heard.stream.finish()
    await heard.stream.drain()
    kinds = [type(event) for event in heard.events if not isinstance(event, Partial)]
    assert kinds == [SpeechStarted, SpeechStopped, Final] * (len(kinds) // 3)
    for partial in heard.of(Partial):
        assert len(partial.stable_text) <= len(partial.text) + 40


async def test_silence_and_noise_say_nothing(recognizer: MoonshineRecognizer) -> None:
    noise = (np.random.default_rng(1).normal(0, 0.02, 8000 * 8) * 32767).astype(np.int16)
    heard = await listen(recognizer)
    heard.stream.push(bytes(8000 * 2 * 5))
    heard.stream.push(noise.tobytes())
    heard.stream.finish()
    await heard.stream.drain()
    assert heard.of(Final) == []


async def test_a_gap_is_time(recognizer: MoonshineRecognizer, clips: list[Clip]) -> None:
    heard = await listen(recognizer)
    heard.stream.push(line(clips[0]))
    heard.stream.skip(60_000)
    heard.stream.push(line(clips[0]))
    heard.stream.finish()
    await heard.stream.drain()
    starts = [final.start_ms for final in heard.of(Final)]
    length = len(line(clips[0])) // 16
    assert starts[0] < length
    assert any(abs(start - starts[0] - length - 60_000) < 200 for start in starts)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_dead_child_costs_nothing_that_was_said(
    recognizer: MoonshineRecognizer, clips: list[Clip], how: signal.Signals
) -> None:
    both = [await listen(recognizer, partials=False) for _ in range(2)]
    for heard in both:
        heard.stream.push(line(clips[0]) + PAUSE)
        await heard.until(Final)
        middle = line(clips[1])
        heard.stream.push(middle[: len(middle) // 2])
    for pid in recognizer.pids:
        os.kill(pid, how)
    for heard in both:
        middle = line(clips[1])
        heard.stream.push(middle[len(middle) // 2 :] + PAUSE)
        heard.stream.push(line(clips[2]) + PAUSE)
        await heard.until(Restarted)
        heard.stream.finish()
        await heard.stream.drain()
        expected = normalise(" ".join(clip.text for clip in clips[:3]))
        assert jiwer.wer(expected, heard.text) <= 0.17, heard.text


async def test_streams_come_and_go(recognizer: MoonshineRecognizer, clips: list[Clip]) -> None:
    before = psutil.Process().num_fds()
    for number in range(300):
        heard = await listen(recognizer)
        heard.stream.push(bytes(320))
        if number % 3 == 0:
            await heard.stream.drain()
        await heard.stream.close()
    heard = await listen(recognizer)
    heard.stream.push(line(clips[0]) + PAUSE)
    await heard.until(Final)
    assert psutil.Process().num_fds() == before
