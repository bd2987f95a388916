from __future__ import annotations

import asyncio

import pytest
from tests.speech.failover.engines import Clock, Tongue

from kallglot.speech.failover.rests import Rests
from kallglot.speech.failover.translator import FailoverTranslator
from kallglot.speech.types import EngineError, Hints


def made(*engines: Tongue, total_s: float = 30.0) -> tuple[FailoverTranslator, Rests, Clock]:
    clock = Clock()
    rests = Rests(clock)
    return FailoverTranslator(engines, rests, total_s=total_s), rests, clock


async def test_who_fails_is_not_waited_for_and_left_alone_for_a_while() -> None:
    first, second = Tongue("a"), Tongue("b")
    translator, _, clock = made(first, second)
    first.errors = [EngineError("429", retry_after_s=3)]
    assert translator.name == "a"
    assert await translator.translate("x", "de", "en") == "b: x"
    assert await translator.translate("y", "de", "en") == "b: y"
    await translator.warm("de", "en")
    assert (first.asked, first.warmed, second.warmed) == (1, 0, 1)
    clock.now += 3
    assert await translator.translate("z", "de", "en") == "a: z"


async def test_who_takes_too_long_is_not_waited_for() -> None:
    first, second = Tongue("a"), Tongue("b")
    first.gate = asyncio.Event()
    translator, rests, _ = made(first, second, total_s=0.1)
    assert await translator.translate("x", "de", "en") == "b: x"
    assert not rests.ready(("translation", "a"), first)


async def test_the_last_error_is_the_callers() -> None:
    first, second = Tongue("a"), Tongue("b")
    first.errors, second.errors = [EngineError("no")], [RuntimeError("secret")]
    translator, _, _ = made(first, second)
    with pytest.raises(EngineError) as error:
        await translator.translate("x", "de", "en")
    assert str(error.value) == "b: RuntimeError"
    second.gate = first.gate = asyncio.Event()
    slow, _, _ = made(first, second, total_s=0.05)
    with pytest.raises(TimeoutError):
        await slow.translate("x", "de", "en")


async def test_where_all_rest_they_are_asked_all_the_same() -> None:
    first, second = Tongue("a"), Tongue("b")
    translator, _, _ = made(first, second)
    first.errors, second.errors = [EngineError("no")], [EngineError("no")]
    with pytest.raises(EngineError):
        await translator.translate("x", "de", "en")
    assert await translator.translate("x", "de", "en") == "a: x"


async def test_who_stops_waiting_says_nothing_of_the_engine() -> None:
    first = Tongue("a")
    first.gate = asyncio.Event()
    translator, rests, _ = made(first, Tongue("b"))
    asking = asyncio.create_task(translator.translate("x", "de", "en"))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert rests.ready(("translation", "a"), first)


async def test_who_translates_to_nothing_has_failed() -> None:
    class Dumb(Tongue):
        async def translate(self, text: str, source: str, target: str, hints: Hints = Hints()) -> str:
            return " "

    one, rests, _ = made(Dumb("a"), Tongue("b"))
    assert await one.translate("hello", "en", "de") == "b: hello"
    assert rests.given_up == rests.replaced == {("translation", "a"): 1}
    assert await one.translate("…", "en", "de") == "b: …"
