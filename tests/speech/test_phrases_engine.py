"""Phrases by the real engine, in its child process."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest

from kallglot.evaluation.corpus import find
from kallglot.evaluation.lines import load, telephone
from kallglot.speech.engines.espeak import EspeakSynthesizer
from kallglot.speech.engines.phrases import PocketsphinxPhrases
from kallglot.speech.engines.pronunciation import Pronunciation
from kallglot.speech.phrases import MOST_PHRASES, Chosen, NoneOfThese, Phrase, PhraseError, PhraseEvent
from kallglot.speech.registry import build_registry
from kallglot.speech.types import EngineError, Restarted, Voice

pytestmark = [pytest.mark.speech, pytest.mark.xdist_group("phrases")]
SILENCE = bytes(2 * 8_000)
MENU = [
    Phrase("bill", "eine Frage zur Rechnung", "de", "1"),
    Phrase("fault", "eine Störung melden", "de", "2"),
    Phrase("agent", "mit einem Mitarbeiter sprechen", "de", "0"),
    Phrase("english", "I would like to speak English", "en"),
]


class Noted:
    def __init__(self) -> None:
        self.events: list[PhraseEvent] = []
        self._come = asyncio.Event()

    def __call__(self, event: PhraseEvent) -> None:
        self.events.append(event)
        self._come.set()

    async def until(self, fits: Callable[[PhraseEvent], bool]) -> PhraseEvent:
        async with asyncio.timeout(30):
            while True:
                for event in self.events:
                    if fits(event):
                        return event
                self._come.clear()
                await self._come.wait()


@pytest.fixture
async def engine() -> AsyncIterator[PocketsphinxPhrases]:
    made = PocketsphinxPhrases()
    if made.missing() is not None and "pocketsphinx" in str(made.missing()):
        pytest.skip("pocketsphinx is not installed")
    await made.start()
    yield made
    await made.close()


async def spoken(text: str, voice: str = "de") -> bytes:
    synthesizer = EspeakSynthesizer()
    await synthesizer.start()
    pcm = b"".join([piece async for piece in synthesizer.synthesize(text, voice, Voice(voice))])
    sound = telephone(np.frombuffer(pcm, "<i2").astype(np.float64) / 32768, synthesizer.sample_rate_hz)
    return sound.pcm + SILENCE


async def test_a_menu_over_the_telephone(engine: PocketsphinxPhrases) -> None:
    noted = Noted()
    stream = await engine.open(await engine.prepare(MENU), 8_000, noted)
    lengths: list[int] = []
    pushed = 0
    for text, voice in (
        ("mit einem Mitarbeiter sprechen", "de"),
        ("eine Störung melden", "de"),
        ("I would like to speak English", "en-us"),
        ("Hallo, hören Sie mich?", "de"),
    ):
        audio = await spoken(text, voice)
        lengths.append(len(audio) // 16)
        pushed += len(audio)
        stream.push(audio)
    await stream.drain()
    assert [getattr(event, "phrase_id", None) for event in noted.events] == ["agent", "fault", "english", None]
    assert isinstance(noted.events[-1], NoneOfThese)
    second = noted.events[1]
    assert isinstance(second, Chosen)
    assert lengths[0] - 100 < second.start_ms < second.end_ms < lengths[0] + lengths[1] - 700
    assert 0.5 <= second.confidence <= 1
    stream.press("0")
    assert noted.events[-1] == Chosen("agent", 1.0, pushed // 16, pushed // 16, "keypad")
    await stream.close()


async def test_people_over_the_telephone_and_what_is_left_out(engine: PocketsphinxPhrases, testdata: Path) -> None:
    folder = testdata / "speech" / "asterisk" / "es"
    # Two of the prompts say the same.
    apart = {one.text.lower().rstrip(". "): one for one in find(folder, "es").recordings}.values()
    prompts = {one.path.stem: one for one in apart}
    said = ["conf-enteringno", "dir-nomore", "demo-echodone"]
    phrases = [Phrase(name, one.text, "es") for name, one in list(prompts.items())[:20]]
    phrases += [Phrase(name, prompts[name].text, "es") for name in said if name not in {one.id for one in phrases}]
    for without in (False, True):
        noted = Noted()
        listed = [phrase for phrase in phrases if not without or phrase.id not in said]
        stream = await engine.open(await engine.prepare(listed), 8_000, noted)
        for name in said:
            stream.push(load(prompts[name].path, "telephone").pcm + SILENCE)
        stream.finish()
        await stream.drain()
        chosen = [event.phrase_id for event in noted.events if isinstance(event, Chosen)]
        assert chosen == ([] if without else said)
        await stream.close()


async def test_a_child_that_is_killed_is_replaced_and_nothing_is_lost(engine: PocketsphinxPhrases) -> None:
    noted = Noted()
    stream = await engine.open(await engine.prepare(MENU), 8_000, noted)
    audio = await spoken("mit einem Mitarbeiter sprechen")
    stream.push(audio[: len(audio) // 2])
    (pid,) = engine.pids
    os.kill(pid, signal.SIGKILL)
    stream.push(audio[len(audio) // 2 :])
    assert isinstance(await noted.until(lambda event: isinstance(event, Restarted)), Restarted)
    chosen = await noted.until(lambda event: isinstance(event, Chosen | NoneOfThese))
    assert isinstance(chosen, Chosen)
    assert chosen.phrase_id == "agent"
    assert engine.pids != [pid]
    await stream.close()


async def test_silence_and_noise_choose_nothing(engine: PocketsphinxPhrases) -> None:
    noted = Noted()
    stream = await engine.open(await engine.prepare(MENU), 16_000, noted)
    noise = np.random.default_rng(5).normal(0, 3_000, 32_000).clip(-32768, 32767).astype("<i2")
    stream.push(bytes(32_000) + noise.tobytes() + bytes(32_000))
    stream.skip(5_000)
    stream.finish()
    await stream.drain()
    assert not [event for event in noted.events if isinstance(event, Chosen)]
    await stream.close()


@pytest.mark.parametrize(
    ("phrases", "said"),
    [
        ([], "at least one"),
        ([Phrase(str(number), f"Satz {number}", "de") for number in range(1_000)], f"at most {MOST_PHRASES}"),
        ([Phrase("a", "🙂 !?", "de")], "'a': there is nothing to be said"),
        ([Phrase("a", "Rat", "de"), Phrase("b", "Rad", "de")], "sound the same cannot be told apart: 'a' and 'b'"),
        ([Phrase("a", "two", "en"), Phrase("b", "Too!", "en")], "'a' and 'b'"),
        ([Phrase("a", "7" * 200, "de")], "'a': expected at most 240 sounds, it has"),
        ([Phrase("a", "tlhIngan", "tlh")], "how tlh is pronounced is not known: espeak-ng has no voice"),
    ],
)
async def test_lists_that_cannot_be_listened_for(phrases: list[Phrase], said: str) -> None:
    with pytest.raises(PhraseError, match=said):
        await PocketsphinxPhrases().prepare(phrases)


async def test_digits_punctuation_and_emoji_are_said_as_far_as_they_can_be() -> None:
    listed = await PocketsphinxPhrases().prepare(
        [Phrase("a", "Zimmer 23, bitte! 🙂", "de-AT"), Phrase("b", "room 23", "en"), Phrase("c", "комната", "ru")]
    )
    assert listed.ids == ("a", "b", "c")
    assert "D R AY" in listed.sayings[0]
    assert any("TH R IY" in line for line in listed.sayings)


async def test_several_phrases_may_mean_the_same_and_sound_it() -> None:
    listed = await PocketsphinxPhrases().prepare(
        [Phrase("yes", "ja", "de"), Phrase("yes", "Ja!", "de"), Phrase("no", "nein", "de"), Phrase("one", "ein", "de")]
    )
    assert listed.ids == ("yes", "no", "one")
    assert len(listed.sayings) == 3
    assert listed.warnings[0] == "'no' and 'one' differ by one sound"
    assert "'yes' is short: other speech is easily taken for it" in listed.warnings


async def test_a_full_list_is_prepared() -> None:
    phrases = [Phrase(str(number), f"Satz Nummer {number}", "de") for number in range(MOST_PHRASES)]
    assert len((await PocketsphinxPhrases().prepare(phrases)).sayings) == MOST_PHRASES


async def test_a_program_that_is_not_there() -> None:
    engine = PocketsphinxPhrases(pronunciation=Pronunciation("espeak-of-nobody"))
    with pytest.raises(EngineError, match="espeak-ng cannot be started"):
        await engine.prepare([Phrase("a", "ja", "de")])


async def test_another_rate_is_refused(engine: PocketsphinxPhrases) -> None:
    with pytest.raises(EngineError, match="8000 or 16000 Hz, not 44100"):
        await engine.open(await engine.prepare(MENU), 44_100, Noted())


def test_it_is_no_recogniser() -> None:
    registry = build_registry(recognition_processes=1, scripted=None, models_dir=None)
    assert not [state for state in registry.status() if "phrases" in state.name]


def test_nothing_heavy_is_imported_here() -> None:
    code = "import sys, kallglot.speech.engines.phrases; print('pocketsphinx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_what_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "kallglot[phrases]" in str(PocketsphinxPhrases().missing())
