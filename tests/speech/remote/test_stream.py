"""What a stream does beyond what the contract asks of every recogniser."""

from __future__ import annotations

import asyncio
import gc
import random
import struct
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import soundfile
from tests.fakes.remote.plain import PlainFake, PlainRecognizer
from tests.fakes.remote.server import Fault
from tests.fakes.remote.words import say, silence, text

from kallglot.speech.remote import suspicion
from kallglot.speech.remote.config import Budget, Patience, ProviderConfig
from kallglot.speech.types import EngineError, Failed, Final, Partial, RecognizerEvent, RecognizerOptions, Restarted

RATE = 8000
HURRY = {"catch_up": 1e9, "burst_ms": 10**9, "backoff_s": (0.0, 0.01), "close_s": 0.3}


class Case:
    def __init__(self, server: PlainFake, engine: PlainRecognizer) -> None:
        self.server = server
        self.engine = engine
        self.events: list[RecognizerEvent] = []
        self._news = asyncio.Event()

    async def open(self) -> Any:
        return await self.engine.open(RecognizerOptions(RATE, "de"), self.told)

    def told(self, event: RecognizerEvent) -> None:
        self.events.append(event)
        self._news.set()

    async def until(self, happened: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not happened():
                self._news.clear()
                await self._news.wait()

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@asynccontextmanager
async def made(
    budget: Budget | None = None, options: dict[str, Any] | None = None, **patience: Any
) -> AsyncIterator[Case]:
    async with PlainFake() as server:
        config = ProviderConfig(
            "acme", server.url, "sk-5ecret", options=options or {}, budget=budget or Budget(),
            patience=Patience(**{**HURRY, **patience}),
        )  # fmt: skip
        engine = PlainRecognizer(config)
        await engine.start()
        yield Case(server, engine)  # type: ignore[arg-type]
        await engine.close()


async def ticks(happened: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not happened():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_it_says_goodbye() -> None:
    async with made() as case:
        stream = await case.open()
        await stream.close()
        await ticks(lambda: case.server.sessions[0].closed_well)
        assert case.engine.spending.running == 0


async def test_a_closed_stream_does_not_wait_for_garbage_collection() -> None:
    async with made() as case:
        gc.disable()
        try:
            stream = await case.open()
            stream.push(say([1], RATE))
            await ticks(lambda: case.server.received_ms > 0)
            gone = weakref.ref(stream)
            await stream.close()
            del stream
            await ticks(lambda: gone() is None)
        finally:
            gc.enable()


async def test_closing_the_engine_closes_its_streams() -> None:
    async with made() as case:
        stream = await case.open()
        stream.push(say([1], RATE))
        draining = asyncio.create_task(stream.drain())
        await asyncio.sleep(0)
        await case.engine.close()
        async with asyncio.timeout(10):
            await draining
        assert case.engine.spending.running == 0


async def test_an_idle_stream_is_kept_alive() -> None:
    async with made(options={"keepalive_s": 0.01}) as case:
        await case.open()
        await ticks(lambda: case.server.sessions and case.server.sessions[0].keepalives >= 3)
        assert case.server.connections == 1


async def test_kept_audio_is_not_sent_faster_than_allowed() -> None:
    """Nothing is measured here but order: what the burst does not cover waits while the loop goes on."""
    async with made(catch_up=4.0, burst_ms=1000) as case:
        stream = await case.open()
        stream.push(silence(10_000, RATE))
        await ticks(lambda: case.server.received_ms >= 900)
        assert case.server.received_ms < 5000
        assert stream.backlog_ms > 1000
        await stream.close()


async def test_more_streams_than_the_budget_are_refused() -> None:
    async with made(Budget(at_once=1)) as case:
        first = await case.open()
        with pytest.raises(EngineError, match="acme: all 1 streams"):
            await case.open()
        await first.close()
        await case.open()


async def test_a_day_that_is_used_up_ends_the_stream() -> None:
    async with made(Budget(seconds_a_day=1.0)) as case:
        stream = await case.open()
        stream.push(silence(3000, RATE))
        await case.until(lambda: case.of(Failed))
        assert "for today are used up" in case.of(Failed)[0].reason
        assert case.engine.healthy
        with pytest.raises(EngineError, match="used up"):
            await case.open()


async def test_an_event_that_cannot_be_handled_harms_nobody() -> None:
    async with made() as case:
        told = case.told

        def handle(event: RecognizerEvent) -> None:
            told(event)
            raise RuntimeError("a bug elsewhere")

        stream = await case.engine.open(RecognizerOptions(RATE, "de"), handle)
        stream.push(say([1, 2], RATE))
        await stream.drain()
        assert [final.text for final in case.of(Final)] == [text([1, 2])]


async def test_noise_that_nobody_answers_is_no_stall_where_silence_is_not_answered() -> None:
    """Quiet audio, no answer to finish: taken for answered."""

    class Mute(PlainFake):
        def flushed(self, session: Any, until_ms: int) -> tuple[str, ...]:
            return ()

    async with Mute() as server:
        patience = Patience(**{**HURRY, "final_s": 0.02})
        options = {"answers_flush": False}
        engine = PlainRecognizer(ProviderConfig("acme", server.url, "k", options=options, patience=patience))
        await engine.start()
        events: list[RecognizerEvent] = []
        stream = await engine.open(RecognizerOptions(RATE, "de"), events.append)
        stream.push(struct.pack("<400h", *(random.Random(1).randint(-60, 60) for _ in range(400))))
        async with asyncio.timeout(10):
            await stream.drain()
        assert events == []
        assert server.connections == 1
        await engine.close()


async def test_a_server_that_falls_silent_under_loud_audio_is_left() -> None:
    async with made(options={"talkative": True}, mute_s=0.02, give_up_s=60) as case:
        case.server.fail_next(Fault("silent", after=1))
        stream = await case.open()
        while not case.of(Restarted):
            stream.push(say([3], RATE, before_ms=0, after_ms=0))
            await asyncio.sleep(0.002)
        assert case.engine.counters.reconnects == 1
        await stream.close()


@pytest.mark.parametrize("speech_ms", [0, 2000])
async def test_silence_about_speech_is_a_stall_and_about_music_is_not(
    speech_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[int] = []

    def judge(pcm: bytes, rate: int) -> int:
        judged.append(len(pcm) // 16)
        return speech_ms

    monkeypatch.setattr(suspicion, "speech_ms", judge)
    async with made(mute_s=0.02, give_up_s=60) as case:
        case.server.fail_next(Fault("silent", after=1))
        stream = await case.open()
        while len(judged) < 2 and not case.of(Restarted):
            stream.push(say([3], RATE, before_ms=0, after_ms=0))
            await asyncio.sleep(0.002)
        assert judged[0] > 0
        assert bool(case.of(Restarted)) is (speech_ms > 0)
        await stream.close()


@pytest.mark.speech
def test_speech_is_told_from_tones(testdata: Path) -> None:
    path = next(iter(sorted((testdata / "speech").rglob("*jfk*.wav"))))
    samples, rate = soundfile.read(path, dtype="int16")
    assert suspicion.speech_ms(samples.tobytes(), rate) > len(samples) * 1000 // rate // 4
    assert suspicion.speech_ms(say([5, 6, 7], RATE), RATE) == 0


async def test_an_utterance_that_is_never_ended_is_a_stall() -> None:
    async with made(utterance_s=0.02, give_up_s=60) as case:
        case.server.fail_next(Fault("silent", after=500))
        stream = await case.open()
        words = say([3, 4], RATE)
        stream.push(words[: 400 * 16])
        await case.until(lambda: case.of(Partial))
        stream.push(words[400 * 16 :])
        await case.until(lambda: case.of(Final))
        assert case.of(Final)[0].text == text([3, 4])
        assert case.of(Restarted) == [Restarted(0)]


async def test_a_drain_ends_with_the_connection_where_all_was_told() -> None:
    """The final came, the answer to the question did not, and the next server was never told anything to ask about."""

    class Forgetful(PlainFake):
        def flushed(self, session: Any, until_ms: int) -> tuple[str, ...]:
            if session.heard_ms:
                self.reached.set()
                asyncio.get_running_loop().call_soon(session.request.transport.abort)
            return ()

    async with Forgetful() as server:
        patience = Patience(**{**HURRY, "final_s": 60, "give_up_s": 60})
        engine = PlainRecognizer(ProviderConfig("acme", server.url, "k", patience=patience))
        await engine.start()
        case = Case(server, engine)  # type: ignore[arg-type]
        stream = await case.open()
        stream.push(say([1, 2], RATE, after_ms=0))
        async with asyncio.timeout(10):
            await stream.drain()
        assert [final.text for final in case.of(Final)] == [text([1, 2])]
        await engine.close()


async def test_what_could_not_be_kept_is_said_to_be_lost() -> None:
    async with made(keep_ms=1000) as case:
        case.server.fail_next(Fault("drop", after=3000))
        stream = await case.open()
        for number in range(20):
            stream.push(say([number], RATE, before_ms=0, after_ms=0))
        stream.push(silence(400, RATE))
        await case.until(lambda: case.of(Restarted))
        assert case.of(Restarted)[0].lost_ms >= 1000


async def test_what_waits_while_the_server_is_away_is_bounded() -> None:
    async with made(wait_ms=1000, give_up_s=3600, backoff_s=(60.0,)) as case:
        case.server.fail_next(Fault("drop", after=100))
        stream = await case.open()
        stream.push(silence(200, RATE))
        await ticks(case.server.reached.is_set)
        await ticks(lambda: stream._connection is None)
        for _ in range(100):
            stream.push(silence(100, RATE))
        assert stream.backlog_ms <= 1000
        assert stream.dropped_ms >= 9000
        await stream.close()


async def test_a_blip_that_hits_all_streams_costs_none_of_them() -> None:
    """More of them fail than open the breaker."""
    async with made(give_up_s=60) as case:
        case.server.fail_next(*[Fault("drop", after=300)] * 12, *[Fault("refuse", 503)] * 12)
        streams = [await case.open() for _ in range(12)]
        for stream in streams:
            stream.push(say([1, 2], RATE))
        async with asyncio.timeout(10):
            await asyncio.gather(*(stream.drain() for stream in streams))
        assert [final.text for final in case.of(Final)] == [text([1, 2])] * 12
        assert case.of(Failed) == []
        assert case.engine.healthy


async def test_nonsense_without_end_is_left() -> None:
    class Babel(PlainFake):
        def progress(self, session: Any, until_ms: int) -> list[str]:
            return ["what?"] * 60 if session.number == 1 else []

    async with Babel() as server:
        engine = PlainRecognizer(ProviderConfig("acme", server.url, "k", patience=Patience(**HURRY)))
        await engine.start()
        events: list[RecognizerEvent] = []
        stream = await engine.open(RecognizerOptions(RATE, "de"), events.append)
        stream.push(silence(600, RATE) + say([5], RATE))
        await stream.drain()
        assert engine.counters.garbled == 50
        assert engine.counters.reconnects == 1
        assert [event.text for event in events if isinstance(event, Final)] == [text([5])]
        await engine.close()


async def test_a_vendors_error_that_does_not_pass_ends_the_stream() -> None:
    class Refusing(PlainFake):
        def partial(self, session: Any, words: Any) -> tuple[str, ...]:
            return ('{"type":"error","code":401}',)

    async with Refusing() as server:
        engine = PlainRecognizer(ProviderConfig("acme", server.url, "k", patience=Patience(**HURRY)))
        await engine.start()
        case = Case(server, engine)  # type: ignore[arg-type]
        stream = await case.open()
        stream.push(say([5], RATE))
        await case.until(lambda: case.of(Failed))
        assert case.of(Failed) == [Failed("plain refuses")]
        assert not engine.healthy
        assert server.connections == 1
        await stream.drain()
        await engine.close()


async def test_lag_is_what_was_sent_and_not_answered() -> None:
    async with made() as case:
        stream = await case.open()
        assert case.engine.acknowledged_lag_ms == 0
        stream.push(say([1, 2], RATE, after_ms=0))
        await ticks(lambda: case.engine.acknowledged_lag_ms >= 400)
        await stream.drain()
        assert case.engine.acknowledged_lag_ms == 0


@pytest.mark.parametrize("options", [RecognizerOptions(44100, "de"), RecognizerOptions(8000, "fr")])
async def test_what_it_cannot_be_opened_for(options: RecognizerOptions) -> None:
    async with made() as case:
        with pytest.raises(EngineError, match="acme"):
            await case.engine.open(options, case.told)
        assert case.server.connections == 0
