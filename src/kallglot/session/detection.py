"""Which language a participant speaks, decided on what was heard, with hysteresis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kallglot.session.routes import same_language
from kallglot.speech.types import Detection

SURE: Final = 0.6
ENOUGH: Final = 2.0
"""Weight (confidence by words) from which a language is taken for a participant who named none: three sure words."""
MOST_WORDS: Final = 8
CHANGE_UTTERANCES: Final = 2
CHANGE_WEIGHT: Final = 6.0
"""A language once known changes only after this much of another, with nothing of its own in between."""
UNDETECTED_AFTER: Final = 3


@dataclass(frozen=True, slots=True)
class Learned:
    """The participant's language is ``language`` from now on."""

    language: str
    before: str | None
    confidence: float


@dataclass(frozen=True, slots=True)
class Doubt:
    """They named one language and speak another, it seems."""

    declared: str
    heard: str


@dataclass(frozen=True, slots=True)
class Undetected:
    """So many utterances, and still no telling."""

    utterances: int


class LanguageTracker:
    """Begins with the language that is known. One that the participant named, ``declared``, is never changed by what
    is heard."""

    def __init__(self, language: str | None, *, declared: bool = True) -> None:
        self.language = language
        self._declared = declared and language is not None
        self._weights: dict[str, float] = {}
        self._undetected = 0
        self._other: str | None = None
        self._other_weight = 0.0
        self._other_utterances = 0

    def declare(self, language: str) -> None:
        self.__init__(language)

    def heard(self, detection: Detection | None, words: int) -> Learned | Doubt | Undetected | None:
        """One utterance of so many words, and what it was detected as."""
        sure = detection is not None and detection.confidence >= SURE
        if self.language is None:
            return self._first(detection if sure else None, words)
        if not sure or detection is None:
            return None
        if same_language(detection.language, self.language):
            self._other, self._other_weight, self._other_utterances = None, 0.0, 0
            return None
        return self._another(self.language, detection, words)

    def _first(self, detection: Detection | None, words: int) -> Learned | Undetected | None:
        if detection is None:
            self._undetected += 1
            return Undetected(self._undetected) if self._undetected % UNDETECTED_AFTER == 0 else None
        language = detection.language
        weight = self._weights.get(language, 0.0) + detection.confidence * min(words, MOST_WORDS)
        self._weights[language] = weight
        rivals = max((other for name, other in self._weights.items() if name != language), default=0.0)
        if weight < ENOUGH or weight < 2 * rivals:
            return None
        self.language = language
        return Learned(language, None, detection.confidence)

    def _another(self, known: str, detection: Detection, words: int) -> Learned | Doubt | None:
        if self._other is None or not same_language(self._other, detection.language):
            self._other, self._other_weight, self._other_utterances = detection.language, 0.0, 0
        self._other_weight += detection.confidence * min(words, MOST_WORDS)
        self._other_utterances += 1
        if self._other_utterances < CHANGE_UTTERANCES or self._other_weight < CHANGE_WEIGHT:
            return None
        self._other_weight, self._other_utterances = 0.0, 0
        if self._declared:
            return Doubt(known, detection.language)
        self.language = detection.language
        return Learned(detection.language, known, detection.confidence)
