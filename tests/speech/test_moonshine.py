"""The real recogniser on real speech, and what is done to it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import jiwer
import numpy as np
import psutil
import pytest
import uvloop
from benchmarks.speech import Clip, prompts
from benchmarks.words import normalise
from tests.speech.hearing import PAUSE, line, listen

from kallglot.audio import g711
from kallglot.speech.engines.moonshine import MoonshineRecognizer
from kallglot.speech.types import (
    EngineError,
    Final,
    Partial,
    RecognizerOptions,
    Restarted,
    SpeechStarted,
    SpeechStopped,
)

pytestmark = [pytest.mark.speech, pytest.mark.xdist_group("moonshine")]


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
    heard.stream.push(speech[:14_400])
    await heard.until(Partial)
    heard.stream.push(speech[14_400:] + PAUSE)
    heard.stream.finish()
    await heard.stream.drain()
    kinds = [type(event) for event in heard.events if not isinstance(event, Partial)]
    assert kinds == [SpeechStarted, SpeechStopped, Final] * (len(kinds) // 3)
    for partial in heard.of(Partial):
        assert partial.text.startswith(partial.stable_text)
    assert heard.stream.backlog_ms == 0


async def test_silence_and_noise_say_nothing(recognizer: MoonshineRecognizer) -> None:
    random = np.random.default_rng(1)
    heard = await listen(recognizer)
    heard.stream.push(bytes(8000 * 2 * 5))
    for level in (0.0005, 0.002, 0.02, 0.2):
        noise = np.clip(random.normal(0, level, 8000 * 5) * 32767, -32768, 32767).astype(np.int16)
        heard.stream.push(noise.tobytes())
        heard.stream.push(PAUSE)
    heard.stream.finish()
    await heard.stream.drain()
    assert heard.of(Final) == []
    assert heard.of(Partial) == []


@pytest.mark.parametrize("before", [b"", PAUSE, "tones"])
async def test_a_quiet_caller_is_understood_from_the_first_word(
    recognizer: MoonshineRecognizer, clips: list[Clip], before: bytes | str
) -> None:
    opening = dialled() if isinstance(before, str) else before
    expected: list[str] = []
    said: list[str] = []
    for clip in clips[:6]:
        heard = await listen(recognizer, partials=False)
        quiet = clip.samples * (32768 * 10 ** (-40 / 20) / np.abs(clip.samples.astype(np.int32)).max())
        speech = g711.mulaw_to_pcm(g711.pcm_to_mulaw(np.rint(quiet).astype(np.int16).tobytes()))
        heard.stream.push(opening + speech + PAUSE)
        heard.stream.finish()
        await heard.stream.drain()
        expected.append(clip.text)
        said.append(heard.text)
    assert jiwer.wer(normalise(" ".join(expected)), " ".join(said)) <= 0.12, said


def dialled() -> bytes:
    """Two loud keys, and half a second in which nothing is said."""
    at = np.arange(8000 // 5) / 8000
    keys = [np.sin(2 * np.pi * low * at) + np.sin(2 * np.pi * high * at) for low, high in ((697, 1209), (852, 1477))]
    silence = np.zeros(800)
    return (np.concatenate([keys[0], silence, keys[1], silence, np.zeros(4000)]) * 8000).astype(np.int16).tobytes()


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
        assert jiwer.wer(expected, heard.text) <= 0.12, heard.text
        finals = heard.of(Final)
        assert all(before.end_ms <= after.start_ms for before, after in itertools.pairwise(finals))
        assert {event.lost_ms for event in heard.of(Restarted)} == {0}


async def test_children_that_die_again_and_again_tell_every_utterance_once(
    recognizer: MoonshineRecognizer, clips: list[Clip]
) -> None:
    heard = await listen(recognizer)
    for number, clip in enumerate(clips[:3], 1):
        heard.stream.push(line(clip) + PAUSE)
        # Killed with the final just told: its commitment must have come with it.
        await heard.until(Final, len(heard.of(Final)) + 1)
        for pid in recognizer.pids:
            os.kill(pid, signal.SIGKILL)
        await heard.until(Restarted, number)
    heard.stream.finish()
    await heard.stream.drain()
    expected = normalise(" ".join(clip.text for clip in clips[:3]))
    assert jiwer.wer(expected, heard.text) <= 0.12, heard.text


async def test_a_long_talker_is_cut_without_losing_words(recognizer: MoonshineRecognizer, clips: list[Clip]) -> None:
    heard = await listen(recognizer)
    speech = [clip.samples[int(clip.start_s * 8000) : int(clip.end_s * 8000)].tobytes() for clip in clips[:8]]
    heard.stream.push(b"".join(speech))
    heard.stream.finish()
    await heard.stream.drain()
    finals = heard.of(Final)
    assert len(finals) > 1
    assert max(final.end_ms - final.start_ms for final in finals) <= 12_500
    assert jiwer.wer(normalise(" ".join(clip.text for clip in clips[:8])), heard.text) <= 0.25, heard.text


async def test_a_push_of_minutes_and_odd_pieces_are_taken(recognizer: MoonshineRecognizer, clips: list[Clip]) -> None:
    heard = await listen(recognizer, partials=False)
    silence_and_speech = bytes(16000 * 290) + line(clips[0])
    heard.stream.push(silence_and_speech)
    heard.stream.finish()
    await heard.stream.drain()
    assert heard.stream.dropped_ms > 200_000
    assert jiwer.wer(normalise(clips[0].text), heard.text) <= 0.12
    odd = await listen(recognizer, partials=False)
    speech = line(clips[0])
    for at in range(0, len(speech), 333):
        odd.stream.push(memoryview(speech)[at : at + 333])
    odd.stream.finish()
    await odd.stream.drain()
    assert odd.text == heard.text


async def test_a_rate_that_nobody_understands_is_refused(recognizer: MoonshineRecognizer) -> None:
    with pytest.raises(EngineError, match="11025"):
        await recognizer.open(RecognizerOptions(11025, "en"), print)


async def test_closing_lets_go_of_who_waits(clips: list[Clip]) -> None:
    made = MoonshineRecognizer(processes=1)
    await made.start()
    heard = await listen(made)
    heard.stream.push(line(clips[0]))
    waiting = asyncio.create_task(heard.stream.drain())
    await heard.until(SpeechStarted)
    other = await listen(made)
    other.stream.push(line(clips[0]))
    unheard = asyncio.create_task(other.stream.drain())
    await other.until(SpeechStarted)
    await other.stream.close()
    await unheard
    await made.close()
    await waiting
    with pytest.raises(EngineError):
        await listen(made)
    assert psutil.Process().children() == []


def test_under_uvloop_it_starts_hears_and_leaves_nothing(clips: list[Clip]) -> None:
    async def scene() -> str:
        made = MoonshineRecognizer(processes=1)
        await made.start()
        heard = await listen(made)
        heard.stream.push(line(clips[0]))
        heard.stream.finish()
        await heard.stream.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):
                await MoonshineRecognizer(processes=1).start()
        await made.close()
        assert psutil.Process().children() == []
        return heard.text

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        text = runner.run(scene())
    assert jiwer.wer(normalise(clips[0].text), text) <= 0.12
    assert psutil.Process().children() == []


async def test_a_child_ends_with_its_parent(clips: list[Clip]) -> None:
    program = (
        "import asyncio\n"
        "from kallglot.speech.engines.moonshine import MoonshineRecognizer\n"
        "async def main():\n"
        "    made = MoonshineRecognizer(processes=1)\n"
        "    await made.start()\n"
        "    print(made.pids[0], flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    child = psutil.Process(int(await parent.stdout.readline()))
    parent.kill()
    await parent.wait()
    await asyncio.to_thread(child.wait, 20)
    assert not child.is_running()


async def test_streams_come_and_go(recognizer: MoonshineRecognizer, clips: list[Clip]) -> None:
    before = psutil.Process().num_fds()
    for number in range(1000):
        heard = await listen(recognizer)
        heard.stream.push(bytes(320))
        if number % 10 == 0:
            await heard.stream.drain()
        await heard.stream.close()
    heard = await listen(recognizer)
    heard.stream.push(line(clips[0]) + PAUSE)
    await heard.until(Final)
    assert psutil.Process().num_fds() <= before
