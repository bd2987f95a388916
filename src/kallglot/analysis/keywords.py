"""What a conversation is about: words and short phrases that come again in it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from kallglot.analysis.spoken import Spoken
from kallglot.analysis.words import Word, says_nothing, sentences, words

MOST: Final = 12
LONGEST_PHRASE: Final = 3
NAME_BONUS: Final = 1.5
"""For words with a capital within a sentence: names, and in German nouns."""
_NOUNS_TOO: Final = "de"
"""There a capital alone says too little for a word that comes but once."""
BOTH_BONUS: Final = 1.3
"""For what both sides say."""


@dataclass(slots=True)
class _Phrase:
    size: int
    count: int = 0
    names: int = 0
    speakers: set[str] = field(default_factory=set[str])
    written: Counter[str] = field(default_factory=Counter[str])
    first: int = 0


def keywords(turns: Sequence[Spoken], language: str) -> list[dict[str, Any]]:
    """The most telling first; ``score`` is relative to the first one's."""
    phrases: dict[str, _Phrase] = defaultdict(lambda: _Phrase(0))
    for turn in turns:
        version = turn.read_in([language])
        if version is None:
            continue
        for sentence in sentences(version.text):
            for run in _runs(words(sentence, language), language):
                for phrase in _within(run):
                    _note(phrases, phrase, turn)
    scored = {
        key: _score(phrase)
        for key, phrase in phrases.items()
        if phrase.count > 1 or (phrase.names and language != _NOUNS_TOO)
    }
    ranked = sorted(scored, key=lambda key: (-scored[key], phrases[key].first, key))
    chosen: list[str] = []
    for key in ranked:
        if not any(_covers(phrases, other, key) for other in chosen):
            chosen.append(key)
        if len(chosen) == MOST:
            break
    best = scored[chosen[0]] if chosen else 1.0
    return [
        {
            "keyword": phrases[key].written.most_common(1)[0][0],
            "count": phrases[key].count,
            "speakers": sorted(phrases[key].speakers),
            "score": round(scored[key] / best, 2),
        }
        for key in chosen
    ]


def _runs(some: list[Word], language: str) -> Iterator[list[Word]]:
    """Words in a row that say something."""
    run: list[Word] = []
    for word in some:
        if says_nothing(word, language):
            if run:
                yield run
            run = []
        else:
            run.append(word)
    if run:
        yield run


def _within(run: list[Word]) -> Iterator[list[Word]]:
    for size in range(1, LONGEST_PHRASE + 1):
        for at in range(len(run) - size + 1):
            yield run[at : at + size]


def _note(phrases: dict[str, _Phrase], some: list[Word], turn: Spoken) -> None:
    key = " ".join(word.folded for word in some)
    phrase = phrases[key]
    if not phrase.count:
        phrase.size, phrase.first = len(some), turn.sequence
    phrase.count += 1
    phrase.names += all(word.text[0].isupper() and not word.first for word in some)
    phrase.speakers.add(turn.speaker)
    first = some[0]
    head = first.text.lower() if first.first and not first.text.isupper() else first.text
    phrase.written[" ".join([head, *(word.text for word in some[1:])])] += 1


def _score(phrase: _Phrase) -> float:
    score = phrase.count * (1 + 0.6 * (phrase.size - 1)) if phrase.count > 1 else 1.0
    if 2 * phrase.names >= phrase.count:
        score *= NAME_BONUS
    return score * (BOTH_BONUS if len(phrase.speakers) > 1 else 1.0)


def _covers(phrases: dict[str, _Phrase], chosen: str, key: str) -> bool:
    """Whether ``key`` says hardly more than what is chosen already."""
    inner, outer = sorted((key, chosen), key=len)
    if f" {inner} " not in f" {outer} ":
        return False
    return inner != key or phrases[inner].count < 2 * phrases[outer].count
