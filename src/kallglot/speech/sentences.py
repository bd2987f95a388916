"""Cutting long text where an engine is least hurt by it."""

from __future__ import annotations

import re
from typing import Final

_LINE_BREAK: Final = re.compile(r"(\s*[\n\r\v\f\x85\u2028\u2029]+\s*)")
_SENTENCE_END: Final = re.compile(r"[.!?…]+[\"'»”’)\]]*(?=\s)|[。！？]+")
_SPACE: Final = re.compile(r"\s+")


def split(text: str, limit: int) -> list[tuple[str, str]]:
    """Pieces of at most ``limit`` characters, each with the white space that follows it; joined they are the text.

    A line break always ends a piece. A line that fits is one piece, however many sentences it has; a longer one is
    cut behind a sentence, else between words, else anywhere.
    """
    if limit < 1:
        raise ValueError(f"expected a limit of at least 1 character, got {limit}")
    pieces: list[tuple[str, str]] = []
    parts = _LINE_BREAK.split(text)
    for line, line_break in zip(parts[::2], [*parts[1::2], ""], strict=True):
        rest = line
        while len(rest) > limit:
            cut = _cut(rest, limit)
            space = _SPACE.match(rest, cut)
            pieces.append((rest[:cut], space.group() if space else ""))
            rest = rest[space.end() if space else cut :]
        if rest or line_break:
            pieces.append((rest, line_break))
    return pieces


def _cut(line: str, limit: int) -> int:
    # One character more than the limit, so that what follows a sentence end at the limit is seen.
    head = line[: limit + 1]
    ends = [found.end() for found in _SENTENCE_END.finditer(head) if found.end() <= limit]
    if ends:
        return ends[-1]
    spaces = [found.start() for found in _SPACE.finditer(head) if 0 < found.start() <= limit]
    return spaces[-1] if spaces else limit
