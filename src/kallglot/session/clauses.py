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

CLAUSE_AFTER_MS: Final = 5000
"""Uncommitted speech from which on the end of a clause commits it."""
LONGEST_MS: Final = 8000
"""Uncommitted speech that is committed where it is least hurt by it."""
FEWEST_WORDS: Final = 5
FOLLOWED_BY: Final = 3
"""Words that have to stand behind the end of a clause: recognisers put a full stop wherever the audio ends, and get the
last words wrong as long as they have heard half of them."""
UNLIKE: Final = 1 / 3
"""How much of a clause the hypothesis before may have heard otherwise, in words."""
FEWEST_AHEAD: Final = 3
"""Committed words beyond the end of an utterance: fewer are what the final pass heard otherwise."""
SAME_MS: Final = 250
"""By how much the start of an utterance moves between its hypotheses, as the clock of its audio is put right, or where
audio was lost."""
MOVED_MS: Final = 1000
"""By how much a final pass moves it."""
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
    before: list[str] = field(default_factory=list[str])
    """The hypothesis before this one."""
    shown: bool = False
    again: bool = False
    """It is heard again by a recogniser that finds it begin or end elsewhere."""

    def done(self, words: Sequence[str]) -> int:
        """How many of the words are committed."""
        count, unlike = _fitted(self.committed, words)
        if self.again and unlike - max(0, len(self.committed) - count) > count / 2:
            # Something else was said.
            return 0
        return count


class Clauses:
    """One speaker's utterances. ``dividing`` is whether clauses may be committed before their utterance ends."""

    def __init__(self) -> None:
        self.dividing = True
        self._open: dict[int, _Open] = {}

    def partial(
        self, text: str, stable_text: str, start_ms: int, now_ms: float, hypothesis: str | None = None
    ) -> tuple[Segment | None, Tentative]:
        """A hypothesis of audio up to ``now_ms``: the clause that it commits, if any, and what is left open.

        ``text`` is what is shown, ``hypothesis`` what the recogniser thinks by now where that is something else: it is
        better informed than what was found stable early on, and is what is committed.
        """
        utterance = self._near(start_ms, SAME_MS)
        if utterance is None:
            utterance = self._open[start_ms] = _Open(start_ms, start_ms, new_id(TURN))
        heard = (hypothesis or text).split()
        segment = None
        waited_ms = now_ms - utterance.segment_start_ms
        if self.dividing and waited_ms >= CLAUSE_AFTER_MS:
            segment = self._divide(utterance, heard, now_ms, pressing=waited_ms >= LONGEST_MS)
        utterance.before = heard
        utterance.shown = True
        words, stable = text.split(), stable_text.split()
        done = utterance.done(words)
        settled = " ".join(words[done : max(done, len(stable))])
        return segment, Tentative(utterance.turn_id, " ".join(words[done:]), settled, utterance.segment_start_ms)

    def final(self, text: str, start_ms: int, end_ms: int) -> Segment | Tentative | None:
        """The utterance as it was recognised in the end: what of it was not committed yet.

        Where nothing is, an empty :class:`Tentative` takes back what was shown. A start that the final pass moved a
        little still finds its utterance.
        """
        utterance = self._take(start_ms, end_ms)
        if utterance is None:
            return Segment(new_id(TURN), text, start_ms, end_ms) if text.strip() else None
        words = text.split()
        rest = words[utterance.done(words) :]
        if not rest:
            self._go_on(utterance, words, end_ms)
        if rest:
            begin = utterance.segment_start_ms if utterance.committed else start_ms
            return Segment(utterance.turn_id, " ".join(rest), min(begin, end_ms), end_ms)
        return Tentative(utterance.turn_id, "", "", utterance.segment_start_ms) if utterance.shown else None

    @property
    def divided(self) -> bool:
        """Whether something that is still being said was committed in part."""
        return any(one.committed for one in self._open.values())

    def forget(self) -> list[Tentative]:
        """The recogniser was replaced; what it had begun, another will hear again. What takes back what was shown."""
        shown = [Tentative(one.turn_id, "", "", one.segment_start_ms) for one in self._open.values() if one.shown]
        self._open.clear()
        return shown

    def _divide(self, utterance: _Open, heard: list[str], now_ms: float, *, pressing: bool) -> Segment | None:
        done = utterance.done(heard)
        rest = heard[done:]
        count = _clause(rest, pressing=pressing)
        taken = rest[:count]
        if not count or distance(heard[: done + count], utterance.before) > UNLIKE * count:
            return None
        share = sum(map(len, taken)) / sum(map(len, rest))
        start = utterance.segment_start_ms
        end = round(start + (now_ms - start) * share)
        segment = Segment(utterance.turn_id, " ".join(taken), start, end)
        utterance.committed = heard[: done + count]
        utterance.segment_start_ms = end
        utterance.turn_id = new_id(TURN)
        utterance.shown = False
        return segment

    def _go_on(self, utterance: _Open, words: Sequence[str], end_ms: int) -> None:
        """Another recogniser ends the utterance before what was committed of it: the rest, it hears as the next."""
        ahead = utterance.committed[behind(words, utterance.committed) :]
        if end_ms < utterance.segment_start_ms and len(ahead) >= FEWEST_AHEAD:
            self._open[end_ms] = _Open(end_ms, utterance.segment_start_ms, new_id(TURN), ahead, again=True)

    def _take(self, start_ms: int, end_ms: int) -> _Open | None:
        found = self._near(start_ms, MOVED_MS, end_ms)
        self._open = {start: one for start, one in self._open.items() if start >= end_ms}
        return found

    def _near(self, start_ms: int, within_ms: int, before_ms: float = float("inf")) -> _Open | None:
        near = [start for start in self._open if abs(start - start_ms) < within_ms and start < before_ms]
        if near:
            return self._open[min(near, key=lambda start: abs(start - start_ms))]
        for one in self._open.values():
            if one.committed and one.start_ms <= start_ms < one.segment_start_ms:
                one.again = True
                return one
        return None


def behind(committed: Sequence[str], words: Sequence[str]) -> int:
    """How many of ``words`` say what was committed: the prefix that is most like it, the one nearest to it
    in length where several are."""
    return _fitted(committed, words)[0]


def distance(committed: Sequence[str], words: Sequence[str]) -> int:
    """Words by which ``committed`` differs from the prefix of ``words`` that is most like it."""
    return _fitted(committed, words)[1]


def _fitted(committed: Sequence[str], words: Sequence[str]) -> tuple[int, int]:
    ours = [bare(word) for word in committed]
    distances = list(range(len(ours) + 1))
    best, least = 0, len(ours)
    for count, word in enumerate(words, 1):
        heard = bare(word)
        before, distances[0] = distances[0], count
        for n, mine in enumerate(ours, 1):
            before, distances[n] = (
                distances[n],
                min(distances[n] + 1, distances[n - 1] + 1, before + (mine != heard)),
            )
        closer = abs(count - len(ours)) < abs(best - len(ours))
        if distances[-1] < least or (distances[-1] == least and closer):
            best, least = count, distances[-1]
    return best, least


def _clause(words: Sequence[str], *, pressing: bool) -> int:
    """How many of the open words to commit; 0 where there is no good place yet."""
    usable = len(words) - FOLLOWED_BY
    for count in range(usable, FEWEST_WORDS - 1, -1):
        if words[count - 1].endswith(_CLAUSE_ENDS):
            return count
    if not pressing or usable < FEWEST_WORDS:
        return 0
    for count in range(usable, FEWEST_WORDS - 1, -1):
        if bare(words[count]) in _JOINS:
            return count
    return usable
