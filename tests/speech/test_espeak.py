import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from kallglot.audio.g711 import audioop
from kallglot.speech.engines.espeak import EspeakSynthesizer, _spoken, parse_voices
from kallglot.speech.types import EngineError, Voice

LISTING = """\
Pty Language       Age/Gender VoiceName          File                 Other Languages
 5  cmn             --/M      Chinese_(Mandarin,_latin_as_English) sit/cmn              (zh-cmn 5)(zh 5)
 5  de              --/M      German             gmw/de
 5  en-029          --/M      English_(Caribbean) gmw/en-029           (en 10)
 2  en-gb           --/M      English_(Great_Britain) gmw/en               (en 2)
 2  en-us           --/M      English_(America)  gmw/en-US            (en 3)
 5  fr-fr           --/M      French_(France)    roa/fr               (fr 5)
nonsense
"""

real = [
    pytest.mark.speech,
    pytest.mark.skipif(EspeakSynthesizer().missing() is not None, reason=str(EspeakSynthesizer().missing())),
]


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]


def script(tmp_path: Path, body: str) -> str:
    """An executable that lists a German voice and, to speak, does what ``body`` says."""
    program = tmp_path / "espeak"
    program.write_text(f'#!/bin/sh\nif [ "$1" = --voices ]; then\ncat <<END\n{LISTING}END\nexit\nfi\n{body}\n')
    program.chmod(0o755)
    return str(program)


async def spoken(engine: EspeakSynthesizer, text: str, language: str, voice: Voice | None = None) -> bytes:
    return b"".join([pcm async for pcm in engine.synthesize(text, language, voice or Voice())])


def seconds(pcm: bytes) -> float:
    return len(pcm) / 2 / 22050


@pytest.fixture
async def engine() -> AsyncIterator[EspeakSynthesizer]:
    engine = EspeakSynthesizer()
    await engine.start()
    yield engine
    await engine.close()
    assert children() == []


def test_voices() -> None:
    assert parse_voices(LISTING) == {
        "cmn": "cmn",
        "zh-cmn": "cmn",
        "zh": "cmn",
        "de": "de",
        "en-029": "en-029",
        "en": "en-gb",
        "en-gb": "en-gb",
        "en-us": "en-us",
        "fr-fr": "fr-fr",
        "fr": "fr-fr",
    }
    assert parse_voices("") == {}


def test_text_is_only_text() -> None:
    assert _spoken("a\x01b\n\tc [[h@l@U]] \ud800") == "a b c [ [h@l@U] ]  "


def test_missing() -> None:
    assert EspeakSynthesizer("absent-espeak").missing() == "espeak-ng is not installed: apt-get install espeak-ng"


async def test_start_without_the_program() -> None:
    with pytest.raises(EngineError, match="cannot be started"):
        await EspeakSynthesizer("absent-espeak").start()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("exit 1", "ended without audio"),
        ("head -c 1000 /dev/zero", "expected 16-bit mono PCM at 22050 Hz, got 0000"),
        ("exec sleep 60", "gave no audio for 0.3 s"),
        ("kill -9 $$", "ended without audio"),
    ],
)
async def test_a_program_that_fails(tmp_path: Path, body: str, message: str) -> None:
    engine = EspeakSynthesizer(script(tmp_path, body), timeout_s=0.3)
    engine._timeout_s = 5.0
    await engine.start()
    engine._timeout_s = 0.3 if "sleep" in body else 5.0
    with pytest.raises(EngineError, match=message):
        await spoken(engine, "Hallo", "de")
    assert children() == []


async def test_the_text_is_not_an_argument(tmp_path: Path) -> None:
    arguments, text = tmp_path / "arguments", tmp_path / "text"
    engine = EspeakSynthesizer(script(tmp_path, f'echo "$@" > {arguments}; cat > {text}; exit 1'))
    await engine.start()
    with pytest.raises(EngineError):
        await spoken(engine, "--version geheim", "de-AT", Voice(name="--load", speed=9))
    assert arguments.read_text() == "--stdin --stdout -z -b 1 -v de -s 350\n"
    assert text.read_text() == "--version geheim"


async def test_only_so_many_wait(tmp_path: Path) -> None:
    engine = EspeakSynthesizer(script(tmp_path, "exec sleep 60"), at_once=1, waiting=1, timeout_s=5)
    await engine.start()
    tasks = [asyncio.create_task(spoken(engine, "Hallo", "de")) for _ in range(3)]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    assert [str(task.exception()) for task in done] == ["espeak-ng: busy, 1 texts are waiting"]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert children() == []


