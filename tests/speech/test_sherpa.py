"""Every family of models through its real loader in real child processes, on models that the tests make."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
import soxr
from benchmarks.speech import Clip, prompts
from tests.speech.hearing import PAUSE, Heard, line, listen
from tests.speech.standins.manifests import folder_of, sign
from tests.speech.standins.moonshine import moonshine_streaming
from tests.speech.standins.recognition import WORDS, build_detector, build_german, build_recogniser

from kallglot.audio.levels import to_float
from kallglot.models.installed import InstalledModel, installed
from kallglot.speech import host
from kallglot.speech.engines.decoding import resampled
from kallglot.speech.engines.local import engines_of
from kallglot.speech.engines.recognition_models import Heard as Decoded
from kallglot.speech.engines.recognition_models import ModelSpec, load
from kallglot.speech.engines.schedule import Job, Urgency
from kallglot.speech.engines.sherpa import SherpaRecognizer, placed
from kallglot.speech.engines.spoken_language import AnyLanguageRecognizer, SpokenLanguageDetector
from kallglot.speech.types import EngineError, Failed, Final, Partial, Restarted, SpeechStarted, SpeechStopped

pytestmark = [pytest.mark.speech, pytest.mark.xdist_group("sherpa")]


@pytest.fixture(scope="module")
def clips(testdata: Path) -> list[Clip]:
    return [clip for clip in prompts(testdata) if 1.5 < clip.end_s - clip.start_s < 4][:6]


@asynccontextmanager
async def started(model: InstalledModel, **more: float) -> AsyncIterator[SherpaRecognizer]:
    made = SherpaRecognizer(model, processes=1, **more)  # pyright: ignore[reportArgumentType]
    assert made.missing() is None
    await made.start()
    pids = made.pids
    try:
        yield made
    finally:
        await made.close()
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


def says(text: str, language: str) -> bool:
    """Whether it is the words of that language's row, one after the other."""
    row = WORDS[language]
    words = text.split()
    return bool(words) and words == [row[at % len(row)] for at in range(len(words))]


def in_order(heard: Heard) -> None:
    finals = heard.of(Final)
    assert all(final.start_ms < final.end_ms for final in finals)
    assert all(before.end_ms <= after.start_ms for before, after in itertools.pairwise(finals))
    for kind in (SpeechStarted, SpeechStopped):
        times = [event.at_ms for event in heard.of(kind)]
        assert times == sorted(times)
    for partial in heard.of(Partial):
        assert partial.text.startswith(partial.stable_text)


