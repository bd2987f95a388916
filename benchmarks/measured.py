"""What is read off a call: words, delays, how much captions change their mind, and how far speech output is behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kallglot.evaluation.scores import WordErrors, bleu, chrf, spread, word_errors

Message = dict[str, Any]


@dataclass
class Measured:
    """Of one call or several together; seconds throughout."""

    words: list[tuple[str, str]] = field(default_factory=list)
    """Reference and what was recognised, clip by clip."""
    translations: list[tuple[str, str]] = field(default_factory=list)
    """Reference and translation, where there is a reference."""
    first_partial: list[float] = field(default_factory=list)
    final_after_end: list[float] = field(default_factory=list)
    audio_after_end: list[float] = field(default_factory=list)
    heard_after_end: list[float] = field(default_factory=list)
    """From the end of speech to the end of the translation at the listener."""
    playout: list[float] = field(default_factory=list)
    """From a translation being there to its listener hearing it."""
    lag_growth: list[float] = field(default_factory=list)
    """For each call: by how much the lag of translated speech grows in a minute."""
    erased: int = 0
    shown: int = 0
    missed: list[str] = field(default_factory=list)

    def add(self, other: Measured) -> None:
        for name in self.__dataclass_fields__:
            if isinstance(getattr(self, name), list):
                getattr(self, name).extend(getattr(other, name))
            else:
                setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def wer(self) -> float:
        return sum((word_errors(*pair, "en") for pair in self.words), WordErrors(0, 0)).rate

    @property
    def erasure(self) -> float:
        """Words taken back in captions, for each word of the final text (Arivazhagan et al. 2020)."""
        return self.erased / self.shown if self.shown else 0.0

    def described(self) -> dict[str, Any]:
        return {
            "clips": len(self.words),
            "wer": self.wer,
            "erasure": self.erasure,
            "missed": self.missed,
            "first_partial_s": of(self.first_partial),
            "final_after_end_s": of(self.final_after_end),
            "audio_after_end_s": of(self.audio_after_end),
            "heard_after_end_s": of(self.heard_after_end),
            "playout_s": of(self.playout),
            "lag_growth_s_per_minute": of(self.lag_growth),
            **({"translation": scores(self.translations)} if self.translations else {}),
        }


def of(values: Sequence[float]) -> dict[str, float] | None:
    found = spread(values)
    return {"median": found.median, "p95": found.p95, "max": found.most} if found else None


def scores(pairs: Sequence[tuple[str, str]]) -> dict[str, float]:
    """BLEU and chrF of translations against one reference each."""
    references, translations = [reference for reference, _ in pairs], [translation for _, translation in pairs]
    return {"sentences": len(pairs), "bleu": bleu(references, translations), "chrf": chrf(references, translations)}


def erasure(messages: Sequence[Message]) -> tuple[int, int]:
    """Words taken back between one caption of a turn and the next, its final included, and words of all finals."""
    showing: dict[str, list[str]] = {}
    erased = shown = 0
    for message in messages:
        if message["type"] not in ("transcript.partial", "transcript.final"):
            continue
        words = message["text"].split()
        before = showing.get(message["turn_id"], [])
        common = 0
        for one, other in zip(before, words, strict=False):
            if one != other:
                break
            common += 1
        erased += len(before) - common
        showing[message["turn_id"]] = words
        if message["type"] == "transcript.final":
            shown += len(words)
    return erased, shown


def growth(turns: Sequence[dict[str, Any]]) -> float | None:
    """Seconds a minute by which the lag of heard turns grows over a call (least squares); None for less than one."""
    heard = [turn for turn in turns if turn["heard_ms"] is not None]
    if not heard or heard[-1]["speech_end_ms"] - heard[0]["speech_end_ms"] < 60_000:
        return None
    minutes = np.array([turn["speech_end_ms"] / 60_000 for turn in heard])
    lag = np.array([(turn["heard_ms"] - turn["speech_end_ms"]) / 1000 for turn in heard])
    return float(np.polyfit(minutes, lag, 1)[0])