class TestReal:
    pytestmark = real

    @pytest.mark.parametrize(
        ("language", "text", "shortest", "longest"),
        [
            ("en-US", "Hello, this is a test of the telephone line.", 1.8, 3.2),
            ("de-DE", "Ich möchte meine Bestellung ändern.", 1.2, 2.4),
            ("es", "¿Dónde está mi pedido?", 0.8, 1.8),
            ("fr", "Bonjour, je voudrais changer ma commande.", 1.4, 2.8),
            ("zh-CN", "你好，世界", 0.6, 2.0),
        ],
    )
    async def test_speech(
        self, engine: EspeakSynthesizer, language: str, text: str, shortest: float, longest: float
    ) -> None:
        pcm = await spoken(engine, text, language)
        assert len(pcm) % 2 == 0
        assert shortest < seconds(pcm) < longest
        assert -25 < 20 * math.log10(audioop.rms(pcm, 2) / 32768) < -16
        first = audioop.rms(pcm[: 22050 * 2 * 60 // 1000], 2)
        assert first > 100, "speech starts within 60 ms"

    async def test_languages(self, engine: EspeakSynthesizer) -> None:
        assert {"de", "en", "en-us", "es", "fr", "it", "pt", "pt-br", "ru", "zh"} <= engine.languages
        with pytest.raises(EngineError, match="no voice for xx-XX"):
            await spoken(engine, "Hello", "xx-XX")

    async def test_speed(self, engine: EspeakSynthesizer) -> None:
        text = "One two three four five six seven eight nine ten."
        slow, normal, fast = [seconds(await spoken(engine, text, "en", Voice(speed=speed))) for speed in (0.5, 1, 2)]
        assert slow > normal * 1.5
        assert fast < normal * 0.75

    async def test_voices_by_name(self, engine: EspeakSynthesizer) -> None:
        own = await spoken(engine, "Hello there", "en")
        assert await spoken(engine, "Hello there", "en", Voice("en-us+f3")) != own
        assert await spoken(engine, "Hello there", "en", Voice("Polly.Joanna")) == own

    async def test_pieces_come_as_they_are_made(self, engine: EspeakSynthesizer) -> None:
        pieces = [pcm async for pcm in engine.synthesize("word " * 300, "en", Voice())]
        assert len(pieces) > 10
        assert all(len(pcm) % 2 == 0 for pcm in pieces)

    async def test_long_text_is_spoken_whole(self, engine: EspeakSynthesizer) -> None:
        sentence = "This is one of many sentences. "
        one = seconds(await spoken(engine, sentence, "en"))
        many = seconds(await spoken(engine, sentence * 80, "en"))
        assert many > 80 * one * 0.9
        with pytest.raises(EngineError, match="at most 20000 characters, got 20001"):
            await spoken(engine, "a" * 20001, "en")

    @pytest.mark.parametrize(
        "text", ["", " \n ", "\0\x01", "^foo$ [x] \\ <b> @", "[[h@l@U]] <mark/>", "😀", "a" * 5000]
    )
    async def test_hostile_text(self, engine: EspeakSynthesizer, text: str) -> None:
        pcm = await spoken(engine, text, "en")
        assert bool(pcm) == bool(text.strip(" \n\0\x01"))

    async def test_a_listener_who_stops_early(self, engine: EspeakSynthesizer) -> None:
        async with contextlib.aclosing(engine.synthesize("word " * 3000, "en", Voice())) as audio:  # type: ignore[type-var]
            async for _ in audio:
                break
            assert len(children()) == 1
        assert children() == []

    async def test_a_killed_program(self, engine: EspeakSynthesizer) -> None:
        audio = engine.synthesize("word " * 190, "en", Voice())
        await anext(audio)
        for child in children():
            child.kill()
        with pytest.raises(EngineError, match="ended with status -9"):
            async for _ in audio:
                pass

    async def test_many_at_once(self, engine: EspeakSynthesizer) -> None:
        texts = [f"Number {number}" for number in range(20)]
        together = await asyncio.gather(*(spoken(engine, text, "en") for text in texts))
        assert together == [await spoken(engine, text, "en") for text in texts]
