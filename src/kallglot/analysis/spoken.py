"""A conversation as analyses read it: what was said when, and in which language it can be read best."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec

from kallglot.speech.languages import base

UNKNOWN: Final = "und"


class Version(msgspec.Struct, frozen=True):
    """A translation, as turns keep it."""

    language: str
    text: str


class Spoken(msgspec.Struct, frozen=True):
    """A turn, of which the rest is of no interest here. Times count from the session's first audio."""

    id: str
    sequence: int
    participant_id: str
    speaker: str
    language: str | None
    text: str
    start_ms: int
    end_ms: int
    translations: tuple[Version, ...] = ()

    @property
    def versions(self) -> tuple[Version, ...]:
        """The original first."""
        return (Version(self.language or UNKNOWN, self.text), *self.translations)

    def read_in(self, languages: Sequence[str] | Collection[str]) -> Version | None:
        """The first version in one of ``languages`` (base tags), those earlier in a sequence first; None where there is
        none."""
        found: dict[str, Version] = {}
        for version in self.versions:
            found.setdefault(base(version.language), version)
        return next((found[language] for language in languages if language in found), None)

    def heard_in(self, languages: Collection[str]) -> Version | None:
        """The original where its language is one of these, else the first translation that is."""
        return next((one for one in self.versions if base(one.language) in languages), None)


class Conversation(msgspec.Struct, frozen=True):
    """``languages`` are those that the roles are known to speak."""

    turns: tuple[Spoken, ...]
    languages: Mapping[str, str] = {}
    recorded: bool = False


def reading_language(conversation: Conversation, known: Collection[str]) -> str | None:
    """The one of ``known`` in which most of the conversation can be read; the agent's where several are alike. None
    where no word of it can be read."""
    readable: Counter[str] = Counter()
    for turn in conversation.turns:
        for language in {base(version.language) for version in turn.versions if version.text.strip()}:
            if language in known:
                readable[language] += len(turn.text)
    if not readable:
        return None
    agents = base(conversation.languages.get("agent", UNKNOWN))
    return max(sorted(readable), key=lambda language: (readable[language], language == agents))
