from __future__ import annotations

import json
from typing import Any

import pytest
from tests.fakes.remote.openai import OpenAIServer
from tests.fakes.remote.words import say, text

from kallglot.speech.providers.openai import code_of, language_code
from kallglot.speech.providers.openai_files import OpenAIFileRecognizer, OpenAITranscript
from kallglot.speech.remote.config import ProviderConfig
from kallglot.speech.remote.segmented import Said
from kallglot.speech.types import RecognizerOptions


def read(data: bytes, size: int = 5) -> tuple[list[str], Said]:
    transcript = OpenAITranscript()
    grown = [text for at in range(0, len(data), size) for text in transcript.feed(data[at : at + size])]
    return grown, transcript.end()


def events(*told: Any, end: str = "") -> bytes:
    return "".join(f"data: {json.dumps(one, ensure_ascii=False)}\n\n" for one in told).encode() + end.encode()


def test_json() -> None:
    assert read(' {"text": "größer"}'.encode()) == ([], Said("größer"))


def test_verbose_json_tells_how_sure_it_is_and_what_language() -> None:
    segments = [{"avg_logprob": -0.1, "no_speech_prob": 0.01}, {"avg_logprob": -0.3, "no_speech_prob": 0.9}]
    told = {"text": "Guten Tag", "language": "german", "segments": segments}
    assert read(json.dumps(told).encode())[1] == Said("Guten Tag", 0.819, "de")
    silence = {"text": "Thank you.", "language": "english", "segments": [{"avg_logprob": -1.2, "no_speech_prob": 0.8}]}
    assert read(json.dumps(silence).encode())[1] == Said("")


def test_server_events() -> None:
    deltas = [{"type": "transcript.text.delta", "delta": delta} for delta in ("Guten", " Tag")]
    data = events(*deltas, {"type": "usage"}, {"type": "transcript.text.done", "text": "Guten Tag."})
    assert read(data) == (["Guten", "Guten Tag"], Said("Guten Tag."))


def test_the_chunks_of_vllm() -> None:
    chunks = [{"choices": [{"delta": {"content": word}}]} for word in ("Guten", " Tag")]
    assert read(events(*chunks, {"choices": []}, end="data: [DONE]\n\n")) == (["Guten", "Guten Tag"], Said("Guten Tag"))


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b'{"text": 5}', b"[]", b"<html>", b"data: 5\n\n", b"data: {]\n\n",
     b'data: {"type": "transcript.text.delta", "delta": "cut off"}\n\n'],
)  # fmt: skip
def test_what_cannot_be_understood(data: bytes) -> None:
    with pytest.raises((ValueError, LookupError, TypeError)):
        read(data)


def test_names_of_errors_and_languages() -> None:
    assert code_of(b'{"error": {"code": "model_not_found"}}') == "model_not_found"
    assert code_of(b'{"error": {"code": null, "type": "server_error"}}') == "server_error"
    for body in (b"", b"[]", b'{"error": "no"}', b'{"error": {"code": 5}}', b"[" * 100_000):
        assert code_of(body) is None
    assert [language_code(name) for name in ("german", "DE", "klingon", None, 5)] == ["de", "de", None, None, None]


async def test_what_is_asked() -> None:
    async with OpenAIServer() as server:
        assert isinstance(server, OpenAIServer)
        options = {"response_format": "verbose_json"}
        engine = OpenAIFileRecognizer(ProviderConfig("own", f"{server.url}/v1", model="whisper-1", options=options))
        assert engine.missing() is None
        await engine.start()
        opened = RecognizerOptions(16000, "de-AT", terms=("Kallglot", "Müller"))
        assert (await engine.recognise(say([3, 24], 16000), opened)).text == text([3, 24])
        form = {name: value.decode() for name, value in server.forms[0].items() if name != "file"}
        assert form == {
            "model": "whisper-1", "response_format": "verbose_json", "temperature": "0", "language": "de",
            "prompt": "Kallglot, Müller",
        }  # fmt: skip
        assert "Authorization" not in server.asked[0].headers
        await engine.close()


def test_what_is_missing() -> None:
    assert OpenAIFileRecognizer(ProviderConfig("openai")).missing() == "openai needs an API key"
    assert OpenAIFileRecognizer(ProviderConfig("openai", api_key="k")).missing() is None
    assert OpenAIFileRecognizer(ProviderConfig("own", "http://here")).missing() == "own needs the name of a model"
