"""A transcript as a language model reads it, in pieces that fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from kallglot.analysis.spoken import Spoken
from kallglot.texts import cleaned

PIECE_CHARACTERS: Final = 24_000
MOST_PIECES: Final = 24
"""More than ten hours of talking; of a longer transcript the middle is left out."""
LONGEST_TURN: Final = 4_000


class Pieces(msgspec.Struct, frozen=True):
    texts: tuple[str, ...]
    left_out: int = 0
    """Characters."""


def cut(turns: Sequence[Spoken]) -> Pieces:
    """A line a turn: when, who, in which language, and what; the translation where there is one."""
    pieces: list[list[str]] = [[]]
    size = 0
    for turn in turns:
        line = _line(turn)
        if size + len(line) > PIECE_CHARACTERS and pieces[-1]:
            pieces.append([])
            size = 0
        pieces[-1].append(line)
        size += len(line) + 1
    texts = tuple("\n".join(piece) for piece in pieces if piece)
    if len(texts) <= MOST_PIECES:
        return Pieces(texts)
    half = MOST_PIECES // 2
    return Pieces((*texts[:half], *texts[-half:]), sum(len(text) for text in texts[half:-half]))


def _line(turn: Spoken) -> str:
    minutes, second = divmod(turn.start_ms // 1000, 60)
    language = f" ({turn.language})" if turn.language else ""
    line = f"[{minutes}:{second:02d}] {turn.speaker}{language}: {_flat(turn.text)}"
    if turn.translations:
        first = turn.translations[0]
        line += f" = {first.language}: {_flat(first.text)}"
    return line


def _flat(text: str) -> str:
    return " ".join(cleaned(text[:LONGEST_TURN]).split())
