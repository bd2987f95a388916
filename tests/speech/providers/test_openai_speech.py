from __future__ import annotations

import json
from typing import Any

import pytest
from tests.fakes.remote.openai import RATE, OpenAIServer
from tests.fakes.remote.plain import spoken

from kallglot.speech.providers.openai_speech import OpenAISynthesizer
from kallglot.speech.remote.config import ProviderConfig
from kallglot.speech.types import EngineError, Voice


async def said(engine: OpenAISynthesizer, text: str, language: str = "de", voice: Voice = Voice()) -> bytes:  # noqa: B008
    return b"".join([pcm async for pcm in engine.synthesize(text, language, voice)])


@pytest.fixture
async def server() -> Any:
    async with OpenAIServer() as server:
        yield server


async def test_what_is_asked(server: OpenAIServer) -> None:
    options = {"voices": {"de": "Anna", "en-GB": "Jane"}, "voice": "Joe", "instructions": "Calmly."}
    engine = OpenAISynthesizer(ProviderConfig("tts", f"{server.url}/v1", model="m", options=options))
    await engine.start()
    assert await said(engine, "Hallo", "de-AT") == spoken("Hallo", RATE)
    await said(engine, "Hello", "en")
    await said(engine, "Hello", "en", Voice("Max", 1.5))
    asked = [json.loads(one.body) for one in server.asked]
    assert [one["voice"] for one in asked] == ["Anna", "Joe", "Max"]
    assert asked[0] == {
        "model": "m", "input": "Hallo", "voice": "Anna", "response_format": "pcm", "instructions": "Calmly."
    }  # fmt: skip
    assert asked[2]["speed"] == 1.5
    await engine.close()


async def test_a_wav_head_is_taken_off(server: OpenAIServer) -> None:
    server.wav_head = True
    engine = OpenAISynthesizer(ProviderConfig("tts", f"{server.url}/v1", model="m"))
    await engine.start()
    assert await said(engine, "Hallo") == spoken("Hallo", RATE)
    await engine.close()


async def test_a_head_of_another_rate_is_refused(server: OpenAIServer) -> None:
    server.wav_head = True
    engine = OpenAISynthesizer(ProviderConfig("tts", f"{server.url}/v1", model="m", options={"sample_rate": 16000}))
    await engine.start()
    assert engine.sample_rate_hz == 16000
    with pytest.raises(EngineError, match="tts: the sound cannot be understood"):
        await said(engine, "Hallo")
    await engine.close()
