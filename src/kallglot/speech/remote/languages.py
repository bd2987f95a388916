"""Which languages a remote engine serves, as configured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from kallglot.speech.languages import base, match


def served(configured: Sequence[str], vendors: Sequence[str]) -> tuple[str, ...]:
    """What is configured, whether or not the vendor's list has it: lists age; else the vendor's."""
    return tuple(configured) or tuple(vendors)


@lru_cache(maxsize=64)
def pairs_of(languages: tuple[str, ...]) -> frozenset[tuple[str, str]]:
    """Every language with every other. Asked for every turn; a vendor has thirty languages and a thousand pairs."""
    return frozenset((a, b) for a in languages for b in languages if base(a) != base(b))


def by_language(table: Mapping[str, str], language: str) -> str | None:
    """The entry for a language: of its tag, else of its base language."""
    key = match(language, table)
    return table[key] if key is not None else None
