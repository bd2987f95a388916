"""From a recogniser's growing hypotheses to what is committed: whole utterances while they are short, clause by clause
while somebody talks on, so that the other side need not wait for the end.

What is committed is spoken and stored, and stands. The hypothesis that comes after it is fitted to it: only the words
behind the committed ones are still open. Pure; times are milliseconds since the session began.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from kallglot.ids import TURN, new_id
from kallglot.speech.stable import bare

CLAUSE_AFTER_MS: Final = 4000
"""Uncommitted speech from which on the end of a clause commits it."""
LONGEST_MS: Final = 8000
"""Uncommitted speech that is committed where it is least hurt by it."""
FEWEST_WORDS: Final = 5
FOLLOWED_BY: Final = 2
"""Words that have to stand behind the end of a clause: recognisers put a full stop wherever the audio ends."""
MOVED_MS: Final = 1000
_CLAUSE_ENDS: Final = (".", ",", ";", ":", "!", "?", "…", "。", "、", "，", "？", "！")
_JOINS: Final = frozenset(
    "and but or because so that which when if while then y o pero porque que cuando si aunque entonces"
    " und oder aber weil dass denn wenn et ou mais parce quand donc".split()
)


@dataclass(frozen=True, slots=True)
class Segment:
    """Committed words; where an utterance was divided, the times inside it are estimated from its length in letters."""

    turn_id: str
    text: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Tentative:
    """What is open of an utterance; empty where nothing is left of what was shown."""

    turn_id: str
    text: str
    stable_text: str
    start_ms: int


@dataclass(slots=True)
class _Open:
    start_ms: int
    segment_start_ms: int
    turn_id: str
    committed: list[str] = field(default_factory=list[str])
    shown: bool = False


class Clauses:
    """One speaker's utterances. ``dividing`` is whether clauses may be committed before their utterance ends."""

    def __init__(self) -> None:
        self.dividing = True
        self._open: dict[int, _Open] = {}

    def partial(self, text: str, stable_text: str, start_ms: int, now_ms: float) -> tuple[Segment | None, Tentative]:
        """A hypothesis of audio up to ``now_ms``: the clause that it commits, if any, and what is left open."""
        utterance = self._open.get(start_ms)
        if utterance is None:
            utterance = self._open[start_ms] = _Open(start_ms, start_ms, new_id(TURN))
        words, stable = text.split(), stable_text.split()
        done = behind(utterance.committed, words)
        segment = None
        if self.dividing and now_ms - utterance.segment_start_ms >= CLAUSE_AFTER_MS:
            pressing = now_ms - utterance.segment_start_ms >= LONGEST_MS
            count = _divide(words[done:], min(len(stable), len(words)) - done, pressing=pressing)
            if count:
                segment = self._commit(utterance, words, done, count, now_ms)
                done += count
        utterance.shown = True
        open_words = words[done:]
        settled = " ".join(open_words[: max(0, len(stable) - done)])
        return segment, Tentative(utterance.turn_id, " ".join(open_words), settled, utterance.segment_start_ms)

    def final(self, text: str, start_ms: int, end_ms: int) -> Segment | Tentative | None:
        """The utterance as it was recognised in the end: what of it was not committed yet.

        Where nothing is, an empty :class:`Tentative` takes back what was shown. A start that the final pass moved a
        little still finds its utterance.
        """
        utterance = self._take(start_ms, end_ms)
        if utterance is None:
            return Segment(new_id(TURN), text, start_ms, end_ms) if text.strip() else None
        words = text.split()
        rest = words[behind(utterance.committed, words) :]
        if rest:
            begin = utterance.segment_start_ms if utterance.committed else start_ms
            return Segment(utterance.turn_id, " ".join(rest), min(begin, end_ms), end_ms)
        return Tentative(utterance.turn_id, "", "", utterance.segment_start_ms) if utterance.shown else None

    def forget(self) -> None:
        """The recogniser was replaced; what it had begun, another will hear again."""
        self._open.clear()

    def _commit(self, utterance: _Open, words: list[str], done: int, count: int, now_ms: float) -> Segment:
        taken = words[done : done + count]
        letters = sum(map(len, words[done:])) or 1
        share = sum(map(len, taken)) / letters
        start = utterance.segment_start_ms
        end = round(start + (now_ms - start) * share)
        segment = Segment(utterance.turn_id, " ".join(taken), start, end)
        utterance.committed = words[: done + count]
        utterance.segment_start_ms = end
        utterance.turn_id = new_id(TURN)
        utterance.shown = False
        return segment

    def _take(self, start_ms: int, end_ms: int) -> _Open | None:
        found = self._open.get(start_ms)
        if found is None:
            near = [start for start in self._open if start < end_ms and abs(start - start_ms) < MOVED_MS]
            found = self._open[min(near, key=lambda start: abs(start - start_ms))] if near else None
        self._open = {start: one for start, one in self._open.items() if start >= end_ms}
        return found


def behind(committed: Sequence[str], words: Sequence[str]) -> int:
    """How many of ``words`` say what was committed: the prefix that is most like it by edit distance."""
    if not committed:
        return 0
    ours = [bare(word) for word in committed]
    distances = list(range(len(ours) + 1))
    best, best_distance = 0, len(ours)
    for count, word in enumerate(words, 1):
        heard = bare(word)
        before, distances[0] = distances[0], count
        for n, mine in enumerate(ours, 1):
            before, distances[n] = (
                distances[n],
                min(distances[n] + 1, distances[n - 1] + 1, before + (mine != heard)),
            )
        distance = distances[-1]
        closer = abs(count - len(ours)) < abs(best - len(ours))
        if distance < best_distance or (distance == best_distance and closer):
            best, best_distance = count, distance
    return best


def _divide(words: Sequence[str], stable: int, *, pressing: bool) -> int:
    """How many of the open words to commit; 0 where there is no good place yet."""
    usable = min(stable, len(words) - FOLLOWED_BY)
    for count in range(usable, FEWEST_WORDS - 1, -1):
        if words[count - 1].endswith(_CLAUSE_ENDS):
            return count
    if not pressing or usable < FEWEST_WORDS:
        return 0
    for count in range(usable, FEWEST_WORDS - 1, -1):
        if bare(words[count]) in _JOINS:
            return count
    return usable
