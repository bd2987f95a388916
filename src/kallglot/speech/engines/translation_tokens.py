"""What a family of translation models wants to see around a text, and what is to be thought of its answer. Pure.

Opus-MT: https://opennmt.net/CTranslate2/guides/transformers.html#marianmt, M2M-100: …#m2m-100, MADLAD-400:
https://huggingface.co/google/madlad400-3b-mt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kallglot.speech.languages import base

END: Final = "</s>"
LONGEST_SOURCE: Final = 400
"""Tokens. The models were trained with sentences of at most 512."""
LONGEST_ANSWER: Final = 512
_LONGEST_LOOP: Final = 12
_TURNS: Final = 3
"""So many times the same in a row that is not so in the source is a model that has lost its way."""


@dataclass(frozen=True, slots=True)
class Prompt:
    source: list[str]
    target_prefix: list[str]
    """Also the first tokens of the answer."""


@dataclass(frozen=True, slots=True)
class Family:
    """``codes`` are the model's own names of languages by BCP 47, where they are others; ``end`` is whether the source
    has to end with the mark of the end, which is not added by CTranslate2 itself."""

    name: str
    end: bool
    codes: Mapping[str, str]
    target_tokens: Mapping[str, str]

    def prompt(self, tokens: Sequence[str], source: str, target: str) -> Prompt:
        end = [END] if self.end else []
        kept = list(tokens[:LONGEST_SOURCE])
        match self.name:
            case "madlad":
                return Prompt([f"<2{self._code(target)}>", *kept, *end], [])
            case "m2m100":
                return Prompt([f"__{self._code(source)}__", *kept, *end], [f"__{self._code(target)}__"])
            case _:
                wanted = self.target_tokens.get(target) or self.target_tokens.get(base(target))
                return Prompt([*([wanted] if wanted else []), *kept, *end], [])

    def _code(self, language: str) -> str:
        return self.codes.get(language) or self.codes.get(base(language)) or base(language)


def family_of(name: str, options: Mapping[str, Any], *, shared: bool, adds_end: bool) -> Family:
    """``shared``: one SentencePiece model for both sides, as Argos' packages have, whose models know no mark of the
    end; ``adds_end``: CTranslate2 adds it by the model's own configuration.

    Options: ``codes`` and ``target_tokens``, each by language, and ``source_end`` where the rule is wrong for a model.
    """
    usual = not (shared and name == "opus-mt")
    end = bool(options.get("source_end", usual)) and not adds_end
    return Family(name, end, dict(options.get("codes", {})), dict(options.get("target_tokens", {})))


def longest_answer(tokens: int) -> int:
    """How many tokens a translation of so many may have: languages differ by a factor of two or so."""
    return min(LONGEST_ANSWER, 3 * tokens + 16)


def answered(hypothesis: Sequence[str], prompt: Prompt) -> list[str]:
    """The words of an answer, without marks, and without what it repeats for ever."""
    prefix = len(prompt.target_prefix)
    words = list(hypothesis[prefix:] if list(hypothesis[:prefix]) == prompt.target_prefix else hypothesis)
    marks = {END, "<s>", "<pad>", "<unk>"}
    return unlooped([word for word in words if word not in marks], prompt.source)


def unlooped(tokens: Sequence[str], source: Sequence[str]) -> list[str]:
    """Without repetitions: what stands there more than three times in a row stands there once, unless the source
    itself repeats as much ("no no no no")."""
    allowed = max(_TURNS, _most_turns(source))
    kept: list[str] = []
    at = 0
    while at < len(tokens):
        for size in range(1, _LONGEST_LOOP + 1):
            turns = _turns(tokens, at, size)
            if turns > allowed:
                kept += tokens[at : at + size]
                at += turns * size
                break
        else:
            kept.append(tokens[at])
            at += 1
    return kept


def _most_turns(tokens: Sequence[str]) -> int:
    return max(
        (_turns(tokens, at, size) for size in range(1, _LONGEST_LOOP + 1) for at in range(len(tokens))), default=0
    )


def _turns(tokens: Sequence[str], at: int, size: int) -> int:
    """How many times in a row the ``size`` tokens from there stand there."""
    turns = 1
    unit = tokens[at : at + size]
    while len(unit) == size and tokens[at + turns * size : at + (turns + 1) * size] == unit:
        turns += 1
    return turns
