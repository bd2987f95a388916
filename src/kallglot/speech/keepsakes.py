"""What has to be in a translation as it was in its source: addresses, numbers, codes and names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

Span = tuple[int, int]

_EMAIL: Final = r"(?<![\w.+%-])[\w.+%-]+@\w[\w-]*(?:\.\w[\w-]*)+"
_URL: Final = r"(?<![\w+%-])(?:https?://|www\.)[^\s<>\"]*[\w/]"
_SITE: Final = (
    r"(?<![\w@.+%-])(?:[\w-]{1,63}\.){1,4}(?:com|org|net|info|io|eu|de|at|ch|es|mx|fr|it|uk)"
    r"(?:/[^\s<>\"]*[\w/])?(?![\w-]|\.\w)"
)
_ADDRESS: Final = re.compile(f"{_EMAIL}|{_URL}|{_SITE}", re.IGNORECASE)

_PHONE: Final = r"\+\d+(?:(?:[ ./–-]|\s?\(|\)\s?)\d+)+|\(\d{2,5}\) ?\d+(?:[ –-]\d+)*|\d{2,}(?: \d{2,}){2,}"
_WHOLE: Final = r"(?!\d|[.,:/'’]\d)"
_AMOUNT: Final = r"\d{1,3}(?:[ \u00a0\u202f]\d{3})+(?:[.,]\d+)?(?![\d:/'’])|\d+(?:[.,:/'’–-]\d+)*"
_SIGN: Final = "[€$£¥%‰°ºª]"
_NUMBER: Final = re.compile(
    rf"(?<![^\W_])(?<!\d[.,:'’])(?:{_SIGN}\s?)?(?:(?:{_PHONE}){_WHOLE}|{_AMOUNT})(?:\s?{_SIGN}|[a-zäöüß]{{1,3}}(?![^\W_]))?"
)
_TOKEN: Final = re.compile(r"[^\W_]+(?:[-/._][^\W_]+)*")
_COUNTED: Final = re.compile(r"\d+(?:[a-zäöüß]{1,3}|[ºª])")
"""A number with an ordinal ending or a unit, as in 3rd and 5kg: no code."""
_SERIES: Final = re.compile(r"(?<!\w)(?!(?:USD|EUR|GBP|CHF|MXN|JPY) )[A-Z]{2,3} \d{2,}(?![\w.,:]\w|\w)")

_MY_NAME: Final = (
    r"my (?:full |last |first )?name is|the name is|my name's|mein name ist|ich hei(?:ß|ss)e|mi nombre es|me llamo|soy"
    r"|habla|je m['’]appelle|mon nom est|mi chiamo|il mio nome è|(?:o )?meu nome é"
)
_TITLE: Final = (
    r"(?:Mrs?|Ms|Miss|Dra?|Prof|Herrn?|Frau|[Ss]eñor(?:a|ita)?|[Ss]r(?:a|ta)?|[Dd]oña"
    r"|Madame|Monsieur|Mme|[Ss]ignora?)\.?"
)
_CUE: Final = re.compile(rf"(?<!\w)(?:(?i:{_MY_NAME})|{_TITLE})\s+")
_HERE: Final = re.compile(r"(?<!\w)(?i:this is|it's|hier ist|hier spricht|aquí)\s+")
_SPEAKING: Final = re.compile(r"\s+(?:speaking|calling|from|here|with|am Apparat|von|de|al habla)(?!\w)")
_NAME: Final = re.compile(r"(?!\d)\w+(?:['’.-](?!s(?!\w))\w+)*")
_PARTICLES: Final = frozenset("de del la las los da di do dos du le von van der den zu y e bin al".split())
_NO_NAMES: Final = frozenset("I I'm I’m I'd I’d I've I’ve Ich Sie Ihr Ihre Wir Er Es Das Die Der Und Yo Je".split())
_MOST_NAMES: Final = 3
_MOST_DIGITS: Final = 40
"""Longer numbers are nobody's, and would take long to look for."""


def keepsakes(text: str, names: Sequence[str] = ()) -> list[str]:
    """The pieces of the text that must survive its translation, in order, as often as they occur."""
    return [text[start:end] for start, end in spans(text, names)]