# What each family tells is in the contract tests; one that remembers and one that does not differ in this.
@pytest.mark.parametrize("family", ["moonshine-streaming", "canary"])
async def test_a_conversation_is_told_in_order_cancelled_and_survives_a_kill(
    family: str, tmp_path: Path, clips: list[Clip]
) -> None:
    async with started(build_recogniser(tmp_path, family)) as recognizer:
        heard = await listen(recognizer, language="de")
        cancelled = await listen(recognizer, language="de-AT")
        cancelled.stream.push(line(clips[1]))
        await cancelled.until(SpeechStarted)
        await cancelled.stream.close()
        told = len(cancelled.events)

        speech = line(clips[0])
        heard.stream.push(speech[: len(speech) // 2])
        await heard.until(Partial)
        heard.stream.push(speech[len(speech) // 2 :] + PAUSE)
        await heard.until(Final)

        middle = line(clips[2])
        heard.stream.push(middle[: len(middle) // 2])
        os.kill(recognizer.pids[0], signal.SIGKILL)
        await heard.until(Restarted)
        heard.stream.push(middle[len(middle) // 2 :] + PAUSE + line(clips[3]))
        heard.stream.finish()
        await heard.stream.drain()

        in_order(heard)
        assert len(heard.of(Final)) >= 3
        assert all(says(final.text, "de") for final in heard.of(Final)), heard.of(Final)
        assert {event.lost_ms for event in heard.of(Restarted)} == {0}
        ends = (len(speech) + len(middle) + len(PAUSE) * 2 + len(line(clips[3]))) // 16
        assert ends - 1500 < heard.of(Final)[-1].end_ms <= ends
        assert heard.stream.backlog_ms == heard.stream.dropped_ms == 0
        assert len(cancelled.events) == told


async def test_each_stream_is_heard_in_its_language(tmp_path: Path, clips: list[Clip]) -> None:
    async with started(build_recogniser(tmp_path, "canary")) as recognizer:
        heard = {language: await listen(recognizer, language=language) for language in ("en", "fr-CA", "de", "es")}
        for one in heard.values():
            one.stream.push(line(clips[0]))
            one.stream.finish()
        for language, one in heard.items():
            await one.stream.drain()
            assert all(says(event.text, language[:2]) for event in (*one.of(Final), *one.of(Partial)))
            assert one.of(Final)
            assert one.of(Final)[0].language is None
        with pytest.raises(EngineError, match="ja"):
            await listen(recognizer, language="ja")
        with pytest.raises(EngineError, match="told which language"):
            await listen(recognizer, language=None)


async def test_whisper_tells_the_language_that_it_was_not_told(tmp_path: Path, clips: list[Clip]) -> None:
    async with started(build_recogniser(tmp_path, "whisper")) as recognizer:
        for pcm, rate, language in ((line(clips[0]), 8000, "en"), (bright(clips[0]), 16000, "de")):
            heard = await listen(recognizer, language=None, rate=rate)
            heard.stream.push(pcm)
            heard.stream.finish()
            await heard.stream.drain()
            assert {final.language for final in heard.of(Final)} == {language}
            assert all(says(final.text, language) for final in heard.of(Final))


@pytest.mark.parametrize("family", ["moonshine-streaming", "zipformer-streaming"])
def test_what_is_heard_as_it_comes(family: str, tmp_path: Path, clips: list[Clip]) -> None:
    """In this process, where the model can be looked at."""
    model = build_recogniser(tmp_path, family)
    spec, _ = placed(model, processes=1, models=1)
    loaded = load(spec)
    audio = to_float(line(clips[0]))

    def hear(stream: int, utterance: int, end: int, urgency: Urgency, *, cut: bool = False) -> Decoded:
        return loaded.recognise(Job(stream, utterance, urgency, 0, audio[:end], 8000, cut=cut))

    pieces = range(1600, len(audio), 1600)
    grown = [hear(1, 1, end, Urgency.PARTIAL).text for end in pieces]
    assert all(after.startswith(before) for before, after in itertools.pairwise(grown))
    assert grown[0] != grown[len(grown) // 2] != grown[-1]
    last = hear(1, 1, len(audio), Urgency.FINAL)
    assert says(last.text, "de")
    assert last.text.startswith(grown[-1])
    assert last.confidence is not None
    assert 0 < last.confidence <= 1
    # In one piece, in another stream, and after a cut before the end of what was heard: the same.
    half = hear(2, 1, len(audio) // 2, Urgency.FINAL).text
    assert len(half) < len(last.text) == len(hear(3, 1, len(audio), Urgency.FINAL).text)
    hear(2, 2, len(audio), Urgency.PARTIAL)
    assert hear(2, 2, len(audio) // 2, Urgency.FINAL, cut=True).text == half

    begun = 0
    for stream in range(120):
        for utterance in range(2):
            hear(stream, utterance, 4800, Urgency.PARTIAL)
        loaded.forget(stream)
        if stream == 40:
            begun = psutil.Process().memory_info().rss
    assert psutil.Process().memory_info().rss - begun < 4 * 1024 * 1024


def test_a_streaming_moonshine_is_run_as_its_publisher_runs_it(tmp_path: Path, clips: list[Clip]) -> None:
    """The same files, the same words: in the library that the wheel of the built-in model carries, and in ours."""
    library = pytest.importorskip("moonshine_voice.transcriber")
    arch = pytest.importorskip("moonshine_voice.moonshine_api").ModelArch.TINY_STREAMING
    roles = moonshine_streaming(tmp_path, split=False)
    ours = load(ModelSpec("moonshine-streaming", {role: str(tmp_path / path) for role, path in roles.items()}, ("de",)))
    theirs = library.Transcriber(str(tmp_path), arch, options={"vad_threshold": "0"})
    for number, clip in enumerate(clips):
        audio = resampled(to_float(clip.samples.tobytes()), 8000)
        lines = theirs.transcribe_without_streaming(audio.tolist(), 16000).lines
        heard = ours.recognise(Job(1, number, Urgency.FINAL, 0, audio, 16000))
        assert heard.text == " ".join(line.text for line in lines) != ""
    theirs.close()


@pytest.mark.parametrize("wrong", ["half a model", "of another family"])
async def test_a_broken_model_is_an_error_in_words_and_leaves_nothing(wrong: str, tmp_path: Path) -> None:
    model = build_recogniser(tmp_path, "canary" if wrong != "half a model" else "moonshine-streaming")
    encoder = model.files["encoder"]
    if wrong == "half a model":
        encoder.write_bytes(encoder.read_bytes()[:100])
    else:
        encoder.write_bytes(build_recogniser(tmp_path, "whisper").files["encoder"].read_bytes())
    made = SherpaRecognizer(model, processes=1)
    with pytest.raises(EngineError, match=rf"{model.name}: the engine process does not start: .{{10}}") as raised:
        await made.start()
    assert not raised.value.passing
    assert psutil.Process().children() == []


async def test_streams_of_a_model_that_broke_in_mid_call_are_given_up(
    tmp_path: Path, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "STILLBORN", 2)
    model = build_recogniser(tmp_path, "moonshine-streaming")
    async with started(model) as recognizer:
        heard = await listen(recognizer, language="de")
        heard.stream.push(line(clips[0]))
        await heard.until(SpeechStarted)
        model.files["adapter"].unlink()
        assert "kallglot models pull standin-moonshine-streaming" in str(recognizer.missing())
        os.kill(recognizer.pids[0], signal.SIGKILL)
        await heard.until(Failed)
        assert "adapter" in heard.of(Failed)[0].reason
        await heard.stream.drain()
        with pytest.raises(EngineError, match="does not start"):
            await listen(recognizer, language="de")


def bright(clip: Clip) -> bytes:
    """The clip at 16 kHz, with some of what a telephone cuts off: German, to the stand-in."""
    samples = soxr.resample(clip.samples.astype(np.float32), 8000, 16000)
    hiss = np.random.default_rng(0).normal(0, 500, len(samples))
    return np.clip(samples + hiss * (np.abs(samples) > 200), -32768, 32767).astype("<i2").tobytes()


async def test_an_undecided_caller_is_heard_by_the_recogniser_of_his_language(
    tmp_path: Path, clips: list[Clip]
) -> None:
    build_german(tmp_path)
    build_detector(tmp_path)
    build_recogniser(tmp_path, "zipformer-streaming")
    engines = engines_of(installed(tmp_path), processes=1)
    (detector,) = engines.spoken_detectors
    german = next(one for one in engines.recognizers if one.name == "standin-german")
    whisper = SherpaRecognizer(build_recogniser(tmp_path, "whisper"), processes=1)
    choices = {"en": whisper, "de": german}
    undecided = AnyLanguageRecognizer(detector, lambda: list(choices), choices.get)
    await asyncio.gather(detector.start(), german.start(), whisper.start())
    try:
        await identifies(detector, clips[0])
        for language, pcm, rate in (("de", bright(clips[0]), 16000), ("en", line(clips[0]), 8000)):
            direct = await listen(choices[language], language=language, rate=rate)
            heard = await listen(undecided, language=None, rate=rate)
            for one in (direct, heard):
                for at in range(0, len(pcm), 640):
                    one.stream.push(pcm[at : at + 640])
                one.stream.skip(1000)
                one.stream.push(pcm[: len(pcm) // 2])
                one.stream.finish()
                await one.stream.drain()
            in_order(heard)
            places = [
                [(final.start_ms, final.end_ms, final.text) for final in one.of(Final)] for one in (direct, heard)
            ]
            assert places[0] == places[1] != []
            assert {final.language for final in heard.of(Final)} == {language}
            assert len(heard.of(SpeechStarted)) == len(direct.of(SpeechStarted))
    finally:
        await asyncio.gather(detector.close(), german.close(), whisper.close())
    assert psutil.Process().children() == []


async def identifies(detector: SpokenLanguageDetector, clip: Clip) -> None:
    assert await detector.identify(line(clip), 8000) == "en"
    assert await detector.identify(bright(clip), 16000, ["en-GB", "de-CH"]) == "de-CH"
    assert await detector.identify(bright(clip), 16000, ["en", "fr"]) is None
    assert await detector.identify(bytes(32000), 8000) is None
    with pytest.raises(EngineError, match="11025"):
        await detector.identify(b"", 11025)


def test_what_is_installed_becomes_engines(tmp_path: Path) -> None:
    build_german(tmp_path)
    build_detector(tmp_path)
    folder = folder_of(tmp_path, "of-the-future")
    (folder / "weights").write_text("?")
    sign(folder, "recognition", "hears-everything", {"model": "weights"}, languages=("de",))
    engines = engines_of(installed(tmp_path), processes=0)
    assert [engine.name for engine in engines.recognizers] == ["standin-german"]
    assert [engine.name for engine in engines.spoken_detectors] == ["standin-languages"]
    assert engines.recognizers[0].languages == ("de",)
    assert engines.recognizers[0].quality == "random weights: gibberish"
    assert engines.recognizers[0].missing() is None
    (tmp_path / "standin-german@1" / "encoder.ort").unlink()
    missing = engines.recognizers[0].missing()
    assert (
        missing == "the model standin-german is not complete, encoder.ort is gone: kallglot models pull standin-german"
    )
