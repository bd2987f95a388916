"""What an undecided stream does with what it is told, without any engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from kallglot.speech.engines.undecided import KEEP_SILENCE_MS, PATIENCE_MS, PRUNE_MS, TOLD_FINALS, UndecidedStream
from kallglot.speech.types import (
    EngineError,
    Failed,
    Final,
    Partial,
    RecognizerEvent,
    RecognizerStream,
    SpeechStarted,
    SpeechStopped,
)

SECOND = bytes(range(250)) * 64


class Noted:
    """A stream that notes what is done to it, silence as its length."""

    def __init__(self) -> None:
        self.done: list[object] = []
        self.backlog_ms = 0
        self.dropped_ms = 7
        self.tell: Callable[[RecognizerEvent], None]
        self.on_drain: RecognizerEvent | None = None

    def push(self, pcm: bytes | memoryview) -> None:
        self.done.append(bytes(pcm))

    def skip(self, ms: int) -> None:
        self.done.append(ms)

    def finish(self) -> None:
        self.done.append("finish")

    async def drain(self) -> None:
        if self.on_drain is not None:
            self.tell(self.on_drain)
        self.done.append("drain")

    async def close(self) -> None:
        self.done.append("close")


class Scene:
    def __init__(self) -> None:
        self.told: list[RecognizerEvent] = []
        self.inner = Noted()
        self.opened: list[str] = []
        self.refuses: str | None = None
        self.stream = UndecidedStream(8000, "en", self._open, self.told.append)
        self.probe = Noted()
        self.probe.tell = self.stream.detected
        self.stream.listen(self.probe)

    async def _open(self, language: str, tell: Callable[[RecognizerEvent], None]) -> RecognizerStream:
        await asyncio.sleep(0)
        self.opened.append(language)
        if self.refuses is not None:
            raise EngineError(self.refuses)
        self.inner.tell = tell
        return self.inner

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


async def test_the_right_recogniser_hears_everything_from_the_beginning() -> None:
    scene = Scene()
    stream = scene.stream
    stream.push(b"ab")
    stream.skip(40)
    stream.push(memoryview(b"cd"))
    stream.finish()
    stream.finish()
    assert scene.probe.done == [b"ab", 40, b"cd", "finish", "finish"]
    stream.detected(SpeechStarted(96))
    stream.detected(Partial("d", "", 96, hypothesis=None))
    assert scene.opened == []
    stream.detected(Partial("de", "", 96, hypothesis="de"))
    stream.detected(Partial("en", "", 96, hypothesis="en"))
    stream.push(b"ef")
    await scene.settle()
    stream.push(b"gh")
    await stream.drain()
    assert scene.opened == ["de"]
    assert scene.inner.done == [b"ab", 40, b"cd", "finish", b"ef", b"gh", "drain"]
    assert scene.probe.done[-1] == "close"
    assert stream.dropped_ms == 7
    await stream.close()
    assert scene.inner.done[-1] == "close"


async def test_where_speech_begins_is_told_once_and_finals_have_the_language() -> None:
    scene = Scene()
    scene.stream.push(SECOND)
    for event in (SpeechStarted(96), SpeechStopped(800), Final("de", 96, 800, language="de")):
        scene.stream.detected(event)
    await scene.settle()
    for event in (SpeechStarted(100), Final("ja", 100, 790), SpeechStopped(810), SpeechStarted(1500)):
        scene.inner.tell(event)
    scene.inner.tell(Final("yes", 1500, 1900, language="en"))
    assert scene.told == [
        SpeechStarted(96),
        SpeechStopped(800),
        Final("ja", 100, 790, language="de"),
        SpeechStarted(1500),
        Final("yes", 1500, 1900, language="en"),
    ]


async def test_after_some_finals_the_words_tell_the_language() -> None:
    scene = Scene()
    scene.stream.push(SECOND)
    scene.stream.detected(Final("de", 96, 800, language="de"))
    await scene.settle()
    for number in range(TOLD_FINALS + 2):
        scene.inner.tell(Final("ja", number * 1000, number * 1000 + 500))
    assert [one.language for one in scene.told if isinstance(one, Final)] == ["de"] * TOLD_FINALS + [None, None]


async def test_nobody_waits_for_ever_to_be_understood() -> None:
    scene = Scene()
    scene.stream.detected(SpeechStarted(0))
    for _ in range(PATIENCE_MS // 1000):
        scene.stream.push(SECOND)
    await scene.settle()
    assert scene.opened == []
    scene.stream.push(SECOND)
    await scene.settle()
    assert scene.opened == ["en"]
    assert scene.inner.done == [SECOND] * (PATIENCE_MS // 1000 + 1)


@pytest.mark.parametrize("how", ["fails", "is late", "says nothing at the end"])
async def test_without_the_detector_it_is_the_usual_language(how: str) -> None:
    scene = Scene()
    scene.stream.push(SECOND)
    if how == "fails":
        scene.stream.detected(Failed("gone"))
    elif how == "is late":
        scene.probe.backlog_ms = 60_000
        scene.stream.push(b"")
    else:
        scene.stream.detected(SpeechStarted(0))
        scene.stream.finish()
        scene.probe.on_drain = SpeechStopped(900)
        await scene.stream.drain()
    await scene.settle()
    assert scene.opened == ["en"]
    assert SECOND in scene.inner.done
    scene.inner.tell(Final("oui", 0, 900))
    assert scene.told[-1] == Final("oui", 0, 900), "nobody heard which language it is"
    assert not any(isinstance(event, Failed) for event in scene.told)


async def test_long_silence_becomes_a_gap_of_the_same_length() -> None:
    scene = Scene()
    scene.stream.skip(500)
    piece = bytes(333)
    pieces = (PRUNE_MS + 10_000) * 16 // len(piece)
    for _ in range(pieces):
        scene.stream.push(piece)
    assert scene.stream.backlog_ms <= PRUNE_MS
    scene.stream.detected(Final("de", 0, 1, language="de"))
    await scene.settle()
    gaps = [done for done in scene.inner.done if isinstance(done, int)]
    audio = sum(len(done) for done in scene.inner.done if isinstance(done, bytes))
    assert sum(gaps) * 16 + audio == 500 * 16 + pieces * len(piece)
    assert audio >= KEEP_SILENCE_MS * 16


async def test_a_recogniser_that_does_not_open_is_told() -> None:
    scene = Scene()
    scene.refuses = "no recogniser for de"
    scene.stream.detected(Final("de", 0, 1, language="de"))
    scene.stream.push(SECOND)
    await scene.stream.drain()
    assert scene.told == [Failed("no recogniser for de")]
    assert scene.stream.backlog_ms == 0


async def test_a_closed_stream_opens_nothing() -> None:
    scene = Scene()
    scene.stream.push(SECOND)
    scene.stream.detected(Final("de", 0, 1, language="de"))
    await scene.stream.close()
    await scene.stream.close()
    scene.stream.push(SECOND)
    scene.stream.skip(5)
    scene.stream.finish()
    scene.stream.detected(Final("en", 0, 1, language="en"))
    await scene.stream.drain()
    assert scene.opened == []
    assert scene.probe.done == [SECOND, "close"]
    assert scene.told == []
