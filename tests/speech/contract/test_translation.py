"""What every translator does, whatever is behind it."""

from __future__ import annotations

import asyncio

import pytest
from tests.fakes.remote.server import Fault
from tests.speech.contract.makers import KEY, Maker, Rig

from kallglot.speech.types import EngineError, Hints

KIND = "translation"
WITHIN_S = 10


async def translated(rig: Rig, text: str, **hints: object) -> str:
    async with asyncio.timeout(WITHIN_S):
        return await rig.engine.translate(text, rig.language, rig.target, Hints(**hints))  # type: ignore[arg-type]


def check(rig: Rig, text: str, translation: str) -> None:
    assert isinstance(translation, str)
    assert translation
    if rig.translate is not None:
        assert translation == rig.translate(text, rig.target)


async def refused(rig: Rig, text: str | None = None) -> EngineError:
    with pytest.raises(EngineError) as caught:
        await translated(rig, rig.texts[0] if text is None else text)
    assert str(caught.value)
    return caught.value


async def test_translates(maker: Maker) -> None:
    async with maker.rig() as rig:
        assert any(a == rig.language and b == rig.target for a, b in rig.engine.pairs)
        async with asyncio.timeout(WITHIN_S):
            await rig.engine.warm(rig.language, rig.target)
        for text in rig.texts:
            check(rig, text, await translated(rig, text))


async def test_hints_do_no_harm(maker: Maker) -> None:
    async with maker.rig() as rig:
        text = rig.texts[0]
        hints = {"context": (("Ja.", "Yes."),), "glossary": (("Bestellung", "order"),), "formality": "formal"}
        assert await translated(rig, text, **hints)


async def test_an_empty_text(maker: Maker) -> None:
    async with maker.rig() as rig:
        assert not (await translated(rig, "")).strip()


async def test_a_huge_text(maker: Maker) -> None:
    """It is translated, or refused in words; it neither hangs nor breaks the engine."""
    async with maker.rig() as rig:
        refused: list[EngineError] = []
        try:
            assert await translated(rig, "Guten Tag. " * 20_000)
        except EngineError as error:
            refused.append(error)
        assert all(str(error) for error in refused)
        check(rig, rig.texts[0], await translated(rig, rig.texts[0]))


async def test_two_at_once(maker: Maker) -> None:
    async with maker.rig() as rig:
        found = await asyncio.gather(*(translated(rig, text) for text in rig.texts))
        for text, translation in zip(rig.texts, found, strict=True):
            check(rig, text, translation)


async def test_a_cancel_in_mid_stream(maker: Maker) -> None:
    async with maker.rig() as rig:
        assert rig.server is not None
        rig.fail(Fault("silent"))
        waiting = asyncio.create_task(translated(rig, rig.texts[0]))
        async with asyncio.timeout(WITHIN_S):
            await rig.server.reached.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert rig.engine.healthy
        check(rig, rig.texts[1], await translated(rig, rig.texts[1]))


async def test_a_drop_in_mid_stream(maker: Maker) -> None:
    async with maker.rig() as rig:
        rig.fail(Fault("drop"))
        refused: list[EngineError] = []
        try:
            check(rig, rig.texts[0], await translated(rig, rig.texts[0]))
        except EngineError as error:
            refused.append(error)
        assert all(error.passing for error in refused)
        check(rig, rig.texts[1], await translated(rig, rig.texts[1]))


async def test_a_wrong_key(maker: Maker) -> None:
    async with maker.rig() as rig:
        rig.fail(Fault("refuse", 401))
        error = await refused(rig)
        assert not error.passing
        assert "401" in str(error)
        assert not rig.engine.healthy
        assert not (await refused(rig)).passing


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
        check(rig, rig.texts[0], await translated(rig, rig.texts[0]))
        assert rig.engine.healthy


async def test_a_slow_first_byte(maker: Maker) -> None:
    async with maker.rig(first_byte_s=0.1, tries=1) as rig:
        rig.fail(Fault("slow"))
        assert (await refused(rig)).passing
        check(rig, rig.texts[0], await translated(rig, rig.texts[0]))


async def test_characters_cut_in_two(maker: Maker) -> None:
    async with maker.rig() as rig:
        rig.fail(Fault("split"))
        check(rig, rig.texts[1], await translated(rig, rig.texts[1]))


async def test_garbage(maker: Maker) -> None:
    async with maker.rig() as rig:
        rig.fail(Fault("garbage"))
        await refused(rig)
        check(rig, rig.texts[0], await translated(rig, rig.texts[0]))


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
