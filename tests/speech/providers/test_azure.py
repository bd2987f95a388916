import xml.etree.ElementTree as ElementTree
from typing import Any

import msgspec
import pytest
from tests.fakes.remote.azure import KEY, REGION, FakeAzure
from tests.fakes.remote.plain import spoken

from kallglot.speech.providers import azure_wire as wire
from kallglot.speech.providers.azure import AzureSynthesizer, AzureTranslator
from kallglot.speech.remote.config import ProviderConfig
from kallglot.speech.remote.errors import RemoteError
from kallglot.speech.types import EngineError, Hints, Voice

SPEAK = "{http://www.w3.org/2001/10/synthesis}"


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("de-AT", "de"),
        ("en-GB", "en"),
        ("pt", "pt"),
        ("pt-BR", "pt"),
        ("pt-PT", "pt-pt"),
        ("fr-CA", "fr-ca"),
        ("zh", "zh-Hans"),
        ("zh-TW", "zh-Hant"),
        ("sr", "sr-Cyrl"),
        ("no", "nb"),
    ],
)
def test_translation_codes(language: str, code: str) -> None:
    assert wire.translation_code(language) == code


def test_asks_the_translator() -> None:
    headers = wire.translator_headers("secret", "westeurope")
    assert headers == {"Ocp-Apim-Subscription-Key": "secret", "Ocp-Apim-Subscription-Region": "westeurope"}
    assert wire.translator_headers("secret", None) == {"Ocp-Apim-Subscription-Key": "secret"}
    request = wire.translation(wire.TRANSLATOR_URL, "Hi", "en", "de", headers=headers, category="my-model")
    assert request.url == "https://api.cognitive.microsofttranslator.com/translate"
    assert request.query == {"api-version": "3.0", "from": "en", "to": "de", "category": "my-model"}
    assert request.document == [{"Text": "Hi"}]
    assert "secret" not in repr(request)


def test_reads_a_translation() -> None:
    body = '[{"translations":[{"text":"你好, 你叫什么名字？","to":"zh-Hans"}]}]'
    assert wire.translated(body.encode()) == "你好, 你叫什么名字？"


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'[{"translations":[]}]', b'[{"translations":[{"to":"de"}]}]'])
def test_what_is_no_translation(body: bytes) -> None:
    with pytest.raises((ValueError, msgspec.MsgspecError)):
        wire.translated(body)


def test_the_translators_number_for_an_error() -> None:
    assert wire.trouble(b'{"error":{"code":403001,"message":"..."}}') == "403001"
    assert wire.trouble(b"") is None


def test_glossary_terms_become_a_dynamic_dictionary() -> None:
    glossary = (("Home Box", "Heimbox"), ("Home Box Plus", "Heimbox Plus"), ("a&b", "x"), ("SIM", 'the "card"'))
    assert wire.marked_up("Home Box Plus, homebox and Home Box.", glossary, "en", "de") == (
        '<mstrans:dictionary translation="Heimbox Plus">Home Box Plus</mstrans:dictionary>, homebox and '
        '<mstrans:dictionary translation="Heimbox">Home Box</mstrans:dictionary>.'
    )
    assert wire.marked_up("a&b SIM", glossary, "en", "de") == "a&b SIM"


def test_no_dictionary_without_english_or_within_markup() -> None:
    assert wire.marked_up("Home Box", (("Home Box", "Heimbox"),), "fr", "de") == "Home Box"
    assert wire.marked_up("1 < 2 Home Box", (("Home Box", "Heimbox"),), "en", "de") == "1 < 2 Home Box"
    assert wire.marked_up("Home Box", ((" ", "x"), ("Home Box", "")), "en", "de") == "Home Box"


def test_ssml_says_what_was_written() -> None:
    text = 'Müller & Söhne <b>"1 < 2"</b> it\'s\x00\x0b\ud800 fine'
    speak = ElementTree.fromstring(wire.ssml(text, "de-DE", "de-DE-KatjaNeural"))
    voice = speak.find(f"{SPEAK}voice")
    assert voice is not None
    assert voice.get("name") == "de-DE-KatjaNeural"
    assert voice.text == 'Müller & Söhne <b>"1 < 2"</b> it\'s    fine'
    assert speak.get("{http://www.w3.org/XML/1998/namespace}lang") == "de-DE"


@pytest.mark.parametrize(("speed", "rate"), [(1.25, "+25%"), (0.5, "-50%"), (9.0, "+100%")])
def test_speed_is_a_rate(speed: float, rate: str) -> None:
    prosody = ElementTree.fromstring(wire.ssml("x", "en-US", "v", speed)).find(f"{SPEAK}voice/{SPEAK}prosody")
    assert prosody is not None
    assert prosody.get("rate") == rate
    assert prosody.text == "x"


