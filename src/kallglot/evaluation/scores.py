"""Word errors, BLEU and chrF, and how a set of delays is spread. The libraries that count are an optional extra."""

from __future__ import annotations

import importlib
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kallglot.evaluation.words import normalise


class EvaluationError(Exception):
    """Nothing can be evaluated; in words."""


@dataclass(frozen=True, slots=True)
class WordErrors:
    """Of one recording, or added up over several."""

    words: int
    """Of the references."""
    wrong: int
    """Substituted, left out and put in."""

    @property
    def rate(self) -> float:
        return self.wrong / self.words if self.words else 0.0

    def __add__(self, other: WordErrors) -> WordErrors:
        return WordErrors(self.words + other.words, self.wrong + other.wrong)


@dataclass(frozen=True, slots=True)
class Spread:
    median: float
    p95: float
    most: float


def needed() -> None:
    """Raises :class:`EvaluationError` where a library that counts is not installed."""
    for library in ("jiwer", "sacrebleu"):
        _library(library)


def word_errors(reference: str, heard: str, language: str) -> WordErrors:
    """Both made comparable first. Raises :class:`EvaluationError` where jiwer is not installed."""
    said, got = normalise(reference, language), normalise(heard, language)
    if not said:
        return WordErrors(0, len(got.split()))
    found = _library("jiwer").process_words(said, got)
    return WordErrors(len(said.split()), found.substitutions + found.deletions + found.insertions)


def bleu(references: Sequence[str], translations: Sequence[str]) -> float:
    """0 to 100, with sacrebleu's defaults (Post 2018). Raises :class:`EvaluationError`."""
    return float(_library("sacrebleu").corpus_bleu(list(translations), [list(references)]).score)


def chrf(references: Sequence[str], translations: Sequence[str]) -> float:
    """0 to 100, with sacrebleu's defaults (Popović 2015). Raises :class:`EvaluationError`."""
    return float(_library("sacrebleu").corpus_chrf(list(translations), [list(references)]).score)


def sentence_chrf(reference: str, translation: str) -> float:
    """Of one sentence, to find the worst by."""
    return float(_library("sacrebleu").sentence_chrf(translation, [reference]).score)


def spread(values: Sequence[float]) -> Spread | None:
    """None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    p95 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    return Spread(statistics.median(ordered), p95, ordered[-1])


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise EvaluationError(f"{name} is not installed: pip install 'kallglot[eval]'") from None
