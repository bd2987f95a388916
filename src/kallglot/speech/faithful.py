"""Translation that keeps what must survive it and says glossary terms as they were agreed."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Final

from kallglot.speech.keepsakes import missing, spans
from kallglot.speech.languages import base
from kallglot.speech.types import Hints, Translator

log = logging.getLogger(__name__)

Glossary = Sequence[tuple[str, str]]

_NO_HINTS: Final = Hints()
_CONSONANTS: Final = "bcdfghjklmnp"
_JOINT: Final = r"[\s_.-]?"


class FaithfulTranslator:
    """A translator around another: glossary terms become the glossary's, and keepsakes arrive, if need be in brackets.

    Words that no dictionary knows stand in for both on the way through the inner translator, the latter only where it
    lost them otherwise. It is asked once as a rule and three times at most, within ``timeout_s`` in all.
    """

    def __init__(
        self, inner: Translator, glossary: Glossary = (), names: Sequence[str] = (), *, timeout_s: float = 5.0
    ) -> None:
        self._timeout_s = timeout_s
        self.name = inner.name
        self._inner = inner
        self._glossary = tuple(glossary)
        self._names = tuple(names)

    async def warm(self, source: str, target: str) -> None:
        await self._inner.warm(source, target)

    async def translate(self, text: str, source: str, target: str, hints: Hints = _NO_HINTS) -> str:
        """As the inner translator; what fails after its first answer only costs what it was to improve.

        Raises ``TimeoutError`` where there is no first answer in time.
        """
        glossary = tuple(dict.fromkeys((*hints.glossary, *self._glossary)))
        hints = replace(hints, glossary=glossary)
        until = asyncio.get_running_loop().time() + self._timeout_s

        async def ask(covers: Sequence[_Cover]) -> tuple[str, list[_Cover]]:
            covered = _Covered(text, covers)
            async with asyncio.timeout_at(until):
                return covered.show(await self._inner.translate(covered.text, source, target, hints))

        terms = _terms(text, base(source), glossary)
        kept = [span for span in spans(text, self._names) if not any(term.meets(*span) for term in terms)]
        pieces = [text[start:end] for start, end in kept]
        answer, lost = await ask(terms)
        asked = 1
        try:
            while lost:
                terms = [term for term in terms if term not in lost] if asked == 1 else []
                answer, lost = await ask(terms)
                asked += 1
            gone = missing(pieces, answer)
            if gone and asked < 3:
                hidden = [_Cover(*span, piece) for span, piece in zip(kept, pieces, strict=True) if piece in gone]
                again, damaged = await ask([*terms, *hidden])
                if not damaged and not missing(pieces, again):
                    return again
        except Exception as error:
            what = type(error).__name__
            log.info("%s failed at another attempt for the sake of terms and names: %s", self.name, what)
        pieces_lost = [term.shown for term in lost] + missing(pieces, answer)
        return f"{answer.rstrip()} ({', '.join(pieces_lost)})".lstrip() if pieces_lost else answer


@dataclass(frozen=True, slots=True)
class _Cover:
    """A part of a text, and what is to be in its place in the translation."""

    start: int
    end: int
    shown: str
    term: bool = False

    def meets(self, start: int, end: int) -> bool:
        return start < self.end and self.start < end


class _Covered:
    """A text with stand-ins over parts of it."""

    def __init__(self, text: str, covers: Iterable[_Cover]) -> None:
        self._covers: dict[str, _Cover] = {}
        covers = sorted(covers, key=lambda cover: cover.start)
        self._stem, stand_ins = _stand_ins(text + "".join(cover.shown for cover in covers))
        parts: list[str] = []
        at = 0
        for cover, stand_in in zip(covers, stand_ins, strict=False):
            self._covers[stand_in] = cover
            parts += text[at : cover.start], stand_in
            at = cover.end
        self.text = "".join(parts) + text[at:]
        self._capital = next((letter.isupper() for letter in text if letter.isalpha()), False)

    def show(self, answer: str) -> tuple[str, list[_Cover]]:
        """The translation with everything shown again, and what was lost on the way; no stand-in is left in it."""
        if not self._covers:
            return answer, []
        seen: set[str] = set()

        def show(found: re.Match[str]) -> str:
            stand_in = _bare(found.group())
            seen.add(stand_in)
            cover = self._covers[stand_in]
            before = answer[: found.start()].rstrip(" ¿¡«“\"'(")
            begins = self._capital and (not before or before[-1] in ".!?…")
            return cover.shown[:1].upper() + cover.shown[1:] if cover.term and begins and _plain(cover) else cover.shown

        pattern = "|".join(_JOINT.join(stand_in) for stand_in in self._covers)
        shown = re.sub(pattern, show, answer, flags=re.IGNORECASE)
        lost = [cover for stand_in, cover in self._covers.items() if stand_in not in seen]
        if any(self._stem in _bare(word) for word in shown.split()):
            lost = lost or list(self._covers.values())
        return (self._swept(shown) if lost else shown), lost

    def _swept(self, shown: str) -> str:
        """Without the words that look like what became of a stand-in."""
        words = re.findall(r"\s*\S+", shown)
        return "".join(word for word in words if not any(self._resembles(_bare(word), name) for name in self._covers))

    def _resembles(self, word: str, stand_in: str) -> bool:
        return self._stem in word or SequenceMatcher(None, word, stand_in, False).ratio() > 0.7


def _plain(cover: _Cover) -> bool:
    """Whether a term may be capitalised: iPhone may not."""
    return cover.shown.split()[0].islower()


def _bare(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).casefold()


def _stand_ins(avoid: str) -> tuple[str, Iterator[str]]:
    """The beginning of words that are in no language and not in ``avoid``, and such words, each of six letters.

    Apertium takes them for unknown nouns, with any article and beside any punctuation, both ways between English and
    Spanish.
    """
    avoid = _bare(avoid)
    stems = ("".join(letters) for size in (3, 4) for letters in itertools.permutations("zqvxjwkbcdfghlmnprst", size))
    stem = next(stem for stem in stems if stem not in avoid)
    return stem, (f"{stem}{one}{other}k" for one, other in itertools.product(_CONSONANTS, repeat=2))


def _terms(text: str, language: str, glossary: Glossary) -> list[_Cover]:
    """The glossary's terms in a text, the longest first, but none in an address or in somebody's name."""
    covers: list[_Cover] = []
    protected = spans(text)
    for term, shown in sorted(glossary, key=lambda entry: -len(entry[0])):
        if not re.search(r"\w", term) or not shown.strip():
            continue
        for found in _pattern(term.strip(), language).finditer(text):
            start, end = found.span()
            own = any(start < after and first < end and end - start <= after - first for first, after in protected)
            if not own and not any(cover.meets(start, end) for cover in covers):
                covers.append(_Cover(start, end, shown.strip(), term=True))
    return covers


@lru_cache(1024)
def _pattern(term: str, language: str) -> re.Pattern[str]:
    words = r"[\s-]+".join(_inflected(word, language) for word in re.split(r"[\s-]+", term) if word)
    before, after = r"(?<![\w-])" if re.match(r"\w", term) else "", r"(?!\w|-\w)" if re.search(r"\w$", term) else ""
    return re.compile(f"{before}{words}{after}", re.IGNORECASE)


_ENDINGS: Final = {
    "en": (("([^aeiou])y", r"\1(?:y|ies)"), ("([^sui])s", r"\1s?"), ("(.)", r"\1(?:s|es)?")),
    "es": (
        *(("z", "(?:z|ces)"), ("ón", "(?:ón|ones)"), ("ones", "(?:ones|ón)")),
        *(("([^aeiou])es", r"\1(?:es)?"), ("([aeiou])s", r"\1s?"), ("(.)", r"\1(?:s|es)?")),
    ),
    "de": (("en", "(?:en)?"), ("e", "e?[nsmr]?"), ("(.)", r"\1(?:e?s|e?n|er?n?|nen)?")),
}
"""For each language how a word may end and, for the first that fits, which endings are the same to it."""


def _inflected(word: str, language: str) -> str:
    if not word.isalpha() or len(word) < 3:
        return re.escape(word)
    for ending, same in _ENDINGS.get(language, _ENDINGS["en"][1:]):
        if re.search(f"{ending}$", word, re.IGNORECASE):
            word = re.sub(f"{ending}$", same, word, flags=re.IGNORECASE)
            break
    if language == "de":
        for vowel, umlaut in ("aä", "oö", "uü"):
            word = re.sub(vowel, f"[{vowel}{umlaut}]", word, flags=re.IGNORECASE)
    return word
