"""Who is hearing whom, and when: what the playback of one live session says about its turns and its speakers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

from kallglot.session import events
from kallglot.session.floor import Floor
from kallglot.session.model import Participant
from kallglot.session.ports import SessionJournal
from kallglot.session.timings import Timings, TurnTimes

log = logging.getLogger(__name__)

KEEP_EVERY_SECONDS: Final = 1.0
MOST_DUE: Final = 512
"""Turns kept for a store that is away."""

PlaybackEvent = events.PlaybackStarted | events.PlaybackFinished | events.PlaybackCleared


class Playback:
    """``session_ms`` brings a monotonic millisecond to the session's time; ``observe`` gets each turn that is over."""

    def __init__(
        self,
        session_id: str,
        journal: SessionJournal,
        *,
        session_ms: Callable[[float], float],
        participant: Callable[[str], Participant],
        emit: Callable[[events.SessionEvent], None],
        observe: Callable[[TurnTimes], None],
    ) -> None:
        self.timings = Timings()
        self._session_id = session_id
        self._journal = journal
        self._session_ms = session_ms
        self._participant = participant
        self._emit = emit
        self._observe = observe
        self._floor = Floor()
        self._kept_at = 0.0
        self._due: list[TurnTimes] = []

    def speaking(self, participant_id: str, speaking: bool) -> None:
        self._tell_floor(self._floor.speaks(participant_id, speaking))

    def begun(self, speaker_id: str, turn_id: str, listener: Participant, language: str) -> None:
        self.timings.begin(turn_id, listener.id, listener.role, language)
        self._tell_floor(self._floor.begin(speaker_id, turn_id, listener.id))

    def note(self, listener_id: str, event: PlaybackEvent) -> None:
        match event:
            case events.PlaybackStarted():
                self.timings.note(event.turn_id, listener_id, first_audio_ms=round(self._session_ms(event.at_ms)))
            case events.PlaybackFinished():
                self.timings.note(event.turn_id, listener_id, heard_ms=round(self._session_ms(event.at_ms)))
                self._tell_floor(self._floor.end(event.turn_id, listener_id))
            case events.PlaybackCleared():
                self.timings.note(event.turn_id, listener_id, cleared=True)
                self._tell_floor(self._floor.end(event.turn_id, listener_id))

    def done(self, now: float) -> bool:
        """Whether turns are over that :meth:`keep` is to store; at most once a second."""
        if now - self._kept_at < KEEP_EVERY_SECONDS:
            return False
        self._kept_at = now
        self._over(self.timings.done())
        return bool(self._due)

    def end(self) -> None:
        """The session is being let go of: what is not over is no longer waited for."""
        self._over(self.timings.rest())

    async def keep(self) -> None:
        due, self._due = self._due, []
        try:
            if due:
                await self._journal.add_timings(due)
        except Exception:
            log.exception("session %s: when turns were heard could not be stored", self._session_id)
            self._due = [*due, *self._due][-MOST_DUE:]

    def _over(self, times: Sequence[TurnTimes]) -> None:
        for one in times:
            self._observe(one)
        self._due.extend(times)

    def _tell_floor(self, changed: Sequence[str]) -> None:
        for speaker_id in changed:
            roles = tuple(sorted({self._participant(one).role for one in self._floor.listeners(speaker_id)}))
            self._emit(events.FloorChanged(self._participant(speaker_id), self._floor.taken(speaker_id), roles))
