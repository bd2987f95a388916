"""Orders: which engines are asked for a language, by name, in which order.

``{"recognition": {"de": ["deepgram", "local"], "*": ["local"]}, "translation": {"de>en": ["deepl"]}}``: the form is the
same in the operator's file, in an organisation's policy and in a session. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

from kallglot.speech.languages import base

Orders = Mapping[str, Mapping[str, Sequence[str]]]
ChosenKind = Literal["recognition", "translation", "synthesis"]

KINDS: Final[tuple[ChosenKind, ...]] = ("recognition", "translation", "synthesis")
LOCAL: Final = "local"
"""Stands for the engines of this machine: installed models, then what is embedded."""
ANY: Final = "*"
MOST_NAMES: Final = 16
MOST_MET: Final = 400
"""Keys that are made where the orders of two meet."""
_TAG: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,4}")


def wrong_key(kind: str, key: str) -> str | None:
    """What is wrong with a key of an order; None where nothing is."""
    if key == ANY:
        return None
    parts = key.split(">") if kind == "translation" else [key]
    if kind == "translation" and len(parts) != 2:
        return f'expected two languages like "de>en", or "{ANY}", got "{key[:40]}"'
    if all(_TAG.fullmatch(part) or (part == ANY and kind == "translation") for part in parts):
        return None
    expected = '"de>en", "de>*"' if kind == "translation" else '"de" or "en-US"'
    return f'expected languages like {expected}, or "{ANY}", got "{key[:40]}"'


def wanted(orders: Orders | None, kind: ChosenKind, *languages: str | None) -> Sequence[str] | None:
    """The order for a language, or for a pair of them; None where none is given.

    The same tag goes before its base language, and that before ``*``; of a pair, the source before the target.
    """
    given = (orders or {}).get(kind)
    if not given:
        return None
    known = {key.lower(): names for key, names in given.items()}
    for key in _keys(languages):
        if key in known:
            return known[key]
    return None


def over(first: Orders | None, second: Orders | None) -> dict[str, dict[str, list[str]]] | None:
    """Both as one, where ``first`` says what holds: what ``second`` says of a language that ``first`` has an order for
    is left out. A pair that both mean, as ``*>en`` and ``de>*`` do, gets a key of its own; what ``second`` says is left
    out too where that would need too many of them. None where neither says anything."""
    merged: dict[str, dict[str, list[str]]] = {}
    for kind in KINDS:
        mine = {key: list(names) for key, names in ((first or {}).get(kind) or {}).items()}
        theirs = ((second or {}).get(kind) or {}).items()
        rest = {key: list(names) for key, names in theirs if wanted(first, kind, *key.split(">")) is None}
        for key in list(rest):
            met = {both for own in mine if (both := _met(own, key)) is not None and both not in mine}
            if len(rest) + len(met) > MOST_MET:
                del rest[key]
                continue
            rest |= {both: list(wanted(first, kind, *both.split(">")) or ()) for both in sorted(met)}
        if mine or rest:
            merged[kind] = {**rest, **mine}
    return merged or None


def _met(one: str, other: str) -> str | None:
    """The key of what two keys of pairs both mean; None where that is nothing, or no pairs."""
    if ">" not in one or ">" not in other:
        return None
    sides = [_narrower(*both) for both in zip(one.split(">"), other.split(">"), strict=True)]
    return None if None in sides else f"{sides[0]}>{sides[1]}"


def _narrower(one: str, other: str) -> str | None:
    for narrow, wide in ((one, other), (other, one)):
        if wide.lower() in _options(narrow):
            return narrow
    return None


def without(orders: Orders, gone: Callable[[ChosenKind, str], bool]) -> dict[str, dict[str, list[str]]]:
    """Without the names that are ``gone``, where an order has others; an order of nothing else stays as it is: what it
    kept from being asked is not to be asked in its place."""
    return {
        kind: {key: [name for name in some if not gone(kind, name)] or list(some) for key, some in orders[kind].items()}
        for kind in KINDS
        if orders.get(kind)
    }


def names(orders: Orders | None) -> list[tuple[ChosenKind, str, int, str]]:
    """Every name in them: kind, key, position, name."""
    return [
        (kind, key, at, name)
        for kind in KINDS
        for key, some in ((orders or {}).get(kind) or {}).items()
        for at, name in enumerate(some)
    ]


def _keys(languages: Sequence[str | None]) -> list[str]:
    options = [_options(language) for language in languages]
    if len(options) < 2:
        return options[0]
    pairs = [f"{source}>{target}" for source in options[0] for target in options[1]]
    return [*pairs, ANY]


def _options(language: str | None) -> list[str]:
    if language is None or language == ANY:
        return [ANY]
    return list(dict.fromkeys((language.replace("_", "-").lower(), base(language), ANY)))
