"""What every recogniser does, whatever is behind it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import psutil
import pytest
from tests.fakes.remote.server import Fault
from tests.speech.contract.makers import KEY, Maker, Rig

from kallglot.speech.types import (
    EngineError,
    Failed,
    Final,
    Partial,
    RecognizerEvent,
    RecognizerOptions,
    RecognizerStream,
    Restarted,
    SpeechStarted,
    SpeechStopped,
)

KIND = "recognition"
WITHIN_S = 10


class Heard:
    """A stream with what it has told; ``until`` waits for it to have told something."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.events: list[RecognizerEvent] = []
        self.said_ms = 0
        self.expected: list[str | None] = []
        self.places: list[tuple[int, int]] = []
        self.stream: RecognizerStream
        self._news = asyncio.Event()

    async def open(self, **changes: Any) -> Heard:
        options = RecognizerOptions(self.rig.rate, self.rig.language, **changes)
        self.stream = await self.rig.engine.open(options, self._told)
        return self

    def _told(self, event: RecognizerEvent) -> None:
        self.events.append(event)
        self._news.set()

    async def until(self, happened: Callable[[], object]) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not happened():
                self._news.clear()
                await self._news.wait()

    def say(self, number: int, *, frame_ms: int = 20, part: float = 1.0, ending: bool = True) -> None:
        """One utterance, or the first part of it; without ``ending`` up to its last word."""
        assert self.rig.speak is not None
        spoken = self.rig.speak(number)
        per_ms = self.rig.rate // 1000 * 2
        pcm = spoken.pcm if ending else spoken.pcm[: spoken.end_ms * per_ms]
        pcm = pcm[: int(len(pcm) * part) // per_ms * per_ms]
        for at in range(0, len(pcm), frame_ms * per_ms):
            self.stream.push(pcm[at : at + frame_ms * per_ms])
        if part == 1.0:
            self.expected.append(spoken.text)
            self.places.append((self.said_ms + spoken.start_ms, self.said_ms + spoken.end_ms))
        self.said_ms += len(pcm) // per_ms

    @property
    def finals(self) -> list[Final]:
        return [event for event in self.events if isinstance(event, Final)]

    @property
    def failed(self) -> list[Failed]:
        return [event for event in self.events if isinstance(event, Failed)]

    def check(self) -> None:
        """Everything that was said was told, once, in order, in time."""
        told = [final.text for final in self.finals]
        assert len(told) == len(self.expected), told
        assert all(text == expected for text, expected in zip(told, self.expected, strict=True) if expected is not None)
        tolerance = self.rig.tolerance_ms
        for final, (start_ms, end_ms) in zip(self.finals, self.places, strict=True):
            if tolerance is not None:
                assert abs(final.start_ms - start_ms) <= tolerance
                assert abs(final.end_ms - end_ms) <= tolerance
        self.check_order()
        assert not self.failed

    def check_order(self) -> None:
        begun: list[int] = []
        ended: list[int] = []
        told_ms = 0
        for event in self.events:
            match event:
                case SpeechStarted(at_ms):
                    assert len(begun) == len(ended)
                    assert at_ms >= (ended or [told_ms])[-1]
                    begun.append(at_ms)
                case Partial(text, stable, start_ms, _):
                    assert begun
                    assert start_ms >= told_ms
                    assert text.startswith(stable)
                case SpeechStopped(at_ms):
                    assert len(begun) == len(ended) + 1
                    assert at_ms >= begun[-1]
                    ended.append(at_ms)
                case Final(text, start, end):
                    assert text
                    assert ended
                    assert told_ms <= start <= end <= self.said_ms
                    told_ms = end
                    del begun[0], ended[0]
                case _:
                    pass


@contextlib.asynccontextmanager
async def rigged(maker: Maker, **changes: Any) -> AsyncIterator[Rig]:
    async with maker.rig(**changes) as rig:
        yield rig


async def opened(rig: Rig, **changes: Any) -> Heard:
    async with asyncio.timeout(WITHIN_S):
        return await Heard(rig).open(**changes)


async def drained(heard: Heard) -> None:
    async with asyncio.timeout(WITHIN_S):
        await heard.stream.drain()


async def trouble(rig: Rig) -> tuple[str, EngineError | None]:
    """What goes wrong with a stream into which something is said: at its opening, or later."""
    try:
        heard = await opened(rig)
    except EngineError as error:
        return str(error), error
    heard.say(0)
    heard.stream.finish()
    await heard.until(lambda: heard.failed)
    await heard.stream.close()
    return heard.failed[0].reason, None


async def test_partials_then_a_final(maker: Maker) -> None:
    async with rigged(maker) as rig:
        heard = await opened(rig)
        heard.say(0)
        await drained(heard)
        heard.check()
        kinds = [type(event) for event in heard.events]
        assert kinds[0] is SpeechStarted
        assert kinds[-1] is Final
        assert kinds.count(SpeechStopped) == 1
        assert not rig.partials or Partial in kinds
        assert heard.stream.backlog_ms == heard.stream.dropped_ms == 0
        await heard.stream.close()


async def test_no_partials_where_none_are_wanted(maker: Maker) -> None:
    async with rigged(maker) as rig:
        heard = await opened(rig, partials=False)
        heard.say(1)
        await drained(heard)
        heard.check()
        assert not any(isinstance(event, Partial) for event in heard.events)


async def test_utterances_follow_one_another(maker: Maker) -> None:
    async with rigged(maker) as rig:
        heard = await opened(rig)
        for number in range(3):
            heard.say(number)
        await drained(heard)
        heard.check()


async def test_finish_ends_an_utterance_without_silence(maker: Maker) -> None:
    async with rigged(maker) as rig:
        heard = await opened(rig)
        heard.say(2, ending=False)
        heard.stream.finish()
        await heard.until(lambda: heard.finals)
        heard.say(3, ending=False)
        heard.stream.finish()
        heard.stream.finish()
        await heard.until(lambda: len(heard.finals) == 2)
        await drained(heard)
        heard.check()


async def test_a_gap_ends_an_utterance(maker: Maker) -> None:
    async with rigged(maker) as rig:
        heard = await opened(rig)
        heard.say(1, ending=False)
        heard.stream.skip(4000)
        heard.said_ms += 4000
        heard.say(2)
        heard.stream.skip(60_000)
        heard.said_ms += 60_000
        heard.stream.skip(1000)
        heard.said_ms += 1000
        heard.say(0)
        await drained(heard)
        heard.check()


async def test_nothing_said(maker: Maker) -> None:
    async with rigged(maker, final_s=0.2) as rig:
        heard = await opened(rig)
        await drained(heard)
        heard.stream.push(bytes(rig.rate))
        await drained(heard)
        heard.stream.skip(100)
        await drained(heard)
        assert heard.events == []
        assert heard.stream.backlog_ms == 0
        await heard.stream.close()


async def test_close_in_mid_utterance(maker: Maker) -> None:
    async with rigged(maker) as rig:
        heard = await opened(rig)
        heard.say(0, part=0.7)
        draining = asyncio.create_task(heard.stream.drain())
        await asyncio.sleep(0)
        async with asyncio.timeout(WITHIN_S):
            await heard.stream.close()
            await draining
        told = len(heard.events)
        heard.stream.push(bytes(320))
        heard.stream.skip(20)
        heard.stream.finish()
        await drained(heard)
        async with asyncio.timeout(WITHIN_S):
            await heard.stream.close()
        # Another stream of the same engine is served as if nothing had been.
        other = await opened(rig)
        other.say(0)
        await drained(other)
        other.check()
        assert len(heard.events) == told
        assert not heard.failed


async def test_two_streams_at_once(maker: Maker) -> None:
    async with rigged(maker) as rig:
        one, other = await opened(rig), await opened(rig)
        for number in range(2):
            one.say(number)
            other.say(number + (0 if rig.server is None else 5))
        await asyncio.gather(drained(one), drained(other))
        one.check()
        other.check()


async def test_half_an_hour(maker: Maker) -> None:
    """Faster than real time. What is kept is bounded by seconds, not by the length of the call."""
    async with rigged(maker) as rig:
        heard = await opened(rig, partials=False)
        pause = bytes(rig.rate * 2 * 25)
        process = psutil.Process()
        begun = most = 0
        for number in range(66):
            heard.say(number, frame_ms=250)
            heard.stream.push(pause)
            heard.said_ms += 25_000
            most = max(most, heard.stream.backlog_ms)
            async with asyncio.timeout(WITHIN_S):
                while heard.stream.backlog_ms > 15_000:  # noqa: ASYNC110
                    await asyncio.sleep(0)
            if number == 10:
                begun = process.memory_info().rss
        assert heard.said_ms > 25 * 60_000
        await drained(heard)
        assert process.memory_info().rss - begun < 12 * 1024 * 1024
        assert most < 45_000
        assert heard.stream.dropped_ms == 0
        assert getattr(heard.stream, "entries", 0) < 100
        heard.check()


async def test_a_drop_in_mid_send(maker: Maker) -> None:
    async with rigged(maker) as rig:
        rig.fail(Fault("drop", after=1400))
        heard = await opened(rig)
        for number in range(4):
            heard.say(number)
        await drained(heard)
        heard.check()
        assert heard.stream.backlog_ms == 0
        for event in heard.events:
            assert not isinstance(event, Restarted) or event.lost_ms == 0


async def test_two_drops(maker: Maker) -> None:
    async with rigged(maker) as rig:
        rig.fail(Fault("drop", after=200), Fault("drop", after=900))
        heard = await opened(rig)
        heard.say(4)
        heard.say(1)
        await drained(heard)
        heard.check()


async def test_a_wrong_key(maker: Maker) -> None:
    async with rigged(maker) as rig:
        rig.fail(*[Fault("refuse", 401)] * 3)
        assert rig.engine.healthy
        said, error = await trouble(rig)
        assert "401" in said
        assert error is None or not error.passing
        assert not rig.engine.healthy


async def test_a_wrong_key_in_mid_call(maker: Maker) -> None:
    """It is given up at once: nobody waits for what cannot come."""
    async with rigged(maker, give_up_s=3600) as rig:
        assert rig.server is not None
        rig.fail(Fault("drop", after=300))
        rig.server.always = Fault("refuse", 403)
        heard = await opened(rig)
        heard.say(0)
        heard.stream.finish()
        await heard.until(lambda: heard.failed)
        assert "403" in heard.failed[0].reason
        assert isinstance(heard.events[-1], Failed)
        heard.stream.push(bytes(320))
        await drained(heard)
        assert heard.stream.backlog_ms == 0


async def test_too_many_requests(maker: Maker) -> None:
    async with rigged(maker, give_up_s=5) as rig:
        rig.fail(*[Fault("refuse", 429, headers={"Retry-After": "30"})] * 2)
        said, error = await trouble(rig)
        assert "429" in said
        assert error is None or (error.passing and error.retry_after_s == 30)
        assert not rig.engine.healthy


async def test_a_slow_final(maker: Maker) -> None:
    async with rigged(maker) as rig:
        assert rig.server is not None
        rig.fail(Fault("slow"))
        heard = await opened(rig)
        heard.say(0)
        heard.stream.finish()
        async with asyncio.timeout(WITHIN_S):
            await rig.server.reached.wait()
        assert not heard.finals
        rig.server.release.set()
        await drained(heard)
        heard.check()


async def test_told_twice(maker: Maker) -> None:
    async with rigged(maker) as rig:
        rig.fail(*[Fault("twice")] * 3)
        heard = await opened(rig)
        for number in range(3):
            heard.say(number)
        await drained(heard)
        heard.check()


async def test_told_late(maker: Maker) -> None:
    async with rigged(maker) as rig:
        rig.fail(*[Fault("stale")] * 3)
        heard = await opened(rig)
        for number in range(3):
            heard.say(number)
        await drained(heard)
        heard.check()
        assert isinstance(heard.events[-1], Final)


async def test_characters_cut_in_two(maker: Maker) -> None:
    async with rigged(maker) as rig:
        rig.fail(*[Fault("split")] * 6)
        heard = await opened(rig)
        for number in range(18, 24):
            heard.say(number)
        await drained(heard)
        heard.check()


async def test_garbage(maker: Maker) -> None:
    async with rigged(maker) as rig:
        rig.fail(Fault("garbage"))
        heard = await opened(rig)
        heard.say(0)
        heard.say(1)
        await drained(heard)
        heard.check()
        assert rig.engine.counters.garbled > 0


async def test_a_server_that_says_nothing(maker: Maker) -> None:
    """Accepting is not listening: either the opening fails, or the stream gets over it."""
    async with rigged(maker, ready_s=0.1, final_s=0.1, first_byte_s=0.1) as rig:
        rig.fail(Fault("silent"))
        refused: list[EngineError] = []
        try:
            heard = await opened(rig)
        except EngineError as error:
            refused.append(error)
            heard = await opened(rig)
        assert all(error.passing for error in refused)
        heard.say(0)
        await drained(heard)
        heard.check()


async def test_a_stall_in_mid_utterance(maker: Maker) -> None:
    async with rigged(maker, final_s=0.2, first_byte_s=0.2) as rig:
        rig.fail(Fault("silent", after=400))
        heard = await opened(rig)
        heard.say(0)
        heard.say(1)
        await drained(heard)
        heard.check()


async def test_a_server_that_stays_silent(maker: Maker) -> None:
    async with rigged(maker, final_s=0.05, first_byte_s=0.05, give_up_s=0.15) as rig:
        assert rig.server is not None
        rig.server.always = Fault("silent", after=100)
        said, _ = await trouble(rig)
        assert rig.engine.name in said


async def test_a_server_that_stays_away(maker: Maker) -> None:
    async with rigged(maker, give_up_s=0.1) as rig:
        assert rig.server is not None
        rig.fail(Fault("drop", after=300))
        rig.server.always = Fault("refuse", 503)
        heard = await opened(rig)
        heard.say(0)
        heard.stream.finish()
        await heard.until(lambda: heard.failed)
        assert "503" in heard.failed[0].reason
        assert isinstance(heard.events[-1], Failed)
        await drained(heard)


async def test_no_secrets_in_errors(maker: Maker, caplog: pytest.LogCaptureFixture) -> None:
    async with rigged(maker, give_up_s=0.1) as rig:
        assert rig.server is not None
        rig.server.always = Fault("refuse", 400)
        said, error = await trouble(rig)
        everything = f"{said} {error!r} {rig.engine.config!r} {caplog.text} {vars(rig.engine)}"
        assert KEY not in everything
        assert rig.engine.name in said
