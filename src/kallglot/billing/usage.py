"""What was used, added up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Final

from kallglot.session.model import Turn
from kallglot.speech.used import EngineUse

GROUPS: Final = ("day", "mode", "api_key")
LONGEST_DAYS: Final = 366
MOST_ROWS: Final = 10_000


@dataclass(frozen=True, slots=True)
class UsageFilter:
    """``start`` inclusive, ``end`` exclusive."""

    organization_id: str
    livemode: bool
    start: datetime
    end: datetime
    group_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """``day`` is ``2026-03-26``, in UTC. None where it is not grouped by, or where there is none: a session that a call
    made has no key."""

    day: str | None = None
    mode: str | None = None
    api_key_id: str | None = None


@dataclass(frozen=True, slots=True)
class Used:
    """Whole milliseconds, so that sums are exact. ``credits`` is what was taken less what was given back."""

    sessions: int = 0
    session_ms: int = 0
    translation_ms: int = 0
    ai_agent_ms: int = 0
    credits: int = 0

    def __add__(self, other: Used) -> Used:
        return Used(
            self.sessions + other.sessions,
            self.session_ms + other.session_ms,
            self.translation_ms + other.translation_ms,
            self.ai_agent_ms + other.ai_agent_ms,
            self.credits + other.credits,
        )


@dataclass(frozen=True, slots=True)
class EngineGroup:
    """What one engine did of one kind, in the sessions of a group."""

    group: Group
    kind: str
    engine: str
    sessions: int = 0
    audio_ms: int = 0
    characters: int = 0


def used_by(turns: Iterable[Turn], besides: Iterable[EngineUse] = ()) -> dict[tuple[str, str], tuple[int, int]]:
    """Kind and engine → milliseconds of audio and characters, of a session's turns and ``besides`` them."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for use in chain(chain.from_iterable(turn.engines for turn in turns), besides):
        ms, characters = found.get((use.kind, use.engine), (0, 0))
        found[use.kind, use.engine] = ms + use.audio_ms, characters + use.characters
    return found


def added_up(lines: Iterable[tuple[Group, Used]]) -> list[tuple[Group, Used]]:
    """One for each group, in the order of day, mode and key."""
    found: dict[Group, Used] = {}
    for group, used in lines:
        found[group] = found.get(group, Used()) + used
    return sorted(found.items(), key=lambda one: (one[0].day or "", one[0].mode or "", one[0].api_key_id or ""))
