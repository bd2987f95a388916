"""Everything that can be said of a conversation without a model, in one go. Pure, and slow for a long call: see
:mod:`kallglot.analysis.reader`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from kallglot.analysis import words
from kallglot.analysis.compliance import compliance
from kallglot.analysis.keywords import keywords
from kallglot.analysis.model import Part
from kallglot.analysis.performance import performance
from kallglot.analysis.pieces import Pieces, cut
from kallglot.analysis.profiles import Rule
from kallglot.analysis.sentiment import sentiment
from kallglot.analysis.spoken import Conversation, reading_language
from kallglot.analysis.summary import summary

NAME: Final = "extractive"


class Order(msgspec.Struct, frozen=True):
    """``parts`` are made here; ``pieces`` says that the transcript is wanted as a model reads it."""

    conversation: Conversation
    parts: tuple[Part, ...]
    rules: tuple[Rule, ...] = ()
    pieces: bool = False


class Found(msgspec.Struct, frozen=True):
    parts: dict[str, Any]
    pieces: Pieces | None = None


def read(order: Order) -> Found:
    conversation = order.conversation
    parts = {part: _part(part, conversation, order.rules) for part in order.parts}
    return Found(parts, cut(conversation.turns) if order.pieces else None)


def _part(part: Part, conversation: Conversation, rules: Sequence[Rule]) -> Any:
    turns = conversation.turns
    if part == "performance":
        return performance(turns)
    if part == "compliance":
        return compliance(conversation, rules)
    if part == "sentiment":
        return sentiment(turns)
    language = reading_language(conversation, words.LANGUAGES)
    if part == "keywords":
        return [] if language is None else keywords(turns, language)
    return summary(turns, language)
