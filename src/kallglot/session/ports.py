"""What a live session needs from the outside, declared by its user."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from kallglot.session.model import EndReason, Participant, Session, Turn, Usage
from kallglot.session.timings import TurnTimes
from kallglot.speech.types import LanguageDetector, Recognizer, Synthesizer, Translator
from kallglot.speech.used import EngineUse


class Unstorable(Exception):
    """No store will ever take this, however often it is tried."""


class SessionJournal(Protocol):
    """Where a session's history is kept. A method returns when what it was given is durable."""

    async def load(self, session_id: str) -> Session | None: ...

    async def turns(self, session_id: str) -> list[Turn]:
        """In sequence order."""
        ...

    async def add_turn(self, turn: Turn) -> None:
        """Appends a turn. Turns given at about the same time are committed together.

        The same id again changes nothing, so that a caller may repeat after an unclear failure. Raises
        :class:`Unstorable`."""
        ...

    async def add_uses(self, uses: Mapping[str, tuple[EngineUse, ...]]) -> None:
        """What engines did for turns, by turn: in place of what was kept of it."""
        ...

    async def add_timings(self, times: Sequence[TurnTimes]) -> None:
        """Keeps when turns were spoken and heard; a turn given again takes the place of what was kept."""
        ...

    async def connecting(self, session_id: str) -> None:
        """A leg is attaching: ``created`` becomes ``connecting``, and the deadline is lifted."""
        ...

    async def started(self, session_id: str, at: datetime) -> None:
        """First audio: the status becomes ``active``, ``started_at`` is set if it was not."""
        ...

    async def waiting(self, session_id: str, deadline: datetime) -> None:
        """The last leg is gone; the session ends at ``deadline`` unless one comes back."""
        ...

    async def participants(self, session_id: str, participants: Sequence[Participant]) -> None:
        """As they are by now: their languages, and who is muted."""
        ...

    async def ending(self, session_id: str) -> None: ...

    async def ended(
        self, session_id: str, at: datetime, reason: EndReason, usage: Usage, besides: Sequence[EngineUse] = ()
    ) -> Session | None:
        """Ends the session if it has not ended; the stored session either way, None if there is none. ``besides``:
        what engines did that no turn tells of."""
        ...

    async def overdue(self, now: datetime, limit: int = 100) -> list[Session]:
        """Sessions that have not ended and whose deadline has passed, oldest deadline first."""
        ...

    async def orphaned(self, deadline: datetime) -> int:
        """At start-up: gives every live session without a deadline this one; how many there were.

        A process that was killed leaves sessions that nobody waits for."""
        ...


class Tape(Protocol):
    """What one live session's recording is written to. No method blocks or raises; times are the session's."""

    def said(self, participant: Participant, at_ms: float, pcm: bytes, sample_rate_hz: int) -> None:
        """A participant's own voice."""
        ...

    def heard(self, participant: Participant, at_ms: float, pcm: bytes, sample_rate_hz: int) -> None:
        """What a participant heard, mixed."""
        ...

    def said_until_ms(self, participant: Participant) -> float:
        """Where an earlier life of the session left off with what the participant said; 0 where there was none."""
        ...

    async def close(self) -> None:
        """Everything taken is on disk when this returns."""
        ...


class Recorder(Protocol):
    async def begin(self, session: Session, warn: Callable[[str], None]) -> Tape | None:
        """A tape for a session that has just come to life, which may have been recorded before; None where none is
        wanted or possible. ``warn`` is told, in a sentence, when something cannot be recorded any more."""
        ...

    async def finish(self, session: Session) -> None:
        """The session has ended, live here or not; what was recorded is made ready."""
        ...


class Engines(Protocol):
    """The engines that serve a language; None where none does."""

    def recognizer(self, language: str | None) -> Recognizer | None: ...

    def translator(self, source: str, target: str) -> Translator | None: ...

    def translation_chosen(self, source: str, target: str) -> bool:
        """Whether anybody has said who translates this, so that nobody else may."""
        ...

    def synthesizer(self, language: str) -> Synthesizer | None: ...

    def detector(self) -> LanguageDetector | None: ...
