import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from kallglot.speech.engines.apertium import ApertiumTranslator
from kallglot.speech.engines.espeak import EspeakSynthesizer
from kallglot.speech.engines.langdetect import TextLanguageDetector
from kallglot.speech.languages import base, english_name, match, two_letters
from kallglot.speech.registry import EngineRegistry, EngineStatus, build_registry
from kallglot.speech.sentences import split
from kallglot.speech.types import (
    Detection,
    EngineError,
    Hints,
    RecognizerEvent,
    RecognizerOptions,
    RecognizerStream,
    Voice,
)


class Engine:
    """Serves what it is told to, as any kind of engine, and keeps what was asked of its life."""

    sample_rate_hz = 8000

    def __init__(
        self,
        name: str,
        languages: Sequence[str] = (),
        pairs: Sequence[str] = (),
        missing: str | None = None,
        fails: Exception | None = None,
        quality: str | None = None,
    ) -> None:
        self.name = name
        self.languages = languages
        self.pairs = [(pair.split(">")[0], pair.split(">")[1]) for pair in pairs]
        self.quality = quality
        self.life: list[str] = []
        self._missing = missing
        self._fails = fails

    def missing(self) -> str | None:
        return self._missing

    async def start(self) -> None:
        self.life.append("start")
        if self._fails:
            raise self._fails

    async def close(self) -> None:
        self.life.append("close")

    async def open(self, options: RecognizerOptions, on_event: Callable[[RecognizerEvent], None]) -> RecognizerStream:
        raise NotImplementedError

    async def translate(self, text: str, source: str, target: str, hints: Hints = Hints()) -> str:
        raise NotImplementedError

    async def synthesize(self, text: str, language: str, voice: Voice) -> AsyncIterator[bytes]:
        raise NotImplementedError
        yield b""

    def detect(self, text: str, among: Sequence[str] | None = None) -> Detection | None:
        raise NotImplementedError


HEAR = Engine("ears", ["en", "pt-BR"])
TURN = Engine("turns", pairs=["en>es", "es>en", "fr>es"], quality="rough")
SPEAK = Engine("mouth", ["en", "en-GB", "es", "fr"])


async def started(**engines: Sequence[Engine]) -> EngineRegistry:
    kinds = {"recognizers": [HEAR], "translators": [TURN], "synthesizers": [SPEAK]}
    registry = EngineRegistry(**{**kinds, **engines})
    await registry.start()
    return registry


def test_tags() -> None:
    assert base("zh-Hant-TW") == "zh"
    assert base("pt_BR") == "pt"
    assert match("en-US", ["en", "EN-us"]) == "EN-us"
    assert match("EN-au", ["en", "en-US"]) == "en"
    assert match("en", ["en-US"]) is None
    assert english_name("de-AT") == "German"
    assert english_name("gd") == "Scottish Gaelic"
    assert english_name("tlh") == "tlh"
    assert [two_letters(code) for code in ("eng", "nob", "ast")] == ["en", "nb", "ast"]


@pytest.mark.parametrize("limit", [1, 7, 20, 1000])
@pytest.mark.parametrize(
    "text", ["", "One. Two! Three?", "no end " * 9, "x" * 50, "a\nb\r\n\n c", "\n", "好。好。" * 9]
)
def test_split_keeps_everything(text: str, limit: int) -> None:
    pieces = split(text, limit)
    assert "".join(piece + space for piece, space in pieces) == text
    assert all(len(piece) <= limit and not space.strip() for piece, space in pieces)


def test_split_cuts_where_it_hurts_least() -> None:
    assert split("One two. Three four. Five", 20) == [("One two. Three four.", " "), ("Five", "")]
    assert split('He said "no." Then left', 16) == [('He said "no."', " "), ("Then left", "")]
    assert split("one two three", 8) == [("one two", " "), ("three", "")]
    assert split("Line. One\nLine two", 99) == [("Line. One", "\n"), ("Line two", "")]
    with pytest.raises(ValueError, match="at least 1"):
        split("x", 0)


