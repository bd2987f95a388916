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

    async def update(self, recording: Recording) -> None: ...

    async def overdue(self, now: datetime, limit: int = 100) -> list[Recording]:
        """Those whose files have to go: expired with files on the shelf, or deleted."""
        ...

    async def stored(self, some_ids: Sequence[str]) -> set[str]:
        """Which of these have files on the shelf and are not deleted."""
        ...

    async def remove(self, recording_id: str) -> None: ...
