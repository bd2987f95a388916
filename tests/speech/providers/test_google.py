import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.fakes.remote.google import KEY, PROJECT, FakeGoogle
from tests.fakes.remote.plain import spoken
from tests.fakes.remote.server import Fault

from kallglot.clock import FakeClock
from kallglot.speech.providers import google_wire as wire
from kallglot.speech.providers.google import GoogleSynthesizer, GoogleTranslator
from kallglot.speech.remote.config import ProviderConfig
from kallglot.speech.remote.errors import RemoteError
from kallglot.speech.types import Voice


@pytest.mark.parametrize(
    ("language", "code"),
    [("de-AT", "de"), ("zh", "zh-CN"), ("zh-Hant", "zh-TW"), ("pt-PT", "pt-PT"), ("pt", "pt"), ("pt-BR", "pt")],
)
def test_translation_codes(language: str, code: str) -> None:
    assert wire.translation_code(language) == code


def test_version_2_goes_with_a_key_in_a_header() -> None:
    headers = wire.key_headers("AIzaSecret")
    request = wire.translation_v2(wire.TRANSLATION_URL, headers, "Hi", "en", "de")
    assert request.url == "https://translation.googleapis.com/language/translate/v2"
    assert request.headers == {"X-Goog-Api-Key": "AIzaSecret"}
    assert request.document == {"q": ["Hi"], "source": "en", "target": "de", "format": "text"}
    assert not request.query


def test_version_3_goes_with_a_token_and_a_project() -> None:
    headers = wire.token_headers("ya29.secret", "my-project")
    assert headers == {"Authorization": "Bearer ya29.secret", "X-Goog-User-Project": "my-project"}
    request = wire.translation_v3(
        wire.TRANSLATION_URL, headers, "Hi", "en", "de", project="my-project", model="general/translation-llm"
    )
    assert request.url == "https://translation.googleapis.com/v3/projects/my-project/locations/global:translateText"
    assert request.document == {
        "contents": ["Hi"],
        "mimeType": "text/plain",
        "sourceLanguageCode": "en",
        "targetLanguageCode": "de",
        "model": "projects/my-project/locations/global/models/general/translation-llm",
    }


def test_reads_a_translation() -> None:
    assert wire.translated_v2(b'{"data":{"translations":[{"translatedText":"Hallo"}]}}') == "Hallo"
    assert wire.translated_v3(b'{"translations":[{"translatedText":"Hallo","model":"m"}]}') == "Hallo"


@pytest.mark.parametrize("body", [b"", b"{}", b'{"data":{}}', b'{"data":{"translations":[]},"translations":[]}'])
def test_what_is_no_translation(body: bytes) -> None:
    for read in (wire.translated_v2, wire.translated_v3):
        with pytest.raises((ValueError, msgspec.MsgspecError)):
            read(body)


