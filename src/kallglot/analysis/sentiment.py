"""How each side sounded, by counting words of :mod:`kallglot.analysis.lexicon`; and saying that it was so counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from kallglot.analysis.lexicon import LANGUAGES, lexicon
from kallglot.analysis.spoken import Spoken
from kallglot.analysis.words import sentences, words
from kallglot.speech.languages import base, english_name

NEGATION_REACH: Final = 3
"""Words after a negation that it turns around."""
FEWEST: Final = 2
"""Words that a judgement takes."""
SHOWN: Final = 3
_CHANGE: Final = 0.5


@dataclass(slots=True)
class _Tally:
    positive: Counter[str] = field(default_factory=Counter[str])
    negative: Counter[str] = field(default_factory=Counter[str])

    @property
    def total(self) -> int:
        return self.positive.total() + self.negative.total()

    @property
    def balance(self) -> float:
        """From -1 to 1."""
        return (self.positive.total() - self.negative.total()) / self.total if self.total else 0.0


def sentiment(turns: Sequence[Spoken]) -> dict[str, str]:
    return {role: _of([turn for turn in turns if turn.speaker == role], role) for role in ("customer", "agent")}


def _of(turns: list[Spoken], role: str) -> str:
    if not turns:
        return f"The {role} said nothing."
    read = [version for turn in turns if (version := turn.heard_in(LANGUAGES)) is not None]
    if not read:
        spoken = _names(turn.language for turn in turns)
        known = _names(LANGUAGES)
        return f"Not assessed: the {role} spoke {spoken}, and the word lists that this is counted with are for {known}."
    whole, early, late = _Tally(), _Tally(), _Tally()
    for number, version in enumerate(read):
        half = early if number < len(read) / 2 else late
        for tally in (whole, half):
            _count(version.text, base(version.language), role, tally)
    left_out = len(turns) - len(read)
    note = f" {left_out} of {len(turns)} turns are in other languages." if left_out else ""
    return f"{_judgement(whole, early, late)} {_evidence(whole, len(read))}{note}"


def _count(text: str, language: str, role: str, tally: _Tally) -> None:
    known = lexicon(language)
    for sentence in sentences(text):
        reach = 0
        said = words(sentence, language)
        greeted = {
            place
            for at, pair in enumerate(pairwise(said))
            if (pair[0].folded, pair[1].folded) in known.greetings
            for place in (at, at + 1)
        }
        for at, word in enumerate(said):
            if at in greeted:
                continue
            if word.folded in known.negations:
                reach = NEGATION_REACH
                continue
            polarity = known.polarity(word.folded, role)
            if polarity:
                turned = reach > 0
                better = (polarity > 0) != turned
                shown = f"not {word.text.lower()}" if turned else word.text.lower()
                (tally.positive if better else tally.negative)[shown] += 1
            reach -= 1


def _judgement(whole: _Tally, early: _Tally, late: _Tally) -> str:
    if whole.total < FEWEST:
        return "Neutral."
    balance = whole.balance
    words = "Positive" if balance >= 0.6 else "Rather positive" if balance >= 0.2 else "Mixed"
    if balance <= -0.2:
        words = "Negative" if balance <= -0.6 else "Rather negative"
    if early.total and late.total and abs(late.balance - early.balance) >= _CHANGE:
        words += ", more positive" if late.balance > early.balance else ", more negative"
        words += " in the second half"
    return f"{words}."


def _evidence(whole: _Tally, turns: int) -> str:
    counted = f"{_many(whole.positive, 'positive')} and {_many(whole.negative, 'negative')} in {turns} turns"
    return f"Counted with word lists, which know no irony: {counted}."


def _many(some: Counter[str], kind: str) -> str:
    total = some.total()
    named = ", ".join(word for word, _ in sorted(some.items(), key=lambda item: (-item[1], item[0]))[:SHOWN])
    return f"{total} {kind} word{'' if total == 1 else 's'}" + (f" ({named})" if named else "")


def _names(languages: Iterable[str | None]) -> str:
    names = sorted({"an unknown language" if one is None else english_name(one) for one in languages})
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
