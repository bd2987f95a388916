import socket

import pytest

from kallglot.speech.engines.langdetect import TextLanguageDetector

pytestmark = pytest.mark.speech


@pytest.fixture
async def detector(monkeypatch: pytest.MonkeyPatch) -> TextLanguageDetector:
    def refuse(*_: object) -> None:
        raise AssertionError("the detector reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    detector = TextLanguageDetector()
    assert detector.missing() is None
    await detector.start()
    return detector


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Ich möchte meine Bestellung ändern", "de"),
        ("WO IST MEIN PAKET GEBLIEBEN", "de"),
        ("I want to change my order", "en"),
        ("Quiero cambiar mi pedido", "es"),
        ("Je voudrais changer ma commande", "fr"),
        ("Vorrei cambiare il mio ordine", "it"),
        ("Gostaria de alterar o meu pedido", "pt"),
        ("Я хочу изменить свой заказ", "ru"),
        ("Hello\nmy number is 4729\r\nthank you", "en"),
    ],
)
async def test_phrases(detector: TextLanguageDetector, text: str, language: str) -> None:
    found = detector.detect(text)
    assert found is not None
    assert found.language == language
    assert 0.5 <= found.confidence <= 1


@pytest.mark.parametrize("text", ["", " ", "ok", "Hallo", "Ja, genau", "4729 4730 4731", "?!…", "\0\n", "😀" * 30])
async def test_too_little_to_tell(detector: TextLanguageDetector, text: str) -> None:
    assert detector.detect(text) is None


async def test_among(detector: TextLanguageDetector) -> None:
    found = detector.detect("Guten Morgen", ["en-US", "de-AT"])
    assert found is not None
    assert found.language == "de-AT"
    assert found.confidence > 0.9
    assert detector.detect("thank you", ["en", "de"]) is not None
    assert detector.detect("Ich möchte meine Bestellung ändern", ["en", "es"]) is None
    assert detector.detect("Ich möchte meine Bestellung ändern", []) is None
    assert detector.detect("Ich möchte meine Bestellung ändern", ["tlh"]) is None


async def test_long_text(detector: TextLanguageDetector) -> None:
    found = detector.detect("Ich möchte meine Bestellung ändern. " * 1000)
    assert found is not None
    assert found.language == "de"


async def test_not_started() -> None:
    assert TextLanguageDetector().detect("I want to change my order") is None
