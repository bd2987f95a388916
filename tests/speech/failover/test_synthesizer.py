from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from tests.speech.failover.engines import Clock, Mouth

from kallglot.speech.failover import synthesizer as module
from kallglot.speech.failover.rests import Rests
from kallglot.speech.failover.synthesizer import FailoverSynthesizer, sentences
from kallglot.speech.types import EngineError, Voice

TEXT = "This is the first sentence. And that is the second one."
PLAIN = Voice()


def made(*engines: Mouth) -> FailoverSynthesizer:
    return FailoverSynthesizer(engines, Rests(Clock()))


async def spoken(one: FailoverSynthesizer, text: str = TEXT, voice: Voice = PLAIN) -> list[tuple[int, int]]:
    """What was heard: level and milliseconds, as they changed."""
    pcm = b"".join([piece async for piece in one.synthesize(text, "en", voice)])
    levels = np.round(np.frombuffer(pcm, "<i2"), -2)
    runs: list[list[int]] = []
    for level in levels.tolist():
        if runs and runs[-1][0] == level:
            runs[-1][1] += 1
        else:
            runs.append([level, 1])
    return [(level, round(count * 1000 / one.sample_rate_hz)) for level, count in runs]


async def test_one_that_works_speaks_everything() -> None:
    first, second = Mouth("a"), Mouth("b")
    assert await spoken(made(first, second)) == [(1000, 1100)]
    assert [text for text, _ in first.asked] == ["This is the first sentence.", "And that is the second one."]
    assert second.asked == []


async def test_before_the_first_audio_the_next_one_speaks() -> None:
    first, second = Mouth("a"), Mouth("b", level=2000)
    first.breaks_at = 0
    one = made(first, second)
    assert await spoken(one) == [(2000, 1100)]
    assert len(first.asked) == 1
    # It rests: the next text does not try it.
    assert await spoken(one, "Hello again.") == [(2000, 200)]
    assert len(first.asked) == 1


async def test_a_sentence_that_breaks_off_is_spoken_again_from_its_start() -> None:
    first, second = Mouth("a"), Mouth("b", level=2000)
    one = made(first, second)
    first.breaks_at = 5
    assert await spoken(one) == [(1000, 1000), (2000, 600)]
    assert [text for text, _ in second.asked] == ["And that is the second one."]
    assert first.closed == 2


class Mute(Mouth):
    async def synthesize(self, text: str, language: str, voice: Voice) -> AsyncIterator[bytes]:
        self.asked.append((text, voice))
        yield b""


async def test_one_that_speaks_nothing_has_failed() -> None:
    rests = Rests(Clock())
    one = FailoverSynthesizer([Mute("a"), Mouth("b", level=2000)], rests)
    assert await spoken(one, "Hello again.") == [(2000, 200)]
    assert rests.given_up == rests.replaced == {("synthesis", "a"): 1}
    # Where there is nothing to say, nothing is right.
    assert await spoken(FailoverSynthesizer([Mute("a"), Mouth("b")], Rests(Clock())), "…") == []


async def test_another_rate_is_brought_to_the_first() -> None:
    first, second = Mouth("a", 8000), Mouth("b", 24_000, level=2000)
    first.breaks_at = 0
    heard = await spoken(made(first, second), "Hello you all.")
    assert max(heard, key=lambda run: run[1])[0] == 2000
    assert sum(ms for _, ms in heard) == pytest.approx(300, abs=5)


async def test_a_rate_that_cannot_be_converted_is_a_failure_like_others() -> None:
    first, second, third = Mouth("a", 8000), Mouth("b", 44_100), Mouth("c", 8000, level=3000)
    first.breaks_at = 0
    assert await spoken(made(first, second, third), "Hello you all.") == [(3000, 300)]


async def test_a_voice_by_name_is_the_first_ones() -> None:
    first, second = Mouth("a"), Mouth("b")
    first.breaks_at = 0
    await spoken(made(first, second), "Hello you all.", Voice("Anna", 1.2))
    assert (first.asked[0][1], second.asked[0][1]) == (Voice("Anna", 1.2), Voice(None, 1.2))


@pytest.mark.parametrize("error", [EngineError("no"), RuntimeError("broken")])
async def test_where_none_can_the_caller_is_told(error: Exception) -> None:
    first, second = Mouth("a"), Mouth("b")
    first.breaks_at = second.breaks_at = 0
    second.error = error
    with pytest.raises(EngineError):
        await spoken(made(first, second))


async def test_one_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_AUDIO_S", 0.05)

    class Hanging(Mouth):
        async def synthesize(self, text: str, language: str, voice: Voice) -> Any:
            import asyncio

            await asyncio.Event().wait()
            yield b""

    assert await spoken(made(Hanging("a"), Mouth("b", level=2000)), "Hello you all.") == [(2000, 300)]


async def test_who_stops_listening_closes_the_engine() -> None:
    first = Mouth("a")
    speaking = made(first, Mouth("b")).synthesize(TEXT, "en", Voice())
    assert await anext(speaking)
    await speaking.aclose()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    assert first.closed == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (TEXT, ["This is the first sentence.", "And that is the second one."]),
        ("Yes. That is what I have said.", ["Yes. That is what I have said."]),
        ("That costs 3.5 euros today.", ["That costs 3.5 euros today."]),
        (
            "我今天不能来，因为我病了一个星期。谢谢您，我们明天再见面谈谈吧。",
            ["我今天不能来，因为我病了一个星期。", "谢谢您，我们明天再见面谈谈吧。"],
        ),
        ("no end", ["no end"]),
        ("", [""]),
    ],
)
def test_sentences(text: str, found: list[str]) -> None:
    assert sentences(text) == found
