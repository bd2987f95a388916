"""A summary without a model: the sentences whose words the conversation comes back to, and who said them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log, sqrt
from typing import Final

from kallglot.analysis.spoken import Spoken
from kallglot.analysis.words import says_nothing, sentences, shortened, words

FEWEST: Final = 3
MOST: Final = 8
TURNS_FOR_ONE_MORE: Final = 12
MOST_CHARACTERS: Final = 1200
ALIKE: Final = 0.5
"""Of two sentences that share more of their words one is enough."""
REASON_BONUS: Final = 1.6
"""For what the customer says first that says anything: mostly why they call."""
END_BONUS: Final = 1.25
END: Final = 0.8
"""Behind this part of the conversation it is agreed what happens next."""
QUESTION: Final = 0.6
"""A question says less than its answer."""
_REASON_TURNS: Final = 4


@dataclass(frozen=True, slots=True)
class _Sentence:
    order: int
    speaker: str
    start_ms: int
    text: str
    content: frozenset[str]
    place: float
    """From 0, the beginning, to 1."""
    reason: bool

    @property
    def third(self) -> int:
        return int(self.place * 3)


def summary(turns: Sequence[Spoken], language: str | None) -> str:
    if not turns:
        return "Nobody said anything."
    if language is None:
        return f"{_frame(turns)} No extract: none of it is in a language whose words are known here."
    found = _sentences(turns, language)
    chosen = _choose(found, len(turns))
    unread = sum(1 for turn in turns if turn.read_in([language]) is None)
    note = f" {unread} turns could not be read." if unread else ""
    if not chosen:
        return f"{_frame(turns)}{note} No sentence of it says enough to be picked."
    lines = [f"{one.speaker.capitalize()} ({_clock(one.start_ms)}): “{shortened(one.text)}”" for one in chosen]
    return f"{_frame(turns)}{note} An extract, its sentences picked by counting words:\n" + "\n".join(lines)


def _sentences(turns: Sequence[Spoken], language: str) -> list[_Sentence]:
    found: list[_Sentence] = []
    customers = 0
    for number, turn in enumerate(turns):
        customers += turn.speaker == "customer"
        version = turn.read_in([language])
        for text in [] if version is None else sentences(version.text):
            content = frozenset(word.folded for word in words(text, language) if not says_nothing(word, language))
            reason = turn.speaker == "customer" and customers <= _REASON_TURNS
            found.append(_Sentence(len(found), turn.speaker, turn.start_ms, text, content, number / len(turns), reason))
    return found


def _choose(found: list[_Sentence], turns: int) -> list[_Sentence]:
    said = Counter(word for one in found for word in one.content)
    reason = next((one.order for one in found if one.reason and len(one.content) >= 2), None)
    scores = {one.order: _score(one, said, one.order == reason) for one in found if len(one.content) >= 2}
    wanted = min(MOST, FEWEST + turns // TURNS_FOR_ONE_MORE)
    crowded = ceil(wanted / 2)
    thirds: Counter[int] = Counter()
    chosen: list[_Sentence] = []
    left = MOST_CHARACTERS
    for one in sorted((found[order] for order in scores), key=lambda one: (-scores[one.order], one.order)):
        length = min(len(one.text), 240)
        if length <= left and thirds[one.third] < crowded and not any(_alike(one, other) for other in chosen):
            chosen.append(one)
            left -= length
            thirds[one.third] += 1
        if len(chosen) == wanted:
            break
    return sorted(chosen, key=lambda one: one.order)


def _score(one: _Sentence, said: Counter[str], reason: bool) -> float:
    score = sum(log(1 + said[word]) for word in one.content) / sqrt(len(one.content) + 2)
    if reason:
        score *= REASON_BONUS
    if one.place >= END:
        score *= END_BONUS
    return score * (QUESTION if one.text.endswith("?") else 1.0)


def _alike(one: _Sentence, other: _Sentence) -> bool:
    return len(one.content & other.content) > ALIKE * min(len(one.content), len(other.content))


def _frame(turns: Sequence[Spoken]) -> str:
    seconds = max(turn.end_ms for turn in turns) // 1000
    who = Counter(turn.speaker for turn in turns)
    parts = " and ".join(f"{count} by the {role}" for role, count in sorted(who.items(), reverse=True))
    return f"{len(turns)} turns in {_length(seconds)}, {parts}."


def _length(seconds: int) -> str:
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minute} min"
    return f"{minute} min {second} s" if minute else f"{second} s"


def _clock(ms: int) -> str:
    minutes, second = divmod(ms // 1000, 60)
    return f"{minutes}:{second:02d}"