def spans(text: str, names: Sequence[str] = ()) -> list[Span]:
    """Where the keepsakes of a text are, in order and without overlaps."""
    found: list[Span] = []
    taken = bytearray(len(text))
    for kind in (_addresses(text), _introduced(text), _listed(text, names), _codes(text), _numbers(text)):
        for start, end in kind:
            if not any(taken[start:end]):
                taken[start:end] = b"\1" * (end - start)
                found.append((start, end))
    # What would not even be found where it is could never be said to have survived.
    lost = set(missing([text[start:end] for start, end in found], text))
    return sorted((start, end) for start, end in found if text[start:end] not in lost)


def missing(kept: Sequence[str], translation: str) -> list[str]:
    """The pieces that are not in the translation, or not as often as they are kept.

    Numbers are the same when their digits are, whatever stands between these; case does not matter.
    """
    lost: list[str] = []
    left: dict[str, int] = {}
    for piece in kept:
        pattern = _pattern(piece)
        if pattern not in left:
            left[pattern] = sum(1 for _ in re.finditer(pattern, translation, re.IGNORECASE))
        left[pattern] -= 1
        if pattern and left[pattern] < 0:
            lost.append(piece)
    return lost


def _pattern(piece: str) -> str:
    if _ADDRESS.fullmatch(piece):
        return rf"(?<![\w+%-]){re.escape(piece)}(?!\w|\.\w)"
    if _NUMBER.fullmatch(piece):
        if sum(map(str.isdigit, piece)) > _MOST_DIGITS:
            return ""
        digits = r"[\s.,:/'’()–-]{0,3}".join(re.findall(r"\d", piece))
        return rf"(?<!\d)(?<!\d[.,:'’]){digits}(?!\d|[.,:'’]\d)"
    words = r"[\W_]{0,3}".join(re.findall(r"[^\W_]+", piece))
    return rf"(?<![^\W_]){words}(?:['’]?s)?(?![^\W_])" if words else ""


def _addresses(text: str) -> Iterator[Span]:
    return (found.span() for found in _ADDRESS.finditer(text))


def _numbers(text: str) -> Iterator[Span]:
    found = (one.span() for one in _NUMBER.finditer(text))
    return ((start, end) for start, end in found if end - start <= 2 * _MOST_DIGITS)


def _listed(text: str, names: Iterable[str]) -> Iterator[Span]:
    for name in sorted({name.strip() for name in names if re.search(r"[^\W\d_]", name)}, key=len, reverse=True):
        # A short name may be a common word, such as Mark, unless it is written as the name.
        flags = re.IGNORECASE if len(name) > 4 else re.NOFLAG
        yield from (found.span() for found in re.finditer(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])", text, flags))


def _codes(text: str) -> list[Span]:
    codes = [found.span() for found in _TOKEN.finditer(text) if _is_code(found.group())]
    if not text.isupper():
        codes += [found.span() for found in _SERIES.finditer(text)]
    joined: list[Span] = []
    for start, end in sorted(codes):
        first, last = joined[-1] if joined else (0, 0)
        # "4F7 K2" is one code read out in parts.
        spelled = text[last:start] == " " and end - start <= 4 and last - text.rfind(" ", 0, last) <= 5
        if joined and (start < last or spelled):
            joined[-1] = first, max(end, last)
        else:
            joined.append((start, end))
    return joined


def _is_code(token: str) -> bool:
    if not any(map(str.isdigit, token)) or not any(map(str.isalpha, token)):
        return False
    runs = re.split("[-/._]", token)
    mixed = any(not run.isalpha() and not run.isdecimal() and not _COUNTED.fullmatch(run) for run in runs)
    return mixed or any(run.isalpha() and run.isupper() for run in runs) or (runs[0].isalpha() and len(runs[0]) < 3)


def _introduced(text: str) -> Iterator[Span]:
    """Names behind what introduces one: a title, or "my name is"."""
    for cue in _CUE.finditer(text):
        if end := _name_end(text, cue.end()):
            yield cue.end(), end
    for cue in _HERE.finditer(text):
        end = _name_end(text, cue.end())
        if end and _SPEAKING.match(text, end):
            yield cue.end(), end


def _name_end(text: str, start: int) -> int:
    """Where the one to three capitalised words at ``start`` end, particles between them not counted; 0 for none."""
    end, at, count = 0, start, 0
    while count < _MOST_NAMES and (word := _NAME.match(text, at)):
        if word.group()[0].isupper() and word.group() not in _NO_NAMES:
            end, count = word.end(), count + 1
        elif not count or word.group() not in _PARTICLES:
            break
        at = word.end() + 1
        if text[word.end() : at] != " ":
            break
    return end
