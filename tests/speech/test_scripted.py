import json
import math
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kallglot.audio.g711 import audioop
from kallglot.speech.engines import scripted
from kallglot.speech.engines.scripted import (
    Script,
    ScriptedDetector,
    ScriptedRecognizer,
    ScriptedSynthesizer,
    ScriptedTranslator,
    ScriptError,
)
from kallglot.speech.types import (
    Detection,
    EngineError,
    Final,
    Partial,
    RecognizerEvent,
    RecognizerOptions,
    SpeechStarted,
    SpeechStopped,
    Voice,
)

ORDER, NUMBER = "Ich möchte meine Bestellung ändern", "Die Kundennummer ist 4729"
SCRIPT = {
    "languages": ["en", "de", "es"],
    "recognition": {"de": [ORDER, NUMBER], "es": ["Hola"]},
    "translation": {"de>en": {ORDER: "I want to change my order"}, "de>es": {ORDER: "Quiero cambiar mi pedido"}},
    "synthesis": {"ms_per_character": 30},
    "faults": {"recognition": {"es": "deaf"}, "translation": {NUMBER: "no answer"}, "synthesis": {"boom": "no voice"}},
}


def script(**changes: object) -> Script:
    return scripted.msgspec.convert({**SCRIPT, **changes}, Script)


def tone(ms: int, rate: int = 8000, level: float = 3000) -> bytes:
    count = rate * ms // 1000
    return struct.pack(f"<{count}h", *(round(level * math.sin(2 * math.pi * 440 * n / rate)) for n in range(count)))


