"""The participants of one live session as they are now, and who of them hears whom how."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from kallglot.session.model import Participant, Session
from kallglot.session.ports import SessionJournal
from kallglot.session.presence import persistently
from kallglot.session.routes import Plan, plan


class Cast:
    def __init__(
        self, session: Session, journal: SessionJournal, spawn: Callable[[Coroutine[Any, Any, None], str], object]
    ) -> None:
        self._session = session
        self._journal = journal
        self._spawn = spawn
        self._participants = {participant.id: participant for participant in session.participants}
        self._plans: dict[tuple[str, str | None], Plan] = {}
        self._keeping = asyncio.Lock()

    def __getitem__(self, participant_id: str) -> Participant:
        return self._participants[participant_id]

    def get(self, participant_id: str | None) -> Participant | None:
        return None if participant_id is None else self._participants.get(participant_id)

    @property
    def everybody(self) -> Sequence[Participant]:
        return tuple(self._participants.values())

    def find(self, name: str) -> Participant | None:
        """A participant by id or, the first of it, by role."""
        by_id = self._participants.get(name)
        return by_id or next((found for found in self._participants.values() if found.role == name), None)

    def change(self, participant: Participant) -> None:
        """What is planned is planned anew, and the journal gets to know."""
        self._participants[participant.id] = participant
        self._plans.clear()
        self._spawn(self._keep(), "participants")

    def plan(self, participant_id: str, language: str | None = None) -> Plan:
        """The routes from a participant, for what they said in ``language`` where that is not theirs any more."""
        known = self._plans.get((participant_id, language))
        if known is None:
            speaker = self._participants[participant_id]
            if language is not None:
                speaker = replace(speaker, language=language)
            original_audio = self._session.translation.get("original_audio", "mute")
            known = plan(self._session.mode, speaker, self.everybody, original_audio)
            self._plans[participant_id, language] = known
        return known

    async def _keep(self) -> None:
        async with self._keeping:
            await persistently(
                lambda: self._journal.participants(self._session.id, tuple(self.everybody)),
                f"session {self._session.id}: a participant could not be stored",
            )
