import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.fakes.remote.elevenlabs import KEY, FakeElevenLabs
from tests.fakes.remote.plain import spoken

from kallglot.speech.providers.elevenlabs import VOICE, ElevenLabsSynthesizer, language_code, trouble
from kallglot.speech.remote.config import ProviderConfig
from kallglot.speech.remote.errors import RemoteError
from kallglot.speech.types import EngineError, Voice

ANNA = "a" * 20


def made(url: str | None = None, **named: Any) -> ElevenLabsSynthesizer:
    return ElevenLabsSynthesizer(ProviderConfig("elevenlabs", url, KEY, **named))


@contextlib.asynccontextmanager
async def started(**named: Any) -> AsyncIterator[tuple[ElevenLabsSynthesizer, FakeElevenLabs]]:
    async with FakeElevenLabs() as server:
        engine = made(server.url, **named)
        await engine.start()
        try:
            yield engine, server
        finally:
            await engine.close()


async def speak(engine: ElevenLabsSynthesizer, text: str, language: str = "de", voice: Voice | None = None) -> bytes:
    return b"".join([pcm async for pcm in engine.synthesize(text, language, voice or Voice())])


def test_asks_for_raw_pcm_and_keeps_the_key_out_of_the_address() -> None:
    request = made(options={"sample_rate_hz": 16_000}).request("Guten Tag.", "de-AT", Voice())
    assert request.url == f"https://api.elevenlabs.io/v1/text-to-speech/{VOICE}/stream"
    assert request.query == {"output_format": "pcm_16000"}
    assert request.headers == {"xi-api-key": KEY}
    assert request.document == {"text": "Guten Tag.", "model_id": "eleven_flash_v2_5", "language_code": "de"}
    assert KEY not in repr(request)


@pytest.mark.parametrize(("speed", "said"), [(1.0, None), (2.0, 1.2), (0.5, 0.7), (1.1, 1.1)])
def test_speed_stays_within_the_vendors_range_and_settings_are_kept(speed: float, said: float | None) -> None:
    engine = made(model="eleven_multilingual_v2", options={"settings": {"stability": 0.5}})
    document = engine.request("x", "en", Voice(speed=speed)).document
    assert "language_code" not in document
    assert document["voice_settings"] == ({"stability": 0.5} if said is None else {"stability": 0.5, "speed": said})


@pytest.mark.parametrize(
    ("name", "language", "chosen"),
    [
        (None, "de-AT", "anna"),
        (None, "en-GB", "george"),
        (None, "en-US", VOICE),
        (ANNA, "de", ANNA),
        ("george", "de", "george"),
        ("de+f3", "de", "anna"),
        ("../a?b#c", "fr", VOICE),
    ],
)
def test_voices(name: str | None, language: str, chosen: str) -> None:
    engine = made(options={"voices": {"de": "anna", "en-GB": "george"}})
    assert engine.request("x", language, Voice(name)).url.split("/")[-2] == chosen


def test_an_operators_voice_cannot_leave_its_place_in_the_address() -> None:
    request = made(options={"voices": {"de": "../a?b#c"}}).request("x", "de", Voice())
    assert request.url == "https://api.elevenlabs.io/v1/text-to-speech/..%2Fa%3Fb%23c/stream"


def test_languages_by_model() -> None:
    assert {"hu", "vi", "nb", "no", "de", "fil", "tl"} <= set(made().languages)
    assert made(model="eleven_flash_v2").languages == ("en",)
    assert "hu" not in made(model="eleven_multilingual_v2").languages
    assert made(languages=("de", "lb")).languages == ("de", "lb")
    assert "lb" in made(options={"voices": {"lb": "x", "de-CH": "y"}}).languages
    assert "de-CH" not in made(options={"voices": {"de-CH": "y"}}).languages
    assert [language_code(tag) for tag in ("nb-NO", "tl", "zh-CN", "pt-BR")] == ["no", "fil", "zh", "pt"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sample_rate_hz": 11_025}, "sample_rate_hz"),
        ({"sample_rate_hz": "fast"}, "sample_rate_hz"),
        ({"voices": "anna"}, "voices"),
        ({"voices": {"de": 1}}, "voices"),
    ],
)
def test_what_is_configured_wrongly_is_said(options: dict[str, Any], said: str) -> None:
    assert said in (made(options=options).missing() or "")
    assert made().missing() is None
    assert ElevenLabsSynthesizer(ProviderConfig("e")).missing() == "e needs an API key"


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b'{"detail":{"status":"quota_exceeded","message":"This request exceeds your quota of 10"}}', "quota_exceeded"),
        (b'{"detail":{"type":"auth","code":"invalid_api_key","message":"sk_secret"}}', "invalid_api_key"),
        (b'{"detail":[{"loc":["body"],"msg":"field required"}]}', None),
        (b"<html>", None),
        (b"", None),
    ],
)
def test_the_vendors_word_for_an_error(body: bytes, word: str | None) -> None:
    assert trouble(body) == word


async def test_a_long_text_is_spoken_in_pieces() -> None:
    text = "Das ist ein Satz. " * 300
    async with started(options={"sample_rate_hz": 8000}) as (engine, server):
        pcm = await speak(engine, text)
        texts = [document["text"] for document in server.documents]
    assert len(texts) == 3
    assert " ".join(texts) == text.strip()
    assert all(len(piece) <= 2500 and piece.endswith(".") for piece in texts)
    assert pcm == b"".join(spoken(piece, 8000) for piece in texts)


async def test_a_text_that_is_far_too_long_is_refused_before_anything_is_asked() -> None:
    async with started() as (engine, server):
        with pytest.raises(EngineError, match="too long"):
            await speak(engine, "Wort " * 5000)
        assert server.asked == []


async def test_characters_are_counted_and_have_a_budget() -> None:
    async with started() as (engine, _):
        await speak(engine, "Guten Tag.")
        assert engine.spending.characters_today == 10


async def test_who_stops_listening_closes_the_request() -> None:
    async with started(options={"sample_rate_hz": 8000}) as (engine, server):
        server.endless = True
        speaking = engine.synthesize("Guten Tag.", "de", Voice())
        assert await anext(speaking)
        await speaking.aclose()  # type: ignore[attr-defined]
        async with asyncio.timeout(30):
            await server.hung_up.wait()
        assert engine.spending.running == 0


async def test_a_wrong_key_is_named_and_not_tried_again() -> None:
    async with FakeElevenLabs("another") as server:
        engine = made(server.url)
        await engine.start()
        with pytest.raises(RemoteError, match=r"401 \(invalid_api_key\)") as caught:
            await speak(engine, "Guten Tag.")
        assert caught.value.blame == "key"
        assert len(server.asked) == 1
        await engine.close()
