"""Checking a conversation against a profile's rules: what has to be said, and what must not be. Needs no model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Final

from kallglot.analysis.profiles import EVERY_LANGUAGE, Rule, compiled
from kallglot.analysis.spoken import UNKNOWN, Conversation, Spoken
from kallglot.analysis.words import unaccented
from kallglot.session.redaction import luhn
from kallglot.speech.languages import base

MOST_FLAGS: Final = 100
"""Of one rule ten; what is more says nothing new."""
MOST_OF_ONE: Final = 10
LONGEST_TEXT: Final = 20_000


def compliance(conversation: Conversation, rules: Sequence[Rule]) -> dict[str, Any]:
    """``unchecked`` names the rules that nothing can be said of: nobody spoke to whom they apply, or in a language
    that they are written for."""
    flags: list[dict[str, Any]] = []
    unchecked: list[dict[str, Any]] = []
    for rule in rules:
        if rule.when == "recorded" and not conversation.recorded:
            continue
        turns = [turn for turn in conversation.turns if rule.speaker in ("any", turn.speaker)]
        readable = [turn for turn in turns if _texts(turn, rule)]
        if not readable:
            who = "nobody" if rule.speaker == "any" else f"the {rule.speaker}"
            spoke = f"{who} said {'anything' if rule.speaker == 'any' else 'nothing'}"
            why = f"the rule is not written for the languages spoken: {_languages(turns)}" if turns else spoke
            unchecked.append({"code": rule.code, "reason": why[0].upper() + why[1:] + "."})
        elif rule.kind == "required":
            heard = list(_in_time(conversation, turns, rule))
            if any(_matches(turn, rule) for turn in heard):
                continue
            unread = [turn for turn in heard if not _texts(turn, rule)]
            if unread:
                why = f"It may have been said in languages that the rule is not written for: {_languages(unread)}."
                unchecked.append({"code": rule.code, "reason": why})
            else:
                flags.append(_flag(rule, None))
        else:
            wrong = (turn for turn in readable if _matches(turn, rule))
            flags.extend(_flag(rule, turn) for turn in islice(wrong, MOST_OF_ONE))
    flags.sort(key=lambda flag: (flag["sequence"] is not None, flag["sequence"] or 0))
    return {"status": "flagged" if flags else "ok", "flags": flags[:MOST_FLAGS], "unchecked": unchecked}


def _in_time(conversation: Conversation, turns: Sequence[Spoken], rule: Rule) -> Iterable[Spoken]:
    begun = min(turn.start_ms for turn in conversation.turns)
    soon = turns if rule.within_turns is None else turns[: rule.within_turns]
    if rule.within_seconds is None:
        return soon
    return [turn for turn in soon if turn.start_ms - begun <= rule.within_seconds * 1000]


def _texts(turn: Spoken, rule: Rule) -> list[tuple[str, list[str]]]:
    """What the turn says in languages that the rule is written for, with the patterns for it. A forbidden word is
    looked for in what was really said, and in a translation only where the rule does not know the language."""
    found = [
        (version.text, patterns) for version in turn.versions if (patterns := _patterns(rule, base(version.language)))
    ]
    return found[:1] if rule.kind == "forbidden" else found


def _patterns(rule: Rule, language: str) -> list[str]:
    """All of them where nobody knows the language."""
    if language == UNKNOWN:
        return [pattern for some in rule.patterns.values() for pattern in some]
    return [*rule.patterns.get(EVERY_LANGUAGE, ()), *rule.patterns.get(language, ())]


def _matches(turn: Spoken, rule: Rule) -> bool:
    return any(
        _finds(pattern, unaccented(text[:LONGEST_TEXT]), rule)
        for text, patterns in _texts(turn, rule)
        for pattern in patterns
    )


def _finds(pattern: str, text: str, rule: Rule) -> bool:
    if not rule.luhn:
        return _compiled(pattern).search(text) is not None
    return any(luhn(re.sub("[^0-9]", "", found.group())) for found in _compiled(pattern).finditer(text))


_known: dict[str, Any] = {}


def _compiled(pattern: str) -> Any:
    if pattern not in _known:
        _known[pattern] = compiled(unaccented(pattern))
    return _known[pattern]


def _languages(turns: Iterable[Spoken]) -> str:
    return ", ".join(sorted({turn.language or "unknown" for turn in turns}))


def _flag(rule: Rule, turn: Spoken | None) -> dict[str, Any]:
    return {
        "code": rule.code,
        "message": rule.message,
        "turn_id": None if turn is None else turn.id,
        "sequence": None if turn is None else turn.sequence,
        "speaker": None if turn is None else turn.speaker,
        "start_ms": None if turn is None else turn.start_ms,
    }
