"""What a phrase recogniser is: it tells which phrase of a short list was said, or that none of them was.

For menus, in languages whose speech nothing here can write down. What comes of it is a choice and never a transcript:
who says something that is on no list is told to have said none of these.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from kallglot.speech.types import Failed, Restarted

MOST_PHRASES: Final = 200
"""In one list: more than any caller can choose from, and among more too much sounds alike."""
LONGEST_TEXT: Final = 200
LONGEST_ID: Final = 100
_DIGITS: Final = re.compile(r"[0-9*#]{1,16}", re.ASCII)


class PhraseError(ValueError):
    """A list of phrases that cannot be listened for; in words, naming the phrases."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """``id`` is what a choice names; several phrases of one id are several ways of saying the same.

    ``language`` is BCP 47: a list may mix languages. ``digits`` on the keypad (0-9, *, #) choose it as well.
    """

    id: str
    text: str
    language: str
    digits: str | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """``confidence`` from 0 to 1: how much more like the phrase than like anything else it was; 1 by the keypad.

    Times are milliseconds of the stream, from the first to the last moment of speech; one moment for the keypad.
    """

    phrase_id: str
    confidence: float
    start_ms: int
    end_ms: int
    by: Literal["voice", "keypad"] = "voice"


@dataclass(frozen=True, slots=True)
class NoneOfThese:
    """Something was said, or typed, and it is no phrase of the list."""

    start_ms: int
    end_ms: int
    by: Literal["voice", "keypad"] = "voice"


PhraseEvent = Chosen | NoneOfThese | Restarted | Failed


@dataclass(frozen=True, slots=True)
class PhraseList:
    """Phrases made ready to be listened for, by the recogniser that made it."""

    ids: tuple[str, ...]
    """Of each phrase, in the order in which they were given."""
    keypad: Mapping[str, str]
    """Digits → id."""
    sayings: tuple[str, ...]
    """The engine's own."""
    warnings: tuple[str, ...] = field(default=())
    """Phrases that will be hard to tell apart, or from other speech, in words."""


class PhraseStream(Protocol):
    """One caller's audio and keys on their way to a choice. No method blocks."""

    def push(self, pcm: bytes | memoryview) -> None:
        """Adds audio: 16-bit PCM of the stream's rate."""
        ...

    def press(self, key: str) -> None:
        """A key of the telephone: one of 0-9, * and #; others are passed over."""
        ...

    def skip(self, ms: int) -> None:
        """A gap in the media. What was being said ends there."""
        ...

    def finish(self) -> None:
        """The caller says and types no more for now."""
        ...

    async def drain(self) -> None:
        """Returns when the events of everything pushed so far were delivered."""
        ...

    async def close(self) -> None: ...


class PhraseRecognizer(Protocol):
    name: str

    def missing(self) -> str | None:
        """None where it can be started, else one sentence: what is missing and how to get it."""
        ...

    async def start(self) -> None:
        """Raises :class:`~kallglot.speech.types.EngineError`."""
        ...

    async def close(self) -> None: ...

    async def prepare(self, phrases: Sequence[Phrase]) -> PhraseList:
        """Raises :class:`PhraseError` for a list that cannot be listened for, ``EngineError`` where it failed."""
        ...

    async def open(
        self, phrases: PhraseList, sample_rate_hz: int, on_event: Callable[[PhraseEvent], None]
    ) -> PhraseStream:
        """``sample_rate_hz`` is 8000 or 16000; ``on_event`` is called on the event loop. Raises ``EngineError``."""
        ...


def check(phrases: Sequence[Phrase]) -> dict[str, str]:
    """The keypad of a list: digits and the id that they choose.

    Raises :class:`PhraseError` for an empty or too long list, a phrase without id or text, digits that are none or
    that choose two things.
    """
    if not phrases:
        raise PhraseError("expected at least one phrase, got an empty list")
    if len(phrases) > MOST_PHRASES:
        raise PhraseError(f"expected at most {MOST_PHRASES} phrases, got {len(phrases)}")
    keypad: dict[str, str] = {}
    for number, phrase in enumerate(phrases, 1):
        if not phrase.id or len(phrase.id) > LONGEST_ID:
            raise PhraseError(f"phrase {number}: expected an id of 1 to {LONGEST_ID} characters, got {len(phrase.id)}")
        if not phrase.text.strip() or len(phrase.text) > LONGEST_TEXT:
            length = len(phrase.text.strip())
            raise PhraseError(f"phrase {phrase.id!r}: expected a text of 1 to {LONGEST_TEXT} characters, got {length}")
        if phrase.digits is None:
            continue
        if not _DIGITS.fullmatch(phrase.digits):
            raise PhraseError(
                f"phrase {phrase.id!r}: expected 1 to 16 of 0-9, * and # as digits, got {phrase.digits!r}"
            )
        other = keypad.setdefault(phrase.digits, phrase.id)
        if other != phrase.id:
            raise PhraseError(f"phrases {other!r} and {phrase.id!r} have the same digits {phrase.digits}")
    return keypad
