"""What recording needs to have kept, declared by its user."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from kallglot.recording.model import Recording
from kallglot.session.model import Session


class RecordingLedger(Protocol):
    async def begin(self, some: Sequence[Recording]) -> None:
        """Adds them, unless the session has recordings already: it has come back to life."""
        ...

    async def of_session(self, session_id: str) -> list[Recording]:
        """In the order in which they were made; deleted ones are not among them."""
        ...

    async def unfinished(self) -> list[Session]:
        """Sessions that have ended and whose recordings are still being processed."""
        ...

    async def update(self, recording: Recording) -> bool:
        """False where it is not there any more: its session was deleted."""
        ...

    async def unshelved(self, recording_id: str) -> None:
        """Its files are gone; whatever else became of it meanwhile stays."""
        ...

    async def overdue(self, now: datetime, limit: int = 100) -> list[Recording]:
        """Those whose files have to go: expired with files on the shelf, or deleted."""
        ...

    async def stored(self, some_ids: Sequence[str]) -> set[str]:
        """Which of these have files on the shelf and are not deleted."""
        ...

    async def remove(self, recording_id: str) -> None: ...

    async def kept_days(self, organization_id: str) -> float | None:
        """For how long the organisation wants recordings kept; None where it says nothing."""
        ...

    async def removals(self, now: datetime, limit: int = 100) -> list[str]:
        """Ids of recordings of deleted sessions, whose files have to go."""
        ...

    async def removed(self, recording_id: str, now: datetime) -> None:
        """Their files are gone. They come up once more, hours after the deletion."""
        ...

    async def erased(self, session_id: str) -> bool:
        """Whether the session was deleted, so that nothing of it may stay."""
        ...