def test_the_services_word_for_an_error() -> None:
    error = {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT"}
    assert wire.trouble(json.dumps({"error": error}).encode()) == "INVALID_ARGUMENT"
    detailed = {**error, "details": [{"@type": "x"}, {"reason": "API_KEY_INVALID", "domain": "googleapis.com"}]}
    assert wire.trouble(json.dumps({"error": detailed}).encode()) == "API_KEY_INVALID"
    assert wire.trouble(b"<html>") is None


@pytest.mark.parametrize(
    ("language", "voice", "locale"),
    [
        ("de", None, "de-DE"),
        ("de-AT", None, "de-AT"),
        ("no", None, "nb-NO"),
        ("zh-TW", None, "cmn-TW"),
        ("zh-Hans", None, "cmn-CN"),
        ("es-419", None, "es-419"),
        ("en", "en-GB-Neural2-A", "en-GB"),
        ("en", "en-US-Chirp3-HD-Achernar", "en-US"),
        ("de", "Kore", "de-DE"),
    ],
)
def test_locales(language: str, voice: str | None, locale: str) -> None:
    assert wire.locale(language, voice) == locale


def test_asks_for_linear16() -> None:
    headers = wire.key_headers("AIzaSecret")
    request = wire.speech(
        wire.SPEECH_URL,
        headers,
        "Hallo",
        language="de",
        voice="de-DE-Neural2-B",
        sample_rate_hz=24_000,
        speed=1.5,
        most_bytes=1,
    )
    assert request.url == "https://texttospeech.googleapis.com/v1/text:synthesize"
    assert request.document == {
        "input": {"text": "Hallo"},
        "voice": {"languageCode": "de-DE", "name": "de-DE-Neural2-B"},
        "audioConfig": {"audioEncoding": "LINEAR16", "sampleRateHertz": 24_000, "speakingRate": 1.5},
    }
    assert "AIzaSecret" not in repr(request)


def made(url: str, key: str | None = KEY, **options: Any) -> ProviderConfig:
    return ProviderConfig("google", url, key, options=options)


@contextlib.asynccontextmanager
async def started(engine: Any) -> AsyncIterator[Any]:
    assert engine.missing() is None
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


async def test_a_wrong_key_is_the_keys_fault_though_the_status_does_not_say_so() -> None:
    async with FakeGoogle("another") as server, started(GoogleTranslator(made(server.url))) as engine:
        for _ in range(2):
            with pytest.raises(RemoteError, match="key is refused") as caught:
                await engine.translate("Hi", "en", "de")
            assert not caught.value.passing
        assert len(server.asked) == 1
        assert not engine.healthy


async def test_another_bad_request_is_not_the_keys_fault() -> None:
    async with FakeGoogle() as server, started(GoogleTranslator(made(server.url))) as engine:
        server.fail_next(Fault("refuse", 400))
        with pytest.raises(RemoteError, match=r"400 \(INTERNAL\)") as caught:
            await engine.translate("Hi", "en", "de")
        assert caught.value.blame == "request"
        assert engine.healthy


async def test_a_token_of_the_operators() -> None:
    async with FakeGoogle() as server:
        async with started(GoogleTranslator(made(server.url, "ya29.first", auth="token"))) as engine:
            assert await engine.translate("Hi there", "en", "de") == "«de» there Hi – 好"
        async with started(GoogleTranslator(made(server.url, "ya29.first", auth="token", project=PROJECT))) as engine:
            assert await engine.translate("Hi there", "en", "de") == "«de» there Hi – 好"
    assert [asked.path for asked in server.asked] == [
        "/language/translate/v2",
        f"/v3/projects/{PROJECT}/locations/global:translateText",
    ]
    assert server.asked[1].headers["X-Goog-User-Project"] == PROJECT


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


async def test_a_service_account_gets_a_token_and_keeps_it(tmp_path: Path, rsa_key: rsa.RSAPrivateKey) -> None:
    clock = FakeClock()
    async with FakeGoogle() as server:
        file = tmp_path / "key.json"
        file.write_text(server.key_file(rsa_key))
        config = made(server.url, None, credentials=str(file))
        async with started(GoogleTranslator(config, clock=clock)) as engine:
            await asyncio.gather(*(engine.translate("Hi there", "en", "de") for _ in range(3)))
            assert server.tokens == 1
            [claims] = server.claims
            assert claims["aud"] == f"{server.url}/token"
            assert claims["iss"] == "kallglot@my-project.iam.gserviceaccount.com"
            assert (claims["iat"], claims["exp"]) == (int(clock.now().timestamp()), int(clock.now().timestamp()) + 3600)
            clock.advance(3000)
            await engine.translate("Hi there", "en", "de")
            assert server.tokens == 1
            clock.advance(500)
            assert await engine.translate("Hi there", "en", "de") == "«de» there Hi – 好"
            assert server.tokens == 2
            assert server.asked[-1].path == f"/v3/projects/{PROJECT}/locations/global:translateText"


async def test_a_token_ends_when_it_ends_whatever_becomes_of_the_clock(
    tmp_path: Path, rsa_key: rsa.RSAPrivateKey
) -> None:
    class Putback(FakeClock):
        def put_back(self, seconds: float) -> None:
            self._now -= timedelta(seconds=seconds)

    clock = Putback()
    async with FakeGoogle() as server:
        file = tmp_path / "key.json"
        file.write_text(server.key_file(rsa_key))
        async with started(GoogleTranslator(made(server.url, None, credentials=str(file)), clock=clock)) as engine:
            await engine.translate("Hi there", "en", "de")
            clock.put_back(7200)
            clock.advance(3590)
            await engine.translate("Hi there", "en", "de")
            assert server.tokens == 2
            assert server.claims[1]["iat"] == int(clock.now().timestamp())


async def test_a_service_account_speaks(tmp_path: Path, rsa_key: rsa.RSAPrivateKey) -> None:
    async with FakeGoogle() as server:
        file = tmp_path / "key.json"
        file.write_text(server.key_file(rsa_key))
        async with started(GoogleSynthesizer(made(server.url, None, credentials=str(file)))) as engine:
            pcm = b"".join([pcm async for pcm in engine.synthesize("Guten Tag.", "de", Voice())])
            assert pcm == spoken("Guten Tag.", 24_000)


@pytest.mark.parametrize("content", [None, "", "{}", '{"client_email":"a@b","private_key":"-----BEGIN"}'])
async def test_a_key_file_that_is_none(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "key.json"
    if content is not None:
        file.write_text(content)
    async with started(GoogleTranslator(made("http://127.0.0.1:1", None, credentials=str(file)))) as engine:
        with pytest.raises(RemoteError, match="service account") as caught:
            await engine.translate("Hi", "en", "de")
        assert not caught.value.passing


def test_what_is_missing() -> None:
    assert "credentials" in (GoogleTranslator(made("http://x", None)).missing() or "")
    assert "credentials" in (GoogleSynthesizer(made("http://x", None, credentials=1)).missing() or "")
    assert "voices" in (GoogleSynthesizer(made("http://x", voices=[])).missing() or "")


async def test_long_texts_are_spoken_in_pieces_that_are_soon_heard() -> None:
    text = "Das ist ein Satz mit Umlauten, äöü. " * 40
    async with FakeGoogle() as server, started(GoogleSynthesizer(made(server.url, sample_rate_hz=8000))) as engine:
        pcm = b"".join([pcm async for pcm in engine.synthesize(text, "de", Voice())])
        texts = [json.loads(asked.body)["input"]["text"] for asked in server.asked]
    assert " ".join(texts) == text.strip()
    assert max(map(len, texts)) <= 400
    assert pcm == b"".join(spoken(piece, 8000) for piece in texts)


async def test_sound_of_another_shape_is_refused() -> None:
    async with FakeGoogle() as server, started(GoogleSynthesizer(made(server.url))) as engine:
        server.wrong_rate_hz = 16_000
        with pytest.raises(RemoteError, match="cannot be understood"):
            await anext(aiter(engine.synthesize("Hallo", "de", Voice())))
