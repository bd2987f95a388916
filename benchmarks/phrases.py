"""Phrase recognition: what of a list is recognised, and what is taken for it that is not on it.

``python -m benchmarks.phrases`` cuts the recordings into utterances as a call does, over the telephone (or, with
``--line clean``, as they were made), and judges each against many lists:

- *prompts*, *sentences*: whole recordings, in a list of all texts of their kind and language, or of ten of them;
- *excerpts*: the first three words and the last three of the same recordings, cut where the alignment has their bounds;
- *left out*: the same lists without what was said, in much the same words by the same voice;
- *one phrase*: a list of nothing else, and a list of one other;
- *other speech*: everything, and continuous speech beside it, against menus of ten phrases in four languages.

The recordings are halved by the name of the prompt, which is the same in every language. Weights and the threshold are
fitted on one half and counted on the other, both ways about: the table *held out*. The table *as shipped* has the
weights of ``engines/evidence.py``; ``--fit`` prints what all recordings together give for them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from kallglot.audio.endpointing import Step
from kallglot.audio.levels import Floats
from kallglot.evaluation.corpus import find
from kallglot.evaluation.lines import LINES, Line, Sound, load
from kallglot.speech.engines.alignment import STATES, Grammar, compiled, judged, traced
from kallglot.speech.engines.decoding import prepared
from kallglot.speech.engines.evidence import ENOUGH, WEIGHTS, features
from kallglot.speech.engines.phones import Saying
from kallglot.speech.engines.phrase_model import PhraseModel
from kallglot.speech.engines.pronunciation import Pronunciation, words
from kallglot.speech.engines.silero import Silero, model_file
from kallglot.speech.engines.utterances import FEWEST_SPEECH_WINDOWS, Utterance, UtteranceStream

MENUS = {
    "de": "ja|nein|ich möchte meine Lieferadresse ändern|Rechnung|mit einem Mitarbeiter sprechen|Kündigung|"
    "eine Störung melden|Tarif wechseln|wann kommt der Techniker|zurück",
    "en": "yes|no|I would like to change my address|billing|talk to an agent|cancel my contract|report a fault|"
    "change my plan|when is the technician coming|go back",
    "es": "sí|no|quiero cambiar mi dirección|factura|hablar con un agente|cancelar mi contrato|informar de una avería|"
    "cambiar de tarifa|cuándo viene el técnico|volver",
    "fr": "oui|non|je voudrais changer mon adresse|facture|parler à un conseiller|résilier mon contrat|"
    "signaler une panne|changer de forfait|quand vient le technicien|retour",
}
TEN = 10
DRAWS = 2
"""Lists of ten for each utterance."""
FALSE = 0.05
"""Of utterances that are not on a list of ten, what may be taken for one of it, on the half that is fitted on."""
SURE = 1.5
"""Above the threshold: a confidence of 0.82."""
FITTED = ("prompts, list of ten, left out", "excerpts, list of ten, left out")
KINDS = {"asterisk": "prompts", "fleurs": "sentences"}
LONGEST = 200

Row = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Text:
    kind: str
    language: str
    words: str


@dataclass(frozen=True, slots=True)
class Said:
    """An utterance; ``text`` is None where it is not what any phrase says."""

    half: int
    kind: str
    text: Text | None
    scores: Floats


@dataclass(frozen=True, slots=True)
class Trial:
    name: str
    half: int
    listed: bool
    right: bool
    features: tuple[float, ...]


def utterances(sound: Sound, silero: Silero) -> Iterator[Utterance]:
    """As the child process cuts them."""
    stream = UtteranceStream(sound.rate, 0)
    stream.push(b"".join(sound.frames(silence_s=0.8)))
    while (window := stream.next_window()) is not None:
        heard, worth_asking = window
        if worth_asking:
            step = stream.judge(silero.probabilities([(stream.voice, heard)])[0])
        else:
            stream.voice.pass_by(heard)
            step = stream.judge(0.0)
        if step is Step.ENDED:
            yield stream.finish_utterance()
        elif step is Step.CUT:
            yield stream.cut_utterance()
    if stream.flush():
        yield stream.finish_utterance()


class Bench:
    def __init__(self, line: Line) -> None:
        vad = model_file()
        if vad is None:
            raise SystemExit("the voice activity model is missing")
        self._line: Line = line
        self._silero = Silero(vad)
        self._model = PhraseModel()
        self._sayings: dict[Text, tuple[Saying, ...]] = {}
        self.said: list[Said] = []

    def hear(self, path: Path, kind: str, text: Text | None) -> None:
        half = zlib.crc32(path.stem.removeprefix("fleurs-")[-12:].encode()) & 1
        sound = load(path, self._line)
        heard: list[Floats] = []
        for one in utterances(sound, self._silero):
            if one.speech_windows >= FEWEST_SPEECH_WINDOWS and one.final_audio is not None:
                audio = np.clip(prepared(one.final_audio, sound.rate), -1.0, 1.0)
                heard.append(self._model.scores((audio * 32767).astype("<i2").tobytes()))
        # A recording with a pause in its middle is no phrase, but speech all the same.
        whole = text if len(heard) == 1 else None
        self.said += [Said(half, kind, whole, scores) for scores in heard]

    async def pronounce(self, texts: Sequence[Text]) -> None:
        ways = await Pronunciation().say([(text.words, text.language) for text in texts])
        self._sayings |= {text: way for text, way in zip(texts, ways, strict=True) if way}

    def known(self, kind: str, language: str) -> list[Text]:
        return [text for text in self._sayings if (text.kind, text.language) == (kind, language)]

    def texts(self) -> list[Text]:
        """Of all utterances, and of what is cut out of them."""
        whole = [one.text for one in self.said if one.text is not None]
        parts = (part for text in whole if len(split := words(text.words)) >= 7 for part in (split[:3], split[-3:]))
        languages = chain.from_iterable([text.language] * 2 for text in whole if len(words(text.words)) >= 7)
        cut = [
            Text("excerpts", language, " ".join(part).lower()) for language, part in zip(languages, parts, strict=True)
        ]
        menus = [Text("menu", language, one) for language, menu in MENUS.items() for one in menu.split("|")]
        return list(dict.fromkeys([*whole, *cut, *menus]))

    def cut_excerpts(self) -> None:
        for one in list(self.said):
            text = one.text
            if text is None or len(split := words(text.words)) < 7:
                continue
            ways = [way for way in self._sayings[text] if len(way) == len(split)]
            # espeak-ng writes some words together: which is which is not known there.
            if not ways:
                continue
            grammar = self._grammar([(0, way) for way in ways])
            best = judged(one.scores, grammar).saying
            phones = traced(one.scores, grammar, best) // STATES
            of = np.array(
                [number for number, word in enumerate(ways[best]) for number in (-1, *[number] * len(word))] + [-1]
            )
            word = of[phones]
            (first,), (last,) = np.nonzero((word >= 0) & (word < 3)), np.nonzero(word >= len(split) - 3)
            for part, scores in ((split[:3], one.scores[: first[-1] + 1]), (split[-3:], one.scores[last[0] :])):
                cut = Text("excerpts", text.language, " ".join(part).lower())
                self.said.append(Said(one.half, "excerpts", cut, scores))

    def _grammar(self, sayings: Sequence[tuple[int, Saying]]) -> Grammar:
        return compiled(sayings, self._model.phones)

    def trial(self, name: str, one: Said, phrases: Sequence[Text]) -> Trial:
        numbered = [(number, way) for number, text in enumerate(phrases) for way in self._sayings[text]]
        verdict = judged(one.scores, self._grammar(numbered))
        chosen = phrases[verdict.choice]
        found = features(verdict, native=chosen.language == "en")
        return Trial(name, one.half, one.text in phrases, chosen == one.text, found)

    def trials(self) -> Iterator[Trial]:
        chance = random.Random(5)
        for one in self.said:
            text = one.text
            if text is not None and text in self._sayings:
                others = [other for other in self.known(text.kind, text.language) if other != text]
                if text.kind != "excerpts":
                    yield self.trial(f"{one.kind}, list of all", one, [text, *others])
                    yield self.trial(f"{one.kind}, list of all, left out", one, others)
                for _ in range(DRAWS):
                    drawn = chance.sample(others, min(TEN, len(others)))
                    yield self.trial(f"{one.kind}, list of ten, left out", one, drawn)
                    yield self.trial(f"{one.kind}, list of ten", one, [text, *drawn[1:]])
                yield self.trial(f"{one.kind}, one phrase", one, [text])
                yield self.trial(f"{one.kind}, one phrase, another said", one, [chance.choice(others)])
            for language in MENUS:
                yield self.trial("other speech, menus of ten", one, self.known("menu", language))


def fitted(rows: Row, right: NDArray[np.bool_], names: Sequence[str]) -> Row:
    """Logistic regression (Newton's method, a little ridge); each kind of trial counts as much as any other."""
    count = {name: names.count(name) for name in set(names)}
    weight = np.array([100 / count[name] for name in names])
    middle, spread = rows.mean(0), rows.std(0) + 1e-9
    middle[-1], spread[-1] = 0.0, 1.0
    scaled = (rows - middle) / spread
    found = np.zeros(rows.shape[1])
    for _ in range(30):
        odds = 1 / (1 + np.exp(-np.clip(scaled @ found, -30, 30)))
        slope = scaled.T @ (weight * (right - odds)) - found
        bend = (scaled * (weight * odds * (1 - odds))[:, None]).T @ scaled + np.eye(len(found))
        found += np.linalg.solve(bend, slope)
    found = found / spread
    found[-1] -= (found[:-1] * middle[:-1]).sum()
    return found


def threshold(sums: Row, names: Sequence[str]) -> float:
    """Above which no more than :data:`FALSE` of what is left out of a list of ten is, whole or in part."""
    left_out = [np.array([one for one, name in zip(sums, names, strict=True) if name == kind]) for kind in FITTED]
    return max(float(np.quantile(one, 1 - FALSE)) for one in left_out if len(one))


def fit(trials: Sequence[Trial]) -> tuple[Row, float]:
    rows, names = np.array([one.features for one in trials]), [one.name for one in trials]
    weights = fitted(rows, np.array([one.right for one in trials]), names)
    return weights, threshold(rows @ weights, names)


def table(title: str, trials: Sequence[Trial], above: Row) -> Table:
    """``above``: by how much each was above the threshold."""
    made = Table("", "judged", "nearest", "right", "none of these", "wrong", "wrong, sure", title=title)
    kinds: dict[str, list[int]] = defaultdict(list)
    for number, one in enumerate(trials):
        kinds[one.name].append(number)
    for name in sorted(kinds):
        of = [(trials[number], above[number]) for number in kinds[name]]
        right = sum(one.right and by >= 0 for one, by in of)
        wrong = sum(not one.right and by >= 0 for one, by in of)
        sure = sum(not one.right and by >= SURE for one, by in of)
        surely = sum(one.right and by >= SURE for one, by in of)
        nearest = sum(one.right for one, _ in of)

        def part(count: int, total: int = len(of)) -> str:
            return f"{count} ({count / total:.1%})"

        listed = of[0][0].listed
        made.add_row(
            name,
            str(len(of)),
            part(nearest) if listed else "–",
            f"{part(right)}, sure {part(surely)}" if listed else "–",
            part(len(of) - right - wrong),
            part(wrong),
            part(sure),
        )
    return made


async def run(testdata: Path, line: Line, only: int | None, fitting: bool, console: Console) -> None:
    bench = Bench(line)
    for folder, kind in KINDS.items():
        for language in sorted(path for path in (testdata / "speech" / folder).glob("*") if path.is_dir()):
            for one in find(language).recordings[:only]:
                bench.hear(one.path, kind, Text(kind, language.name, " ".join(words(one.text[:LONGEST])).lower()))
    for folder in ("silero-60s", "librivox-en", "jfk-en"):
        for path in sorted((testdata / "speech" / folder).glob("*.*"))[:only]:
            if path.suffix in (".flac", ".wav"):
                bench.hear(path, "other", None)
    await bench.pronounce(bench.texts())
    bench.cut_excerpts()
    console.print(f"{len(bench.said)} utterances")
    trials = list(bench.trials())
    rows = np.array([one.features for one in trials])
    above = np.zeros(len(trials))
    for half in (0, 1):
        weights, least = fit([one for one in trials if one.half != half])
        here = np.array([one.half == half for one in trials])
        above[here] = rows[here] @ weights - least
    console.print(table("held out", trials, above))
    console.print(table("as shipped", trials, rows @ np.array(WEIGHTS) - ENOUGH))
    if fitting:
        weights, least = fit(trials)
        console.print("weights", dict(zip(WEIGHTS._fields, weights.round(3).tolist(), strict=True)))
        console.print(f"enough {least:.2f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=int, help="so many recordings of each kind and language, for a quick look")
    parser.add_argument("--line", choices=LINES, default="telephone")
    parser.add_argument("--fit", action="store_true", help="print weights and threshold from all recordings")
    chosen = parser.parse_args()
    testdata = Path(os.environ.get("KALLGLOT_TESTDATA", Path(__file__).parents[2] / "shared" / "testdata"))
    if not testdata.is_dir():
        print(f"no recordings at {testdata}; set KALLGLOT_TESTDATA", file=sys.stderr)
        return 2
    asyncio.run(run(testdata, chosen.line, chosen.only, chosen.fit, Console(width=160)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