async def test_choice() -> None:
    registry = await started()
    assert registry.recognizer("en-US") is HEAR
    assert registry.recognizer("PT-br") is HEAR
    assert registry.recognizer("pt") is None
    assert registry.recognizer("de") is None
    assert registry.recognizer(None) is HEAR
    assert registry.translator("en-US", "ES-mx") is TURN
    assert registry.translator("es", "fr") is None
    assert registry.synthesizer("en-gb") is SPEAK
    assert registry.synthesizer("de") is None
    assert registry.detector() is None


async def test_the_first_that_can_is_chosen() -> None:
    absent, broken, second = Engine("a", ["en"], missing="install a"), Engine("b", ["en"], fails=OSError("no b")), HEAR
    registry = await started(recognizers=[absent, broken, second])
    assert registry.recognizer("en") is second
    assert registry.status()[:3] == [
        EngineStatus("recognition", "a", False, (), "install a"),
        EngineStatus("recognition", "b", False, (), "no b"),
        EngineStatus("recognition", "ears", True, ("en", "pt-BR"), None),
    ]
    assert registry.status()[3] == EngineStatus("translation", "turns", True, ("en>es", "es>en", "fr>es"), "rough")
    await registry.close()
    assert absent.life == []
    assert broken.life == ["start", "close"]


@pytest.mark.parametrize("error", [EngineError("x"), RuntimeError("x"), ImportError("x")])
async def test_an_engine_that_fails_to_start_does_not_stop_the_others(error: Exception) -> None:
    registry = await started(synthesizers=[Engine("bad", ["en"], fails=error)])
    assert registry.recognizer("en") is HEAR
    assert registry.synthesizer("en") is None


async def test_nothing_serves_before_start_or_after_close() -> None:
    ears = Engine("ears", ["en"])
    registry = EngineRegistry(recognizers=[ears])
    assert registry.recognizer("en") is None
    assert registry.languages() == []
    await registry.start()
    assert registry.recognizer("en") is ears
    await registry.close()
    await registry.close()
    assert registry.recognizer("en") is None
    assert ears.life == ["start", "close"]


async def test_two_spellings_are_one_language() -> None:
    """Piper's voices speak en-US, espeak-ng's en-us."""
    registry = EngineRegistry(
        recognizers=[Engine("ears", ["en"])],
        translators=[Engine("turns", pairs=["de>en"])],
        synthesizers=[Engine("piper", ["en-US"]), Engine("espeak", ["en-us", "de"])],
    )
    await registry.start()
    told = {language.code: language for language in registry.languages()}
    assert list(told) == ["de", "en", "en-US"]
    assert told["en-US"].synthesizers == ("piper", "espeak")
    assert [target.language for target in told["de"].translation_to] == ["en", "en-US"]


async def test_languages() -> None:
    registry = await started()
    languages = {language.code: language for language in registry.languages()}
    assert list(languages) == ["en", "en-GB", "es", "fr", "pt-BR"]
    english = languages["en"]
    assert (english.name, english.recognition, english.synthesis) == ("English", "ears", "mouth")
    assert [(to.language, to.engine, to.note) for to in english.translation_to] == [("es", "turns", "rough")]
    assert [to.language for to in languages["es"].translation_to] == ["en", "en-GB"]
    assert (languages["fr"].recognition, languages["fr"].synthesis) == (None, "mouth")
    assert (languages["pt-BR"].recognition, languages["pt-BR"].translation_to) == ("ears", ())


@pytest.mark.parametrize(
    ("source", "target"),
    [("en", "es"), ("es-MX", "en-US"), ("en", "en-GB"), (None, None), ("de", None), (None, "es")],
)
async def test_what_can_be_served(source: str | None, target: str | None) -> None:
    assert (await started()).missing_for(source, target) is None


