"""What an evaluation found, by engine and language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from kallglot.evaluation.lines import Line
from kallglot.evaluation.listening import Heard
from kallglot.evaluation.scores import Spread, WordErrors, spread

One = TypeVar("One")


@dataclass(frozen=True, slots=True)
class RecordingResult:
    name: str
    reference: str
    heard: Heard
    errors: WordErrors


@dataclass(slots=True)
class Recognised:
    """A recogniser on the recordings of a language over one line. ``timed`` were heard once more, in real time."""

    engine: str
    language: str
    line: Line
    recordings: list[RecordingResult] = field(default_factory=list[RecordingResult])
    timed: list[Heard] = field(default_factory=list[Heard])

    @property
    def answered(self) -> list[RecordingResult]:
        return [one for one in self.recordings if one.heard.trouble is None]

    @property
    def errors(self) -> WordErrors:
        """Of the recordings that the engine answered."""
        return sum((one.errors for one in self.answered), WordErrors(0, 0))

    @property
    def seconds(self) -> float:
        return sum(one.heard.seconds for one in self.answered)

    @property
    def real_time_factor(self) -> float | None:
        """Seconds of work for a second of audio, one stream, finals only; None where all went in real time."""
        worked = [one.heard for one in self.answered if one.heard.work_s is not None]
        seconds = sum(heard.seconds for heard in worked)
        return sum(heard.work_s or 0.0 for heard in worked) / seconds if seconds else None

    @property
    def _in_real_time(self) -> list[Heard]:
        return [*self.timed, *(one.heard for one in self.answered if one.heard.work_s is None)]

    @property
    def first_partial(self) -> Spread | None:
        return spread([one.first_partial_s for one in self._in_real_time if one.first_partial_s is not None])

    @property
    def final(self) -> Spread | None:
        return spread([one.final_s for one in self._in_real_time if one.final_s is not None])

    def worst(self, most: int) -> list[RecordingResult]:
        """Those with most wrong in relation to what was said; those without any answer first."""
        wrong = [one for one in self.recordings if one.errors.wrong or one.heard.trouble]
        return sorted(wrong, key=lambda one: (one.heard.trouble is None, -one.errors.rate, one.name))[:most]

    def described(self) -> dict[str, Any]:
        return {
            "engine": self.engine,
            "language": self.language,
            "line": self.line,
            "recordings": len(self.recordings),
            "failed": len(self.recordings) - len(self.answered),
            "seconds": self.seconds,
            "words": self.errors.words,
            "wrong": self.errors.wrong,
            "wer": self.errors.rate if self.errors.words else None,
            "real_time_factor": self.real_time_factor,
            "first_partial_s": _spread(self.first_partial),
            "final_after_end_s": _spread(self.final),
            "restarts": sum(one.heard.restarts for one in self.recordings),
            "files": [
                {
                    "name": one.name,
                    "reference": one.reference,
                    "heard": one.heard.text,
                    "words": one.errors.words,
                    "wrong": one.errors.wrong,
                    "trouble": one.heard.trouble,
                }
                for one in self.recordings
            ],
        }


@dataclass(frozen=True, slots=True)
class SentenceResult:
    source: str
    reference: str
    translation: str
    seconds: float
    chrf: float
    trouble: str | None = None


@dataclass(slots=True)
class Translated:
    """A translator on a text. Sentences that it failed at count as translated by nothing."""

    engine: str
    text: str
    source: str
    target: str
    sentences: list[SentenceResult] = field(default_factory=list[SentenceResult])
    bleu: float = 0.0
    chrf: float = 0.0

    @property
    def failed(self) -> int:
        return sum(1 for one in self.sentences if one.trouble is not None)

    @property
    def delay(self) -> Spread | None:
        return spread([one.seconds for one in self.sentences if one.trouble is None])

    def worst(self, most: int) -> list[SentenceResult]:
        return sorted(self.sentences, key=lambda one: one.chrf)[:most]

    def described(self) -> dict[str, Any]:
        return {
            "engine": self.engine,
            "text": self.text,
            "source": self.source,
            "target": self.target,
            "sentences": len(self.sentences),
            "failed": self.failed,
            "bleu": self.bleu,
            "chrf": self.chrf,
            "delay_s": _spread(self.delay),
            "lines": [asdict(one) for one in self.sentences],
        }


@dataclass(slots=True)
class Report:
    recognised: list[Recognised] = field(default_factory=list[Recognised])
    translated: list[Translated] = field(default_factory=list[Translated])
    left_out: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """What was not evaluated, and why."""

    @property
    def empty(self) -> bool:
        """No engine answered anything."""
        heard = any(one.answered for one in self.recognised)
        return not heard and not any(one.failed < len(one.sentences) for one in self.translated)

    def described(self) -> dict[str, Any]:
        return {
            "version": 1,
            "recognition": [one.described() for one in self.recognised],
            "translation": [one.described() for one in self.translated],
            "left_out": [{"what": what, "why": why} for what, why in self.left_out],
        }


def _spread(found: Spread | None) -> dict[str, float] | None:
    return {"median": found.median, "p95": found.p95, "max": found.most} if found else None


def spaced(values: Sequence[One], most: int) -> list[One]:
    """At most so many of them, from everywhere in them."""
    if len(values) <= most:
        return list(values)
    return [values[number * len(values) // most] for number in range(most)]
