"""Sessions: kept, listed, and ended while they are live."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from kallglot.accounts.ports import Page
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


class SessionControl(Protocol):
    """The live side of sessions, as far as the REST API commands it."""

    async def end(self, session: Session, reason: EndReason) -> Session:
        """Ends the session, live or not, and returns it as stored. Ending an ended one returns it unchanged."""
        ...

    def end_soon(self, session: Session, reason: EndReason) -> None:
        """The same, for who cannot wait until what was said is transcribed."""
        ...

    def expect(self, session_id: str) -> None:
        """A session was made: its audio comes soon, and is reckoned with until then."""
        ...