def test_a_voice_cannot_break_out_of_its_attribute() -> None:
    speak = ElementTree.fromstring(wire.ssml("x", "en", '"><break time="9s"/>'))
    assert [element.tag for element in speak.iter()] == [f"{SPEAK}speak", f"{SPEAK}voice"]


def test_asks_for_raw_pcm() -> None:
    request = wire.speech(wire.speech_url("westeurope"), "secret", "<speak/>", 8_000, 1 << 20)
    assert request.url == "https://westeurope.tts.speech.microsoft.com/cognitiveservices/v1"
    assert request.headers["X-Microsoft-OutputFormat"] == "raw-8khz-16bit-mono-pcm"
    assert request.headers["Content-Type"] == "application/ssml+xml"
    assert (request.body, request.most_bytes) == (b"<speak/>", 1 << 20)
    assert "secret" not in repr(request)


def test_locales_of_voices() -> None:
    assert wire.voice_locale("de-DE-KatjaNeural", "de") == "de-DE"
    assert wire.voice_locale("en-US-JennyMultilingualNeural", "de") == "en-US"
    assert wire.voice_locale("MyCustomVoice", "de") == "de"
    assert all(wire.voice_locale(voice, "?") != "?" for voice in wire.VOICES.values())


def configured(url: str | None = None, **options: Any) -> ProviderConfig:
    return ProviderConfig("azure", url, KEY, options=options)


def test_speech_needs_a_region_or_an_address() -> None:
    assert "region" in (AzureSynthesizer(configured()).missing() or "")
    assert AzureSynthesizer(configured(region="westeurope")).missing() is None
    assert AzureSynthesizer(configured("https://my.cognitiveservices.azure.com/tts")).missing() is None
    request = AzureSynthesizer(configured(region="westeurope")).request("x", "de", Voice())
    assert request.url.startswith("https://westeurope.tts.speech.microsoft.com/")


@pytest.mark.parametrize(
    ("name", "language", "chosen"),
    [
        (None, "de-CH", "de-CH-LeniNeural"),
        (None, "de-LU", "de-DE-KatjaNeural"),
        ("de-DE-ConradNeural", "de", "de-DE-ConradNeural"),
        ("anna", "de", "de-DE-KatjaNeural"),
        (None, "lb", "lb-LU-MyNeural"),
    ],
)
def test_voices(name: str | None, language: str, chosen: str) -> None:
    engine = AzureSynthesizer(configured(region="x", voices={"lb": "lb-LU-MyNeural"}))
    assert engine.voice(Voice(name), language) == chosen
    assert {"lb", "de", "de-at"} <= set(engine.languages)


async def test_a_language_without_a_voice_is_refused() -> None:
    engine = AzureSynthesizer(ProviderConfig("azure", "http://127.0.0.1:1", KEY, languages=("lb",)))
    await engine.start()
    with pytest.raises(EngineError, match="voices"):
        await anext(aiter(engine.synthesize("Moien", "lb", Voice())))
    await engine.close()


async def test_glossary_terms_are_said_as_agreed() -> None:
    async with FakeAzure() as server:
        engine = AzureTranslator(configured(server.url, region=REGION))
        await engine.start()
        hints = Hints(glossary=(("Home Box", "Heimbox"),), context=(("x", "y"),), formality="formal")
        assert await engine.translate("My Home Box is red", "en", "de", hints) == "«de» red is Box Home My – 好"
        assert await engine.translate("HomeBox, Home Box", "en", "fr", Hints()) == "«fr» Box Home HomeBox, – 好"
        assert b"mstrans" in server.asked[0].body
        assert b"mstrans" not in server.asked[1].body
        await engine.close()


async def test_a_key_of_another_region_is_refused_by_its_number() -> None:
    async with FakeAzure() as server:
        engine = AzureTranslator(configured(server.url, region="eastus"))
        await engine.start()
        with pytest.raises(RemoteError, match=r"401 \(401000\)"):
            await engine.translate("Hi", "en", "de")
        assert not engine.healthy
        await engine.close()


async def test_speaks_what_was_written() -> None:
    async with FakeAzure() as server:
        engine = AzureSynthesizer(configured(server.url, sample_rate_hz=8000))
        await engine.start()
        text = "Müller & Söhne: 1 < 2."
        assert b"".join([pcm async for pcm in engine.synthesize(text, "de-AT", Voice())]) == spoken(text, 8000)
        assert server.spoken == [("de-AT-IngridNeural", text)]
        await engine.close()
