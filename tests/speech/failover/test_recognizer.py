from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator

import pytest
from tests.speech.failover.engines import Clock, Ears, numbered, settle
from tests.waiting import until

from kallglot.session.live import RELEASE_INPUT_MS
from kallglot.speech.failover import recognizer as module
from kallglot.speech.failover.recognizer import FailoverRecognizer, FailoverStream
from kallglot.speech.failover.rests import Rests
from kallglot.speech.types import (
    EngineError,
    Final,
    Partial,
    RecognizerEvent,
    RecognizerOptions,
    Restarted,
    SpeechStarted,
    SpeechStopped,
)
from kallglot.speech.used import Heard


class Call:
    def __init__(self, *engines: Ears) -> None:
        self.clock = Clock()
        self.engines = engines
        self.rests = Rests(self.clock)
        self.recognizer = FailoverRecognizer(engines, self.rests, now=self.clock)
        self.told: list[RecognizerEvent] = []
        self.pushed_ms = 1000

    async def open(self) -> FailoverStream:
        stream = await self.recognizer.open(RecognizerOptions(8000, "de"), self.told.append)
        assert isinstance(stream, FailoverStream)
        self.stream = stream
        return stream

    def push(self, ms: int) -> None:
        for _ in range(ms // 20):
            self.stream.push(numbered(self.pushed_ms, 20))
            self.pushed_ms += 20
            self.clock.now += 0.02

    @property
    def texts(self) -> list[str]:
        return [one.text for one in self.told if isinstance(one, Final)]


A, B = "a", "b"


@pytest.fixture
async def call() -> AsyncIterator[Call]:
    one = Call(Ears(A), Ears(B))
    await one.open()
    yield one
    await one.stream.close()


async def test_the_preferred_engine_hears_while_it_can(call: Call) -> None:
    first, second = call.engines
    call.push(1000)
    first.stream.say("one", 100, 900)
    assert call.texts == ["one"]
    assert (call.stream.engine, second.streams) == (A, [])
    assert first.options.language == "de"


class Listener:
    def heard(self, event: RecognizerEvent) -> None: ...


async def test_a_closed_stream_keeps_neither_audio_nor_who_listened(call: Call) -> None:
    listener = Listener()
    stream = await call.recognizer.open(RecognizerOptions(8000, "de"), listener.heard)
    stream.push(numbered(1000, 2000))
    call.engines[0].stream.fail()
    assert stream.backlog_ms > 1000
    await stream.close()
    assert stream.backlog_ms == 0
    gone = weakref.ref(listener)
    gc.disable()
    try:
        del listener
        assert gone() is None
    finally:
        gc.enable()


async def test_an_engine_that_gives_up_in_mid_utterance_costs_no_word(call: Call) -> None:
    first, second = call.engines
    call.push(2000)
    first.stream.say("one", 100, 1500)
    first.stream.tell(Partial("tw", "", 1600))
    first.stream.fail()
    call.push(500)
    await settle()
    # From the last final on, and what was pushed while there was no engine.
    assert (second.stream.first_ms, second.stream.heard_ms) == (1000 + 1500, 500 + 500)
    second.stream.say("two", 100, 900)
    assert call.texts == ["one", "two"]
    finals = [one for one in call.told if isinstance(one, Heard)]
    assert [(one.start_ms, one.end_ms) for one in finals] == [(100, 1500), (1600, 2400)]
    assert finals[1].given == ((B, 1000),)
    assert [one for one in call.told if isinstance(one, Restarted)] == [Restarted(0)]
    assert first.stream.closed
    assert call.rests.given_up == call.rests.replaced == {("recognition", A): 1}


async def test_what_a_lost_engine_still_says_is_not_told_again(call: Call) -> None:
    first, second = call.engines
    call.push(1000)
    first.stream.fail()
    await settle()
    first.stream.say("one", 0, 900)
    first.stream.fail()
    second.stream.say("one", 0, 900)
    assert call.texts == ["one"]
    assert len(second.streams) == 1


async def test_an_engine_whose_pipe_breaks_or_whose_drain_fails_is_replaced(call: Call) -> None:
    first, second = call.engines
    call.push(1000)
    first.broken = True
    call.push(20)
    await settle()
    assert second.stream.heard_ms == 1020


async def test_where_opening_fails_the_next_is_opened() -> None:
    call = Call(Ears(A), Ears(B))
    call.engines[0].refusals = [EngineError("wrong key", passing=False)]
    await call.open()
    assert call.stream.engine == B
    await call.stream.close()


async def test_where_none_can_be_opened_the_caller_is_told() -> None:
    call = Call(Ears(A), Ears(B))
    call.engines[0].refusals = [EngineError("no")]
    call.engines[1].refusals = [RuntimeError("broken")]
    with pytest.raises(EngineError, match="b: RuntimeError"):
        await call.open()


async def test_a_stalled_engine_is_replaced_in_the_middle_of_the_utterance(call: Call) -> None:
    first, second = call.engines
    call.push(1000)
    first.stream.tell(SpeechStarted(100))
    first.stream.tell(Partial("ich", "", 100))
    call.push(2900)
    call.stream.look()
    assert call.stream.engine == A
    call.push(200)
    call.stream.look()
    await settle()
    assert call.stream.engine == B
    assert second.stream.heard_ms == 4100
    second.stream.say("ich möchte", 120, 3900)
    assert [one for one in call.told if isinstance(one, SpeechStarted | SpeechStopped)] == [
        SpeechStarted(100),
        SpeechStopped(3900),
    ]
    (final,) = [one for one in call.told if isinstance(one, Final)]
    assert (final.start_ms, final.end_ms) == (100, 3900)


async def test_the_next_utterance_goes_back_to_the_preferred_engine(call: Call) -> None:
    first, second = call.engines
    call.push(1000)
    first.stream.fail()
    await settle()
    second.stream.tell(Partial("so", "", 0))
    call.clock.now += 2.1
    call.stream.look()
    await settle()
    # Somebody is in the middle of an utterance.
    assert call.stream.engine == B
    second.stream.say("so", 0, 900)
    call.stream.look()
    call.push(60)
    await settle()
    assert call.stream.engine == A
    assert second.stream.closed
    assert first.stream.first_ms == 1000 + 900
    first.stream.say("and on", 20, 100)
    assert [(one.text, one.start_ms, one.end_ms) for one in call.told if isinstance(one, Final)] == [
        ("so", 0, 900),
        ("and on", 920, 1000),
    ]
    assert [one for one in call.told if isinstance(one, Restarted)] == [Restarted(0)]


async def test_who_begins_to_speak_while_the_preferred_engine_is_opened_stays_where_they_are(call: Call) -> None:
    first, second = call.engines
    call.push(1000)
    first.stream.fail()
    await settle()
    second.stream.say("so", 0, 900)
    first.gate = asyncio.Event()
    call.clock.now += 2.1
    call.stream.look()
    await settle()
    second.stream.tell(SpeechStarted(950))
    first.gate.set()
    await settle()
    assert call.stream.engine == B
    assert first.stream.closed
    assert first.stream.heard_ms == 0


async def test_an_engine_that_is_not_healthy_is_left_alone(call: Call) -> None:
    first, second = call.engines
    call.push(100)
    first.stream.fail()
    await settle()
    second.stream.say("so", 0, 90)
    first.healthy = False
    call.clock.now += 100
    call.stream.look()
    await settle()
    assert call.stream.engine == B
    first.healthy = True
    call.stream.look()
    await settle()
    assert call.stream.engine == A


async def test_engines_that_fail_one_after_another_are_asked_until_one_hears(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAITS_S", (0.0,))
    first, second = call.engines
    call.push(500)
    first.refusals = [EngineError("no")] * 3
    second.refusals = [EngineError("no")] * 3
    first.stream.fail()
    async with asyncio.timeout(5):
        while call.stream.engine is None:
            assert call.stream.backlog_ms == 500
            await asyncio.sleep(0)
    heard = next(engine for engine in call.engines if engine.name == call.stream.engine)
    assert heard.stream.heard_ms == 500
    assert call.stream.backlog_ms == 0


async def test_draining_waits_for_the_engine_that_takes_over(call: Call) -> None:
    first, second = call.engines
    call.push(500)
    first.stream.drained.clear()
    draining = asyncio.create_task(call.stream.drain())
    await settle()
    second.gate = asyncio.Event()
    first.stream.fail()
    await settle()
    assert not draining.done()
    second.gate.set()
    await asyncio.wait_for(draining, 5)
    assert second.stream.heard_ms == 500


async def test_closing_lets_go_of_everything_also_while_an_engine_is_opened(call: Call) -> None:
    first, second = call.engines
    second.gate = asyncio.Event()
    draining = asyncio.create_task(call.stream.drain())
    first.stream.drained.clear()
    first.stream.fail()
    await settle()
    await call.stream.close()
    await asyncio.wait_for(draining, 5)
    assert first.stream.closed
    assert second.streams == []
    call.push(100)
    await call.stream.close()


async def test_a_single_remote_engine_is_opened_again_with_what_it_did_not_deal_with() -> None:
    call = Call(Ears(A))
    await call.open()
    call.push(1000)
    call.engines[0].stream.say("one", 0, 500)
    call.engines[0].stream.fail()
    await settle()
    assert len(call.engines[0].streams) == 2
    assert call.engines[0].stream.heard_ms == 500
    await call.stream.close()


async def test_marks_go_to_the_next_engine_too(call: Call) -> None:
    first, second = call.engines
    call.push(100)
    call.stream.skip(300)
    call.push(100)
    call.stream.finish()
    assert first.stream.marks == ["skip 300", "finish"]
    first.stream.fail()
    await settle()
    assert second.stream.marks == ["skip 300", "finish"]


async def test_an_engine_that_says_nothing_is_blamed_when_another_hears_something(call: Call) -> None:
    first, second = call.engines
    call.push(9000)
    call.stream.look()
    await settle()
    assert call.stream.engine == B
    assert call.rests.ready(("recognition", A), first)
    second.stream.tell(Partial("hello", "", 100))
    assert not call.rests.ready(("recognition", A), first)


async def test_what_listens_may_break_and_the_stream_goes_on(call: Call) -> None:
    call.told = None  # type: ignore[assignment]
    call.stream._on_event = lambda _: 1 / 0  # type: ignore[assignment, return-value]  # pyright: ignore
    call.engines[0].stream.say("one", 0, 10)
    assert call.stream.engine == A


def test_it_serves_what_any_of_its_engines_does() -> None:
    one = FailoverRecognizer([Ears(A, ("en",)), Ears(B, ("en",))], Rests(Clock()))
    assert (one.name, list(one.languages)) == (A, ["en"])
    assert len(FailoverRecognizer([Ears(A, ("en",)), Ears(B, ("de",))], Rests(Clock())).languages) == 2


async def test_engines_that_open_and_hear_nothing_are_not_opened_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []
    enough = asyncio.Event()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            enough.set()
            await asyncio.Event().wait()

    call = Call(Ears(A), Ears(B))
    await call.open()
    monkeypatch.setattr(module.asyncio, "sleep", sleep)
    for engine in call.engines:
        engine.broken = True
    call.push(20)
    async with asyncio.timeout(5):
        await enough.wait()
    assert slept == [0.5, 1.0, 2.0]
    assert sum(len(engine.streams) for engine in call.engines) < 8
    monkeypatch.undo()
    await call.stream.close()


class Refusal(EngineError):
    blame = "request"


async def test_a_preferred_engine_that_refuses_the_stream_is_not_asked_at_every_look() -> None:
    call = Call(Ears(A), Ears(B))
    call.engines[0].refusals = [Refusal("this model has no German")] * 50
    await call.open()
    assert call.stream.engine == B
    for _ in range(20):
        call.clock.now += 0.5
        call.stream.look()
        await settle()
    # In ten seconds.
    assert 50 - len(call.engines[0].refusals) <= 3
    call.engines[0].refusals.clear()
    call.clock.now += 60
    call.stream.look()
    await settle()
    assert call.stream.engine == A
    await call.stream.close()


async def test_an_engine_that_stalls_at_the_end_of_a_call_leaves_the_next_one_time(call: Call) -> None:
    first, second = call.engines
    call.push(700)
    first.stream.drained.clear()
    first.stream.backlog_ms = 700
    call.stream.finish()
    draining = asyncio.create_task(call.stream.drain())
    await settle()
    call.stream.look()
    call.clock.now += module.DRAIN_S + 0.1
    call.stream.look()
    await settle()
    assert call.stream.engine == B
    assert second.stream.heard_ms == 700
    second.stream.say("ja", 100, 600)
    await asyncio.wait_for(draining, 5)
    assert call.texts == ["ja"]


async def test_an_engine_that_gets_on_with_its_backlog_is_waited_for(call: Call) -> None:
    first = call.engines[0]
    call.push(7000)
    first.stream.drained.clear()
    draining = asyncio.create_task(call.stream.drain())
    for left in (7000, 5000, 3000, 1000):
        first.stream.backlog_ms = left
        await settle()
        call.stream.look()
        call.clock.now += module.DRAIN_S - 0.1
    call.stream.look()
    assert call.stream.engine == A
    first.stream.drained.set()
    await asyncio.wait_for(draining, 5)


async def test_the_next_engine_may_stall_over_an_utterance_that_is_over(call: Call) -> None:
    first, second = call.engines
    call.push(1000)
    first.stream.tell(SpeechStarted(100))
    first.stream.tell(Partial("ja", "", 100))
    call.stream.finish()
    first.stream.backlog_ms = 1000
    call.clock.now += 6.1
    call.stream.look()
    await settle()
    assert call.stream.engine == B
    # Nobody says anything any more, as when a button was let go of.
    second.stream.tell(SpeechStarted(100))
    second.stream.backlog_ms = 1000
    call.clock.now += 6.1
    call.stream.look()
    await settle()
    assert call.stream.engine == A
    assert len(first.streams) == 2
    first.stream.say("ja", 100, 900)
    assert call.texts == ["ja"]


async def test_speech_of_which_a_single_engine_finds_nothing_when_it_hears_it_again_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.0)
    call = Call(Ears(A))
    await call.open()
    call.push(1000)
    call.engines[0].stream.tell(SpeechStarted(100))
    call.engines[0].stream.fail()
    await settle()
    call.push(1000)
    call.clock.now += 3.1
    await until(lambda: len(call.told) == 3)
    assert [type(one) for one in call.told] == [SpeechStarted, Restarted, SpeechStopped]
    await call.stream.close()


async def test_what_waits_for_an_engine_does_not_keep_the_line_from_being_read(call: Call) -> None:
    for engine in call.engines:
        engine.gate = asyncio.Event()
    call.push(30_000)
    call.engines[0].stream.fail()
    await settle()
    assert call.stream.engine is None
    assert call.stream.backlog_ms < RELEASE_INPUT_MS
