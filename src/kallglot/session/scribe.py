"""Writes turns down, one after the other, and tells of each when it is durable and not before."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from itertools import chain, repeat
from typing import Final

from kallglot.clock import Clock
from kallglot.session import events
from kallglot.session.interpreter import Utterance
from kallglot.session.model import Participant, Translation, Turn
from kallglot.session.ports import SessionJournal, Unstorable
from kallglot.session.redaction import Redaction
from kallglot.session.timings import Timings, TurnTimes
from kallglot.session.uses import TurnUses
from kallglot.speech.used import Meter

log = logging.getLogger(__name__)

RETRY_SECONDS: Final = (0.05, 0.2, 0.5, 1.0, 2.0, 4.0)


class Scribe:
    """``ready`` is awaited before each turn: the session's start is stored before what was said in it. What
    ``redaction`` masks is neither stored nor told."""

    def __init__(
        self,
        session_id: str,
        written: int,
        journal: SessionJournal,
        clock: Clock,
        *,
        now_ms: Callable[[], float],
        ready: Callable[[], Awaitable[None]],
        emit: Callable[[events.SessionEvent], None],
        warn: Callable[[str, str], None],
        timings: Timings,
        uses: TurnUses,
        redaction: Redaction,
    ) -> None:
        self._session_id = session_id
        self._next = written + 1
        self._journal = journal
        self._clock = clock
        self._now_ms = now_ms
        self._ready = ready
        self._emit = emit
        self._warn = warn
        self._timings = timings
        self._uses = uses
        self._redaction = redaction
        self._lock = asyncio.Lock()

    async def write(
        self,
        speaker: Callable[[], Participant],
        utterance: Utterance,
        translations: tuple[Translation, ...],
        speeches: int,
        meter: Meter,
    ) -> Turn:
        """A store that is away is waited for. Raises :class:`Unstorable`."""
        participant = speaker()
        translated_ms = round(self._now_ms()) if translations else None
        async with self._lock:
            await self._ready()
            said = Turn(
                id=utterance.turn_id,
                session_id=self._session_id,
                sequence=self._next,
                participant_id=participant.id,
                speaker=participant.role,
                language=utterance.language,
                text=utterance.text,
                start_ms=utterance.start_ms,
                end_ms=utterance.end_ms,
                created_at=self._clock.now(),
                confidence=utterance.confidence,
                translations=translations,
                engines=meter.uses(),
            )
            turn = await self._redaction.turn(said)
            await self._persist(turn)
            self._next += 1
            self._emit(events.TranscriptFinal(participant, turn))
        times = TurnTimes(
            turn.id,
            self._session_id,
            turn.start_ms,
            turn.end_ms,
            utterance.committed_ms,
            utterance.first_partial_ms,
            translated_ms,
            round(self._now_ms()),
        )
        self._timings.committed(times, speeches)
        self._uses.stored(turn.id, meter, turn.engines, speeches)
        return turn

    async def _persist(self, turn: Turn) -> None:
        for delay in chain(RETRY_SECONDS, repeat(RETRY_SECONDS[-1])):
            try:
                await self._journal.add_turn(turn)
                return
            except Unstorable:
                raise
            except Exception:
                log.exception("turn %s could not be stored", turn.id)
                self._warn("transcript_delayed", "The transcript cannot be stored at the moment; trying again.")
                await asyncio.sleep(delay)