@pytest.mark.parametrize(
    ("engines", "source", "target", "sentence"),
    [
        (
            {},
            "en",
            "de",
            "No engine translates from English to German: translation is there for en>es, es>en, fr>es.",
        ),
        (
            {},
            "fr-CA",
            "es",
            "No engine translates from Spanish to French: translation is there for en>es, es>en, fr>es.",
        ),
        (
            {"synthesizers": [Engine("mouth", ["en"])]},
            "en",
            "es",
            "No engine speaks Spanish: synthesis is there for en.",
        ),
        (
            {"synthesizers": [Engine("mouth", missing="espeak-ng is not installed: apt-get install espeak-ng")]},
            "en",
            "es",
            "No engine speaks English: espeak-ng is not installed: apt-get install espeak-ng.",
        ),
        (
            {"recognizers": [Engine("ears", ["fr"])]},
            "en",
            "es",
            "No engine recognises English or Spanish speech: recognition is there for fr.",
        ),
        ({}, "de", "de-AT", "No engine recognises German speech: recognition is there for en, pt-BR."),
        (
            {"recognizers": [Engine("ears", missing="pip install ears")]},
            None,
            None,
            "No speech recognition engine is ready: pip install ears.",
        ),
        ({"recognizers": []}, "en", None, "No engine recognises English speech: recognition is there for no language."),
        (
            {"translators": [Engine("apertium", pairs=["en>es", "es>en"])]},
            "es",
            "fr",
            "No engine translates from Spanish to French: apt-get install apertium apertium-fr-es, then restart.",
        ),
        (
            {"translators": [Engine("apertium", pairs=["en>es", "es>en"])]},
            "de",
            "en",
            "No engine translates from German to English: translation is there for en>es, es>en; "
            "'apt-cache search apertium' lists the pairs that can be installed.",
        ),
    ],
)
async def test_what_is_missing(
    engines: dict[str, list[Engine]], source: str | None, target: str | None, sentence: str
) -> None:
    assert (await started(**engines)).missing_for(source, target) == sentence


async def test_scripted_only(tmp_path: Path) -> None:
    path = tmp_path / "engines.json"
    path.write_text(json.dumps({"languages": ["de", "en"], "recognition": {"de": ["Hallo"]}}))
    registry = build_registry(recognition_processes=0, scripted=path, models_dir=None)
    await registry.start()
    assert {state.name for state in registry.status()} == {"scripted"}
    assert len(registry.status()) == 4
    assert registry.missing_for("de", "en") is None
    assert registry.missing_for("en", "en") == "No engine recognises English speech: recognition is there for de."
    assert registry.missing_for("de", "fr") == (
        "No engine translates from German to French: translation is there for de>en, en>de."
    )
    assert [language.code for language in registry.languages()] == ["de", "en"]
    assert registry.detector() is not None
    await registry.close()


def test_a_script_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        build_registry(recognition_processes=0, scripted=tmp_path / "absent.json", models_dir=None)


@pytest.mark.speech
@pytest.mark.skipif(ApertiumTranslator().missing() is not None, reason=str(ApertiumTranslator().missing()))
@pytest.mark.skipif(EspeakSynthesizer().missing() is not None, reason=str(EspeakSynthesizer().missing()))
async def test_the_real_ones_together() -> None:
    registry = EngineRegistry(
        recognizers=[Engine("ears", ["en"])],
        translators=[ApertiumTranslator()],
        synthesizers=[EspeakSynthesizer()],
        detectors=[TextLanguageDetector()],
    )
    await registry.start()
    try:
        assert all(state.ready for state in registry.status())
        assert registry.missing_for("en-US", "es-MX") is None
        assert "German" in (registry.missing_for("de", "en") or "")
        translator, synthesizer = registry.translator("en", "es"), registry.synthesizer("es")
        assert translator is not None
        assert synthesizer is not None
        text = await translator.translate("I want to change my order.", "en", "es")
        assert text == "Quiero cambiar mi orden."
        spoken = [pcm async for pcm in synthesizer.synthesize(text, "es", Voice())]
        assert len(b"".join(spoken)) > 22050
        detector = registry.detector()
        assert detector is not None
        assert detector.detect(text) == Detection("es", pytest.approx(0.9, abs=0.1))
    finally:
        await asyncio.shield(registry.close())
