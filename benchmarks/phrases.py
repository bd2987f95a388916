"""Phrase recognition without a server: what of a list is recognised, and what is taken for it that is not on it.

``python -m benchmarks.phrases`` plays the recordings into the recogniser, clean and over the telephone:

- *on the list*: the sentences of a language are the list, and each is played;
- *left out*: each is played against the list without it, said by the same voice in much the same words;
- *other speech*: everything, in every language, is played against a menu of ten short German phrases;
- *menu, synthetic*: the menu itself, spoken by espeak-ng.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from kallglot.evaluation.corpus import Recording, find
from kallglot.evaluation.lines import LINES, Line, Sound, load, telephone
from kallglot.speech.engines.espeak import EspeakSynthesizer
from kallglot.speech.engines.phrases import PocketsphinxPhrases
from kallglot.speech.phrases import Chosen, Phrase, PhraseEvent, PhraseList
from kallglot.speech.types import Voice

MENU = (
    "ja",
    "nein",
    "ich möchte meine Lieferadresse ändern",
    "Rechnung",
    "mit einem Mitarbeiter sprechen",
    "Kündigung",
    "eine Störung melden",
    "Tarif wechseln",
    "wann kommt der Techniker",
    "zurück",
)
VOICES = ("de", "de+f3", "de+m3")
LIST = 20
"""Sentences in a list: where there are fewer recordings, sentences of the parallel texts fill it up."""


async def heard(recognizer: PocketsphinxPhrases, phrases: PhraseList, sound: Sound) -> list[str]:
    """The ids of what was chosen."""
    events: list[PhraseEvent] = []
    rate = 8000 if sound.rate == 8000 else 16000
    assert sound.rate == rate, sound.rate
    stream = await recognizer.open(phrases, rate, events.append)
    for frame in sound.frames(silence_s=0.8):
        stream.push(frame)
    stream.finish()
    await stream.drain()
    await stream.close()
    return [event.phrase_id for event in events if isinstance(event, Chosen)]


def listed(recordings: list[Recording], more: list[str], language: str) -> list[Phrase]:
    phrases = [Phrase(one.name, one.text[:200], language) for one in recordings]
    fill = max(0, LIST - len(phrases))
    filling = more[len(more) - fill :]
    return phrases + [Phrase(f"more {number}", text[:200], language) for number, text in enumerate(filling)]


async def by_list(
    recognizer: PocketsphinxPhrases, recordings: list[Recording], phrases: list[Phrase], line: Line, *, without: bool
) -> Counter[str]:
    found: Counter[str] = Counter()
    ready = None if without else await recognizer.prepare(phrases)
    for one in recordings:
        prepared = ready or await recognizer.prepare([phrase for phrase in phrases if phrase.id != one.name])
        chosen = await heard(recognizer, prepared, load(one.path, line))
        right = chosen.count(one.name)
        found["right" if right and right == len(chosen) else "wrong" if chosen else "none"] += 1
    return found


async def spoken(text: str, voice: str) -> Sound:
    synthesizer = EspeakSynthesizer()
    await synthesizer.start()
    pcm = b"".join([piece async for piece in synthesizer.synthesize(text, "de", Voice(voice))])
    return telephone(np.frombuffer(pcm, "<i2").astype(np.float64) / 32768, synthesizer.sample_rate_hz)


async def run(testdata: Path, only: int | None, console: Console) -> None:
    recognizer = PocketsphinxPhrases()
    await recognizer.start()
    table = Table("", "line", "played", "right", "none of these", "wrong")

    def row(name: str, line: str, found: Counter[str]) -> None:
        console.print(name, line, dict(found), highlight=False)
        table.add_row(name, line, str(found.total()), *(str(found[what]) for what in ("right", "none", "wrong")))

    every: list[Recording] = []
    for folder in sorted(path for kind in ("fleurs", "asterisk") for path in (testdata / "speech" / kind).glob("*")):
        recordings = find(folder).recordings[:only] if folder.is_dir() else []
        if not recordings:
            continue
        every += recordings
        parallel = testdata / "mt" / f"flores-dev.{folder.name}"
        more = parallel.read_text(encoding="utf-8").splitlines() if parallel.exists() else []
        # One prompt may say what another does.
        recordings = list({one.text.lower().rstrip(". "): one for one in recordings}.values())
        phrases = listed(recordings, more, folder.name)
        name = f"{folder.parent.name} {folder.name}, list of {len(phrases)}"
        for line in LINES:
            row(name, line, await by_list(recognizer, recordings, phrases, line, without=False))
        row(f"{name}, left out", "telephone", await by_list(recognizer, recordings, phrases, "telephone", without=True))
    menu = await recognizer.prepare([Phrase(text, text, "de") for text in MENU])
    for line in LINES:
        found: Counter[str] = Counter()
        for one in every:
            found["wrong" if await heard(recognizer, menu, load(one.path, line)) else "none"] += 1
        row("other speech, menu of 10", line, found)
    found = Counter()
    for voice in VOICES:
        for text in MENU:
            chosen = await heard(recognizer, menu, await spoken(text, voice))
            found["right" if chosen == [text] else "wrong" if chosen else "none"] += 1
    row("menu of 10, synthetic", "telephone", found)
    await recognizer.close()
    console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", type=int, help="so many recordings of each kind, for a quick look")
    chosen = parser.parse_args()
    testdata = Path(os.environ.get("KALLGLOT_TESTDATA", Path(__file__).parents[2] / "shared" / "testdata"))
    if not testdata.is_dir():
        print(f"no recordings at {testdata}; set KALLGLOT_TESTDATA", file=sys.stderr)
        return 2
    asyncio.run(run(testdata, chosen.only, Console(width=140)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
