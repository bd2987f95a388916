"""A text cut into what an engine is asked for at once: sentences for a translator, clauses for a voice. Pure."""

from __future__ import annotations

import re
from typing import Final

from kallglot.speech.sentences import split

Pieces = list[tuple[str, str]]
"""Each with the white space that follows it; joined they are the text."""

_SENTENCE_END: Final = re.compile(r"[.!?…]+[\"'»“”’)\]]*(?=\s+\S)|[。！？]+[」』”]*")
_BEFORE: Final = re.compile(r"([^\s\"'«»“”„(\[]*)[.]$")
_ABBREVIATIONS: Final = frozenset(
    (
        *("dr", "prof", "mr", "mrs", "ms", "st", "jr", "sr", "inc", "ltd", "co", "vs", "etc", "no", "approx", "dept"),
        *("fr", "hr", "hrn", "nr", "str", "bzw", "ca", "evtl", "ggf", "inkl", "usw", "tel", "abs", "vgl", "mio", "mrd"),
        *("sra", "srta", "ud", "uds", "av", "avda", "núm", "pág", "mme", "mlle", "env", "sig", "dott", "ing"),
    )
)
_LONG_START: Final = 80
_CLAUSE_END: Final = re.compile(r"[,;:–—]+(?=\s)|[，；：、]+")
_SPACE: Final = re.compile(r"\s*")
_LETTER: Final = re.compile(r"[^\W\d_]")


def speaks(piece: str) -> bool:
    """Whether there are words in it: figures and marks alone are the same in every language."""
    return _LETTER.search(piece) is not None


def sentences(text: str, limit: int) -> Pieces:
    """Each sentence, cut further where it is longer than ``limit`` characters.

    A full stop behind an abbreviation, an initial or a number, or before a small letter, ends none.
    """
    pieces: Pieces = []
    start = 0
    for found in _SENTENCE_END.finditer(text):
        end = found.end()
        if found.group()[0] in ".…" and not _ends(text[start:end], text[end:].lstrip()[:1]):
            continue
        space = _SPACE.match(text, end)
        after = space.end() if space else end
        pieces += _cut(text[start:end], text[end:after], limit)
        start = after
    if start < len(text):
        rest = text[start:]
        pieces += _cut(rest.rstrip(), rest[len(rest.rstrip()) :], limit)
    return pieces


def spoken(text: str, limit: int) -> Pieces:
    """Sentences of at most ``limit`` characters, a long first one cut at its first clause, so that something is to be
    heard soon."""
    pieces = sentences(text, limit)
    if not pieces or len(pieces[0][0]) <= _LONG_START:
        return pieces
    first, space = pieces[0]
    for found in _CLAUSE_END.finditer(first):
        if 20 <= found.end() <= len(first) - 20:
            between = _SPACE.match(first, found.end())
            after = between.end() if between else found.end()
            return [(first[: found.end()], first[found.end() : after]), (first[after:], space), *pieces[1:]]
    return pieces


def _ends(sentence: str, following: str) -> bool:
    if following.islower():
        return False
    word = _BEFORE.search(sentence)
    if word is None:
        return True
    bare = word[1].lower()
    dotted = "." in bare and not bare[0].isdecimal()
    initial = len(bare) == 1 and bare.isalpha()
    date = bare.isdecimal() and len(bare) <= 2
    return not (bare in _ABBREVIATIONS or dotted or initial or date)


def _cut(piece: str, space: str, limit: int) -> Pieces:
    parts = split(piece, limit) or [("", "")]
    last, _ = parts[-1]
    return [*parts[:-1], (last, space)]
