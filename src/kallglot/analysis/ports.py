"""What analysing needs of others, declared by its user."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from kallglot.analysis.model import Analysis, Part
from kallglot.analysis.pieces import Pieces
from kallglot.analysis.profiles import Profile


@dataclass(frozen=True, slots=True)
class Claimed:
    """An analysis that this process makes now, for the ``attempt``-th time."""

    analysis: Analysis
    attempt: int


class Queue(Protocol):
    """The analyses that are being made or to be made; every call is a transaction of its own."""

    async def claim(
        self, owner: str, now: datetime, until: datetime, limit: int, besides: Collection[str]
    ) -> list[Claimed]:
        """The oldest that nobody makes, kept from others until ``until``. What ``owner`` had claimed before a crash is
        taken again; ``besides`` are those that it makes already."""
        ...

    async def prolong(self, ids: Collection[str], owner: str, until: datetime) -> set[str]:
        """Those that are still ``owner``'s."""
        ...

    async def conversation(self, session_id: str) -> Mapping[str, Any] | None:
        """As :class:`kallglot.analysis.spoken.Conversation` reads it; None where the session is gone."""
        ...

    async def complete(self, analysis_id: str, owner: str, result: Mapping[str, Any], now: datetime) -> bool:
        """With the event that tells of it. False, and nothing is written, where it is not ``owner``'s any more."""
        ...

    async def fail(self, analysis_id: str, owner: str, error: str, now: datetime) -> bool:
        """As :meth:`complete`; what it cost is given back."""
        ...

    async def postpone(self, analysis_id: str, owner: str, until: datetime) -> None:
        """Nobody makes it before then."""
        ...

    async def give_up(self, owner: str, ids: Collection[str]) -> None:
        """They were begun, and are free for anybody as if they had not been."""
        ...

    async def waiting(self) -> int:
        """Being made or to be made."""
        ...


class EngineFailed(Exception):
    """In words for the customer: it would fail again."""


class EngineAway(Exception):
    """In words for the customer: later it may go well. ``after_s`` where the engine said when."""

    def __init__(self, words: str, after_s: float | None = None) -> None:
        super().__init__(words)
        self.after_s = after_s


class Engine(Protocol):
    """Who makes the parts that need understanding."""

    @property
    def name(self) -> str:
        """As customers see it."""
        ...

    async def understand(
        self, pieces: Pieces, parts: Collection[Part], profile: Profile, language: str | None
    ) -> Mapping[str, Any]:
        """These parts, written in ``language`` where one is given. Raises :class:`EngineFailed` and
        :class:`EngineAway`."""
        ...

    async def close(self) -> None: ...
