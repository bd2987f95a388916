"""Listed words put right in text from an engine that cannot be told to expect them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Final, NamedTuple

SHORT: Final = 4
"""A term of up to so many letters is known by them only, whatever it sounds like."""

_WORD: Final = re.compile(r"[^\s!-/:-@\[-`{-~\u00a1-\u00bf\u2000-\u206f\u3000-\u303f]+")
_WITHIN: Final = re.compile(r"\s+|\s*[-–&+/]\s*|[.'’_]")
_CHUNK: Final = re.compile(r"\S+")
_ADDRESS: Final = re.compile(r"@|://|www\.")
_LONGEST_WORD: Final = 40
_MOST_WORDS: Final = 6
_NEVER: Final = 9.0


class Terms:
    """Known terms, such as products, people and places; may be asked about every partial of a transcript."""

    def __init__(self, terms: Sequence[str]) -> None:
        self._terms: dict[str, list[_Term]] = {}
        self._exact: dict[str, set[str]] = {}
        self._widest = 0
        for term in dict.fromkeys(map(_core, terms)):
            words = [word.group() for word in _WORD.finditer(term)]
            letters = "".join(map(_letters, words))
            sounds = tuple(map(_sounds, words))
            if len(letters) < 2 or len(words) > _MOST_WORDS or not "".join(sounds):
                continue
            entry = _Term(term, letters, sounds, "".join(sounds))
            self._terms.setdefault(entry.sound[0], []).append(entry)
            self._exact.setdefault(words[0], set()).add(term)
            self._widest = max(self._widest, len(words) + 1)
        self._best = lru_cache(4096)(self._find)

    def correct(self, text: str) -> str:
        """The text with what sounds like a term written as the term; everything between the words is as it was."""
        words = [found for found in _WORD.finditer(text) if len(found.group()) <= _LONGEST_WORD]
        taken = self._already(text, words)
        matches: list[tuple[float, int, int, str]] = []
        for first, last in self._windows(text, words, taken):
            match = self._best(tuple(word.group() for word in words[first : last + 1]))
            if match is not None:
                matches.append((-match[0], first, last, match[1]))
        changes: list[tuple[int, int, str]] = []
        for _, first, last, term in sorted(matches):
            if not any(taken[first : last + 1]):
                taken[first : last + 1] = [True] * (last + 1 - first)
                changes.append((words[first].start(), words[last].end(), term))
        for start, end, term in sorted(changes, reverse=True):
            text = text[:start] + term + text[end:]
        return text

    def _already(self, text: str, words: Sequence[re.Match[str]]) -> list[bool]:
        """Which words stand in an address, or in a term that is written as it should be."""
        chunks = (chunk for chunk in _CHUNK.finditer(text) if _ADDRESS.search(chunk.group()))
        addresses = {at for chunk in chunks for at in range(*chunk.span())}
        taken = [word.start() in addresses for word in words]
        for first, word in enumerate(words):
            for term in self._exact.get(word.group(), ()):
                end = word.start() + len(term)
                last = next((n for n in range(first, len(words)) if words[n].end() >= end), first)
                if words[last].end() == end and text.startswith(term, word.start()):
                    taken[first : last + 1] = [True] * (last + 1 - first)
        return taken

    def _windows(self, text: str, words: Sequence[re.Match[str]], taken: Sequence[bool]) -> Iterator[tuple[int, int]]:
        for first in range(len(words)):
            for last in range(first, min(first + self._widest, len(words))):
                if taken[last]:
                    break
                if last > first and not _WITHIN.fullmatch(text, words[last - 1].end(), words[last].start()):
                    break
                yield first, last

    def _find(self, words: tuple[str, ...]) -> tuple[float, str] | None:
        """The term that these words are, and how good that is: more for a longer one, less for every difference."""
        letters = "".join(map(_letters, words))
        sounds = tuple(map(_sounds, words))
        sound = "".join(sounds)
        best: tuple[float, str] | None = None
        for term in self._terms.get(sound[:1], ()):
            if len(words) > len(term.sounds) + 1:
                continue
            same = letters == term.letters and len(words) == len(term.sounds)
            cost = 0.0 if same else _cost(term, letters, sounds, sound)
            score = len(term.sound) - 3 * cost
            if cost < _NEVER and (best is None or score > best[0]):
                best = score, term.text
        return best


class _Term(NamedTuple):
    text: str
    letters: str
    sounds: tuple[str, ...]
    sound: str


def _cost(term: _Term, letters: str, sounds: Sequence[str], sound: str) -> float:
    if len(term.letters) <= SHORT:
        return _NEVER
    if len(sounds) == len(term.sounds):
        # "Deutsche Bank" is not "Deutsche Bahn", however much of it is the same.
        for ours, theirs in zip(sounds, term.sounds, strict=True):
            limit = 0.4 if len(theirs) <= SHORT else max(0.7, _budget(theirs))
            if len(sounds) > 1 and _distance(ours, theirs, limit) > limit:
                return _NEVER
    elif len(term.letters) < 8 and (
        any(len(part) < 2 for part in sounds) or SequenceMatcher(None, letters, term.letters, False).ratio() < 0.9
    ):
        # "I phone you if one comes" is not about an iPhone.
        return _NEVER
    budget = _budget(term.sound)
    cost = _distance(sound, term.sound, budget)
    return cost if cost <= budget else _NEVER


def _budget(sound: str) -> float:
    """How much two words may differ and still be the same: nothing but spelling, up to two sounds in a long one."""
    return {0: 0, 1: 0, 2: 0, 3: 0, 4: 0.3, 5: 0.4, 6: 0.5}.get(len(sound), min(0.14 * len(sound), 2.0))


_ALIKE: Final = {frozenset(pair) for pair in ("bp", "dt", "gk", "fv", "mn", "jg", "ij", "uv")}


def _single(sound: str) -> float:
    if sound in "aeiou":
        return 0.6
    if sound == "h":
        return 0.4
    return _NEVER if sound.isdecimal() else 1.0


def _swap(one: str, other: str) -> float:
    if one == other:
        return 0.0
    if one.isdecimal() or other.isdecimal():
        return _NEVER
    if frozenset((one, other)) in _ALIKE:
        return 0.5
    return 0.6 if one in "aeiou" and other in "aeiou" else 1.0


def _distance(one: str, other: str, limit: float) -> float:
    """Weighted edit distance; anything above the limit once it cannot be within it any more."""
    if abs(len(one) - len(other)) * 0.4 > limit:
        return _NEVER
    above = [0.0]
    for sound in other:
        above.append(above[-1] + _single(sound))
    for sound in one:
        row = [above[0] + _single(sound)]
        for index, theirs in enumerate(other):
            alone = min(above[index + 1] + _single(sound), row[index] + _single(theirs))
            row.append(min(above[index] + _swap(sound, theirs), alone))
        if min(row) > limit:
            return _NEVER
        above = row
    return above[-1]


def _core(term: str) -> str:
    """The term from its first to its last word: marks at its ends are left to the text."""
    words = list(_WORD.finditer(unicodedata.normalize("NFC", term)))
    return words[0].string[words[0].start() : words[-1].end()] if words else ""


@lru_cache(8192)
def _letters(word: str) -> str:
    folded = unicodedata.normalize("NFKD", word.casefold())
    return "".join(character for character in folded if character.isalnum())


_SPELLINGS: Final = {
    re.compile(spelling): sound
    for spelling, sound in (
        *(("ph", "f"), ("[ck]+(?=[ck])", ""), ("c(?=[eiy])", "s"), ("[cq]", "k"), ("x", "ks"), ("[zß]", "s")),
        *(("w", "v"), ("(?<=[aou])e(?!$)", ""), ("(?<!^)y", "i"), ("^y", "j"), (r"([^\d])\1+", r"\1")),
    )
}


@lru_cache(8192)
def _sounds(word: str) -> str:
    """A word's letters with the spellings of one sound made one, across the languages of Europe."""
    sound = _letters(word)
    for spelling, one in _SPELLINGS.items():
        sound = spelling.sub(one, sound)
    return sound
