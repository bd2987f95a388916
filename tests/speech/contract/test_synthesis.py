"""What every synthesizer does, whatever is behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from tests.fakes.remote.server import Fault
from tests.speech.contract.makers import KEY, Maker, Rig

from kallglot.speech.types import EngineError, Voice

KIND = "synthesis"
WITHIN_S = 10


async def spoken(rig: Rig, text: str, voice: Voice = Voice()) -> bytes:  # noqa: B008
    pieces: list[bytes] = []
    async with asyncio.timeout(WITHIN_S):
        async for pcm in rig.engine.synthesize(text, rig.language, voice):
            assert pcm
            assert len(pcm) % 2 == 0
            pieces.append(pcm)
    return b"".join(pieces)


def check(rig: Rig, text: str, pcm: bytes) -> None:
    assert pcm
    if rig.sound is not None:
        assert pcm == rig.sound(text)


async def refused(rig: Rig) -> EngineError:
    with pytest.raises(EngineError) as caught:
        await spoken(rig, rig.texts[0])
    assert str(caught.value)
    return caught.value


async def test_speaks(maker: Maker) -> None:
    async with maker.rig() as rig:
        assert rig.language in rig.engine.languages
        assert rig.engine.sample_rate_hz in (8000, 11025, 16000, 22050, 24000, 44100, 48000)
        for text in rig.texts:
            check(rig, text, await spoken(rig, text))


async def test_speed(maker: Maker) -> None:
    async with maker.rig() as rig:
        assert await spoken(rig, rig.texts[0], Voice(speed=1.25))


async def test_an_empty_text(maker: Maker) -> None:
    """Silence, or nothing at all."""
    async with maker.rig() as rig:
        assert not any(await spoken(rig, ""))


async def test_a_huge_text(maker: Maker) -> None:
    async with maker.rig() as rig:
        refused: list[EngineError] = []
        try:
            async with asyncio.timeout(WITHIN_S):
                pieces: Any = rig.engine.synthesize("Guten Tag. " * 20_000, rig.language, Voice())
                assert await anext(pieces)
                await pieces.aclose()
        except EngineError as error:
            refused.append(error)
        assert all(str(error) for error in refused)
        check(rig, rig.texts[0], await spoken(rig, rig.texts[0]))


async def test_an_unknown_language(maker: Maker) -> None:
    async with maker.rig() as rig:
        with pytest.raises(EngineError):
            async for _ in rig.engine.synthesize("x1", "tlh", Voice()):
                pass


async def test_two_at_once(maker: Maker) -> None:
    async with maker.rig() as rig:
        found = await asyncio.gather(*(spoken(rig, text) for text in rig.texts))
        for text, pcm in zip(rig.texts, found, strict=True):
            check(rig, text, pcm)


async def test_who_stops_listening(maker: Maker) -> None:
    async with maker.rig() as rig:
        pieces: AsyncGenerator[bytes] = rig.engine.synthesize(rig.texts[0] * 4, rig.language, Voice())
        async with asyncio.timeout(WITHIN_S):
            assert await anext(pieces)
            await pieces.aclose()
        check(rig, rig.texts[1], await spoken(rig, rig.texts[1]))


async def test_a_cancel_in_mid_stream(maker: Maker) -> None:
    async with maker.rig() as rig:
        assert rig.server is not None
        rig.fail(Fault("silent"))
        waiting = asyncio.create_task(spoken(rig, rig.texts[0]))
        async with asyncio.timeout(WITHIN_S):
            await rig.server.reached.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert rig.engine.healthy
        check(rig, rig.texts[1], await spoken(rig, rig.texts[1]))


async def test_a_drop_in_mid_stream(maker: Maker) -> None:
    """What was spoken is not spoken again: the rest is missing, and that is said."""
    async with maker.rig() as rig:
        rig.fail(Fault("drop"))
        error = await refused(rig)
        assert error.passing
        check(rig, rig.texts[0], await spoken(rig, rig.texts[0]))


async def test_a_wrong_key(maker: Maker) -> None:
    async with maker.rig() as rig:
        rig.fail(Fault("refuse", 401))
        error = await refused(rig)
        assert not error.passing
        assert "401" in str(error)
        assert not rig.engine.healthy


async def test_too_many_requests(maker: Maker) -> None:
    async with maker.rig() as rig:
        rig.fail(Fault("refuse", 429, headers={"Retry-After": "30"}))
        error = await refused(rig)
        assert error.passing
        assert error.retry_after_s == 30
        assert not rig.engine.healthy


async def test_a_server_error_that_passes(maker: Maker) -> None:
    async with maker.rig() as rig:
        rig.fail(Fault("refuse", 503))
        check(rig, rig.texts[0], await spoken(rig, rig.texts[0]))
        assert rig.engine.healthy


async def test_a_slow_first_byte(maker: Maker) -> None:
    async with maker.rig(first_byte_s=0.1, tries=1) as rig:
        rig.fail(Fault("slow"))
        assert (await refused(rig)).passing
        check(rig, rig.texts[0], await spoken(rig, rig.texts[0]))


async def test_characters_cut_in_two(maker: Maker) -> None:
    """Samples are, too."""
    async with maker.rig() as rig:
        rig.fail(Fault("split"))
        check(rig, rig.texts[1], await spoken(rig, rig.texts[1]))


async def test_an_empty_answer(maker: Maker) -> None:
    async with maker.rig() as rig:
        rig.fail(Fault("empty"))
        await refused(rig)


async def test_no_secrets_in_errors(maker: Maker, caplog: pytest.LogCaptureFixture) -> None:
    async with maker.rig() as rig:
        assert rig.server is not None
        for status in (400, 401):
            rig.server.always = Fault("refuse", status)
            error = await refused(rig)
            assert KEY not in f"{error} {error!r} {rig.engine.config!r} {caplog.text} {vars(rig.engine)}"
            assert rig.engine.name in str(error)
