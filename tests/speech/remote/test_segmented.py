"""Recognition of whole utterances, with our own voice activity."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import soundfile
from tests.fakes.remote.server import Asked, FakeServer, Fault, Reply, json_reply
from tests.fakes.remote.words import silence

from kallglot.speech.remote.config import Patience, ProviderConfig, Retry
from kallglot.speech.remote.exchange import Request
from kallglot.speech.remote.segmented import Said, UtteranceRecognizer
from kallglot.speech.remote.segmentstream import SegmentStream
from kallglot.speech.types import EngineError, Failed, Final, RecognizerEvent, RecognizerOptions, SpeechStarted


class Whole:
    def __init__(self) -> None:
        self.data = b""

    def feed(self, data: bytes) -> Iterable[str]:
        self.data += data
        return ()

    def end(self) -> Said:
        import json

        return Said(json.loads(self.data)["text"])


class Lengths(UtteranceRecognizer):
    default_languages = ("en",)

    def request(self, pcm: bytes, options: RecognizerOptions) -> Request:
        return Request(f"{self.config.url}/hear", body=pcm)

    def transcript(self) -> Whole:
        return Whole()


class Server(FakeServer):
    """Says how long the utterance was."""

    def routes(self) -> None:
        self.route("POST", "/hear", self._hear)

    async def _hear(self, asked: Asked, request: Any) -> Reply:
        return json_reply({"text": f"{len(asked.body) // 16} milliseconds of speech"})


@asynccontextmanager
async def made(voice_activity: str, **patience: Any) -> AsyncIterator[tuple[Lengths, Server]]:
    async with Server() as server:
        config = ProviderConfig(
            "acme", server.url, "k", options={"voice_activity": voice_activity}, retry=Retry(tries=1),
            patience=Patience(**{"backoff_s": (0.0, 0.01), **patience}),
        )  # fmt: skip
        engine = Lengths(config)
        await engine.start()
        yield engine, server  # type: ignore[misc]
        await engine.close()


@pytest.mark.speech
async def test_silero_finds_speech(testdata: Path) -> None:
    path = next(iter(sorted((testdata / "speech").rglob("*jfk*.wav"))))
    samples, rate = soundfile.read(path, dtype="int16")
    async with made("silero") as (engine, server):
        events: list[RecognizerEvent] = []
        stream = await engine.open(RecognizerOptions(rate, "en"), events.append)
        stream.push(silence(500, rate) + samples.tobytes() + silence(1000, rate))
        async with asyncio.timeout(20):
            await stream.drain()
        assert isinstance(events[0], SpeechStarted)
        finals = [event for event in events if isinstance(event, Final)]
        assert len(finals) == len(server.asked) >= 1
        assert 0 < finals[0].start_ms < finals[-1].end_ms < stream.utterances.ms(stream.utterances.received)


@pytest.mark.speech
async def test_silero_does_not_take_a_tone_for_speech() -> None:
    from tests.fakes.remote.words import say

    async with made("silero") as (engine, server):
        events: list[RecognizerEvent] = []
        stream = await engine.open(RecognizerOptions(8000, "en"), events.append)
        stream.push(say([5], 8000))
        await stream.drain()
        assert (events, server.asked) == ([], [])
        assert stream.backlog_ms == 0


async def test_an_unknown_voice_activity_is_refused() -> None:
    with pytest.raises(EngineError, match="voice_activity has to be silero or energy"):
        async with made("guess"):
            pass


async def test_what_cannot_be_recognised_in_time_is_bounded() -> None:
    from tests.fakes.remote.words import say

    async with made("energy", wait_ms=3000) as (engine, server):
        server.fail_next(Fault("slow"))
        stream = await engine.open(RecognizerOptions(8000, "en"), lambda _: None)
        for number in range(12):
            stream.push(say([number, number], 8000, after_ms=1000))
            while stream._waiting:  # noqa: ASYNC110
                await asyncio.sleep(0)
        await server.reached.wait()
        assert stream.backlog_ms <= 4500
        assert stream.dropped_ms > 0
        server.release.set()
        await stream.drain()
        assert stream.backlog_ms == 0


async def test_audio_that_is_not_judged_in_time_becomes_a_gap() -> None:
    async with made("energy", wait_ms=1000) as (engine, _):
        stream = await engine.open(RecognizerOptions(8000, "en"), lambda _: None)
        stream.push(silence(5000, 8000))
        assert stream.dropped_ms == 4000
        assert stream.backlog_ms == 1000
        await stream.drain()
        assert stream.utterances.ms(stream.utterances.received) == 5000


async def test_a_request_that_is_refused_ends_the_stream() -> None:
    from tests.fakes.remote.words import say

    async with made("energy") as (engine, server):
        server.always = Fault("refuse", 400)
        events: list[RecognizerEvent] = []
        stream = await engine.open(RecognizerOptions(8000, "en"), events.append)
        stream.push(say([1, 2, 3], 8000))
        await stream.drain()
        assert events[-1] == Failed("acme refused the request: 400 (refused)") or "400" in events[-1].reason  # type: ignore[union-attr]
        assert stream.backlog_ms == 0


async def test_while_the_breaker_is_open_no_stream_is_opened() -> None:
    async with made("energy") as (engine, _):
        engine.breaker.failed(EngineError("down", retry_after_s=60))
        with pytest.raises(EngineError, match="acme is not asked for now: down"):
            await engine.open(RecognizerOptions(8000, "en"), lambda _: None)


async def test_voice_activity_that_breaks_ends_its_streams_and_not_the_others_to_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with made("energy") as (engine, _):
        events: list[RecognizerEvent] = []
        stream = await engine.open(RecognizerOptions(8000, "en"), events.append)
        monkeypatch.setattr(stream, "step", None)
        stream.push(silence(100, 8000))
        await stream.drain()
        assert events == [Failed("acme failed: voice activity: TypeError")]
        other = await engine.open(RecognizerOptions(8000, "en"), events.append)
        other.push(silence(100, 8000))
        await other.drain()
        assert len(events) == 1


async def test_what_nobody_judges_is_bounded() -> None:
    class Asleep:
        def add(self, stream: Any) -> None: ...
        def remove(self, stream: Any) -> None: ...
        def notify(self, stream: object) -> None: ...

    config = ProviderConfig("acme", patience=Patience(wait_ms=1000))
    engine: Any = SimpleNamespace(name="acme", config=config)
    stream = SegmentStream(engine, Asleep(), RecognizerOptions(8000, "de"), lambda _: None)  # type: ignore[arg-type]
    for _ in range(1000):
        stream.push(bytes(320))
    assert stream.backlog_ms == 1000
    assert stream.dropped_ms == 19_000
    assert stream.entries < 60
    await stream.close()