def silence(ms: int, rate: int = 8000) -> bytes:
    return bytes(rate * ms // 1000 * 2)


async def stream(
    language: str | None = "de", rate: int = 8000, *, partials: bool = True
) -> tuple[scripted.ScriptedStream, list[RecognizerEvent]]:
    events: list[RecognizerEvent] = []
    options = RecognizerOptions(rate, language, partials)
    return await ScriptedRecognizer(script()).open(options, events.append), events


@pytest.mark.parametrize("rate", [8000, 16000])
async def test_one_utterance(rate: int) -> None:
    heard, events = await stream(rate=rate)
    heard.push(silence(100, rate) + tone(500, rate))
    assert events == [SpeechStarted(100), Partial("Ich möchte meine", "Ich möchte meine", 100)]
    heard.push(silence(290, rate))
    assert len(events) == 2
    heard.push(silence(10, rate))
    assert events[2:] == [SpeechStopped(600), Final(ORDER, 100, 600, 0.96)]
    await heard.drain()
    assert heard.backlog_ms == heard.dropped_ms == 0


async def test_lines_follow_one_another_and_start_again() -> None:
    heard, events = await stream()
    for _ in range(3):
        heard.push(tone(300) + silence(300))
    finals = [event for event in events if isinstance(event, Final)]
    assert [(final.text, final.start_ms, final.end_ms) for final in finals] == [
        (ORDER, 0, 300),
        (NUMBER, 600, 900),
        (ORDER, 1200, 1500),
    ]


async def test_streams_are_independent() -> None:
    first, first_events = await stream()
    second, second_events = await stream()
    first.push(tone(100) + silence(300))
    second.push(tone(100) + silence(300))
    assert first_events == second_events


async def test_a_pause_within_an_utterance() -> None:
    heard, events = await stream(partials=False)
    heard.push(tone(300) + silence(250) + tone(300) + silence(300))
    assert events == [SpeechStarted(0), SpeechStopped(850), Final(ORDER, 0, 850, 0.96)]


async def test_finish_and_skip_end_an_utterance() -> None:
    heard, events = await stream(partials=False)
    heard.push(tone(100))
    heard.finish()
    heard.finish()
    heard.push(tone(100))
    heard.skip(2000)
    heard.push(tone(100))
    heard.finish()
    assert [(event.start_ms, event.end_ms) for event in events if isinstance(event, Final)] == [
        (0, 100),
        (100, 200),
        (2200, 2300),
    ]


async def test_what_is_not_speech() -> None:
    heard, events = await stream()
    heard.push(silence(1000) + tone(1000, level=150) + silence(1000))
    heard.finish()
    assert events == []
    heard.push(tone(20, level=400))
    assert events == [SpeechStarted(3000)]


async def test_nothing_comes_after_close() -> None:
    heard, events = await stream()
    heard.push(tone(100))
    await heard.close()
    told = len(events)
    heard.push(tone(500) + silence(500))
    heard.finish()
    assert len(events) == told


AUDIO = tone(70) + silence(400) + tone(430) + silence(290) + tone(15) + silence(700)


@given(st.lists(st.integers(0, 900), max_size=20))
async def test_chunks_do_not_matter(sizes: list[int]) -> None:
    whole, expected = await stream()
    whole.push(AUDIO)
    heard, events = await stream()
    at = 0
    for size in sizes:
        heard.push(memoryview(AUDIO)[at : at + size * 2])
        at += size * 2
    heard.push(AUDIO[at:])
    assert events == expected


async def test_languages() -> None:
    recognizer = ScriptedRecognizer(script())
    assert recognizer.languages == {"de", "es"}
    for language in ("de-AT", "DE", None):
        heard, events = await stream(language, partials=False)
        heard.push(tone(100) + silence(300))
        assert events[-1] == Final(ORDER, 0, 100, 0.96)
    with pytest.raises(EngineError, match="no lines for en"):
        await stream("en")
    with pytest.raises(EngineError, match="deaf"):
        await stream("es-MX")


async def test_translation() -> None:
    translator = ScriptedTranslator(script(delay_ms={"translation": 1}))
    assert await translator.translate(ORDER, "de-DE", "en-GB") == "I want to change my order"
    assert await translator.translate(ORDER, "de", "es") == "Quiero cambiar mi pedido"
    assert await translator.translate("Guten Tag", "de", "en-US") == "[en] Guten Tag"
    with pytest.raises(EngineError, match="no answer"):
        await translator.translate(NUMBER, "de", "en")
    assert translator.pairs == {(a, b) for a in ("en", "de", "es") for b in ("en", "de", "es") if a != b}


@pytest.mark.parametrize(("text", "speed", "ms"), [("0123456789", 1.0, 300), ("0123456789", 2.0, 150), ("", 1.0, 0)])
async def test_synthesis(text: str, speed: float, ms: int) -> None:
    engine = ScriptedSynthesizer(script(delay_ms={"synthesis": 1}))
    pcm = b"".join([piece async for piece in engine.synthesize(text, "en-US", Voice(speed=speed))])
    assert len(pcm) == ms * 16
    if pcm:
        assert 20 * math.log10(audioop.rms(pcm, 2) / 32768) == pytest.approx(-20, abs=0.1)
        steps = [
            abs(b - a)
            for (a,), (b,) in zip(
                list(struct.iter_unpack("<h", pcm))[:-1], list(struct.iter_unpack("<h", pcm))[1:], strict=True
            )
        ]
        assert max(steps) < 2 * math.pi * 440 / 8000 * 4700


@pytest.mark.parametrize(("text", "language", "message"), [("boom", "en", "no voice"), ("x", "fr", "no voice for fr")])
async def test_synthesis_that_fails(text: str, language: str, message: str) -> None:
    audio = ScriptedSynthesizer(script()).synthesize(text, language, Voice())
    with pytest.raises(EngineError, match=message):
        await anext(audio)


def test_detection() -> None:
    detector = ScriptedDetector(script())
    assert detector.detect(ORDER) == Detection("de", 1.0)
    assert detector.detect("I want to change my order") == Detection("en", 1.0)
    assert detector.detect("Quiero cambiar mi pedido", ["es-MX", "en"]) == Detection("es-MX", 1.0)
    assert detector.detect(ORDER, ["es", "en"]) is None
    assert detector.detect("anything else") is None


def test_a_script_speaks_and_is_heard() -> None:
    """The tone of the synthesizer is speech to the recogniser."""
    assert audioop.rms(scripted._TONE_PIECE, 2) > scripted.SPEECH_RMS


def test_load(tmp_path: Path) -> None:
    path = tmp_path / "engines.json"
    path.write_text(json.dumps(SCRIPT))
    assert scripted.load(path) == script()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "truncated"),
        ("{}", "missing required field `languages`"),
        ('{"languages": ["de"], "recogniton": {}}', "unknown field `recogniton`"),
        ('{"languages": ["de"], "recognition": {"de": "x"}}', "Expected `array`, got `str`"),
        ('{"languages": ["de"], "recognition": {"de": []}}', "recognition.de: expected lines of a listed language"),
        ('{"languages": ["de"], "recognition": {"en": ["x"]}}', "recognition.en: expected lines of a listed language"),
        ('{"languages": ["de"], "translation": {"de": {}}}', "translation.de: expected listed languages"),
        ('{"languages": ["de"], "translation": {"de>en": {}}}', "translation.de>en: expected listed languages"),
        ('{"languages": ["de"], "synthesis": {"ms_per_character": 0}}', "expected at least 1"),
    ],
)
def test_a_script_that_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "engines.json"
    path.write_text(text)
    with pytest.raises(ScriptError, match=message) as refusal:
        scripted.load(path)
    assert str(path) in str(refusal.value)


def test_a_script_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match="cannot be read: No such file"):
        scripted.load(tmp_path / "absent.json")


def test_the_documented_script_is_valid(tmp_path: Path) -> None:
    document = (Path(__file__).parents[2] / "docs" / "scripted-engines.md").read_text()
    path = tmp_path / "engines.json"
    path.write_text(document.split("```json\n")[1].split("```")[0])
    assert scripted.load(path).translation["de>en"] == {ORDER: "I want to change my order"}
