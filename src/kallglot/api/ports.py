"""What the API needs to keep and to command, declared by its user; ``store`` keeps, ``app.py`` hands it in."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from kallglot.accounts.model import PhoneNumber
from kallglot.accounts.ports import ApiKeyRepository, OrganizationRepository, Page
from kallglot.recording.model import Recording
from kallglot.session.model import EndReason, Session, Turn
from kallglot.session.timings import TurnTimes


@dataclass(frozen=True, slots=True)
class SessionFilter:
    organization_id: str
    livemode: bool
    status: str | None = None
    mode: str | None = None
    metadata: Mapping[str, str] | None = None
    created_after: datetime | None = None
    """Strictly after."""
    created_before: datetime | None = None
    """Strictly before."""


class SessionRepository(Protocol):
    async def add(self, session: Session) -> None: ...

    async def get(self, session_id: str, organization_id: str, livemode: bool) -> Session | None:
        """None too where the session is another organisation's, or of the other mode."""
        ...

    async def list(self, where: SessionFilter, page: Page) -> tuple[list[Session], bool]: ...

    async def set_metadata(self, session_id: str, metadata: Mapping[str, str] | None) -> None: ...

    async def count_live(self, organization_id: str, livemode: bool) -> int:
        """Sessions that have not ended."""
        ...


class TurnRepository(Protocol):
    async def list(self, session_id: str) -> list[Turn]:
        """In sequence order."""
        ...

    async def timings(self, session_id: str) -> list[TurnTimes]:
        """Of the turns that were heard or had nobody to hear them, in sequence order."""
        ...


class RecordingRepository(Protocol):
    async def list(self, session_id: str, page: Page) -> tuple[list[Recording], bool]: ...

    async def get(self, recording_id: str, organization_id: str, livemode: bool) -> Recording | None:
        """None too where it is another organisation's, or of the other mode, or deleted."""
        ...


class PhoneNumberRepository(Protocol):
    async def add(self, number: PhoneNumber) -> None: ...

    async def owned(self, organization_id: str, number: str) -> PhoneNumber | None:
        """The organisation's own active number, else None."""
        ...


@dataclass(frozen=True, slots=True)
class IdempotencyScope:
    organization_id: str
    livemode: bool
    method: str
    path: str
    key: str


@dataclass(frozen=True, slots=True)
class IdempotentAnswer:
    """What a key already stands for. ``body`` is None while the first request is still running."""

    fingerprint: str
    status: int | None
    body: bytes | None


class IdempotencyRepository(Protocol):
    async def claim(
        self, scope: IdempotencyScope, fingerprint: str, owner: str, now: datetime, lease_until: datetime
    ) -> IdempotentAnswer | None:
        """None: the key is ours, until ``lease_until``. Else what the key stands for already.

        A finished answer older than 24 hours, or a running one whose lease is over, is taken over."""
        ...

    async def complete(self, scope: IdempotencyScope, owner: str, status: int, body: bytes, now: datetime) -> bool:
        """Stores the answer; False when the lease was lost to another owner, who now owns the key."""
        ...

    async def release(self, scope: IdempotencyScope, owner: str) -> None:
        """Nothing happened: the key is free again."""
        ...

    async def look(self, scope: IdempotencyScope) -> IdempotentAnswer | None: ...

    async def purge(self, before: datetime) -> int:
        """Deletes answers older than ``before``; how many."""
        ...


class UnitOfWork(Protocol):
    """One transaction and the repositories that work inside it."""

    @property
    def organizations(self) -> OrganizationRepository: ...
    @property
    def api_keys(self) -> ApiKeyRepository: ...
    @property
    def sessions(self) -> SessionRepository: ...
    @property
    def turns(self) -> TurnRepository: ...
    @property
    def recordings(self) -> RecordingRepository: ...
    @property
    def phone_numbers(self) -> PhoneNumberRepository: ...
    @property
    def idempotency(self) -> IdempotencyRepository: ...


class Store(Protocol):
    def read(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """A consistent view; nothing written in it is kept."""
        ...

    def write(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """Commits when the block ends, rolls back when it raises. On SQLite writers queue here."""
        ...

    async def ping(self) -> None:
        """Raises when the database cannot be reached."""
        ...


class SessionControl(Protocol):
    """The live side of sessions, as far as the REST API commands it."""

    async def end(self, session: Session, reason: EndReason) -> Session:
        """Ends the session, live or not, and returns it as stored. Ending an ended one returns it unchanged."""
        ...


class Recordings(Protocol):
    """The files behind recordings."""

    async def audio(self, recording: Recording, format: str) -> Path:
        """A file to be read only. Raises ``ShelfError`` and ``RenderFailed``."""
        ...

    async def delete(self, recording: Recording) -> None:
        """It is gone for everybody when this returns."""
        ...


__all__ = [
    "ApiKeyRepository",
    "IdempotencyRepository",
    "IdempotencyScope",
    "IdempotentAnswer",
    "OrganizationRepository",
    "Page",
    "PhoneNumberRepository",
    "RecordingRepository",
    "Recordings",
    "SessionControl",
    "SessionFilter",
    "SessionRepository",
    "Store",
    "TurnRepository",
    "UnitOfWork",
]
