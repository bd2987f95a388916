"""Recordings, and the files behind them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from kallglot.accounts.ports import Page
from kallglot.recording.model import Recording


class RecordingRepository(Protocol):
    async def list(self, session_id: str, page: Page) -> tuple[list[Recording], bool]: ...

    async def get(self, recording_id: str, organization_id: str, livemode: bool) -> Recording | None:
        """None too where it is another organisation's, or of the other mode, or deleted."""
        ...


class Recordings(Protocol):
    """The files behind recordings."""

    async def audio(self, recording: Recording, format: str) -> Path:
        """A file to be read only. Raises ``ShelfError`` and ``RenderFailed``."""
        ...

    async def delete(self, recording: Recording) -> None:
        """It is gone for everybody when this returns."""
        ...

    def look(self) -> None:
        """There is something to be taken away."""
        ...
