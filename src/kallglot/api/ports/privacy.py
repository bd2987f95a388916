"""What of a session can be taken away, and what is taken out."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol


class PrivacyRepository(Protocol):
    async def lock(self, session_id: str) -> str | None:
        """The status of a session that stays as it is until the transaction ends; None where there is none."""
        ...

    async def recorded(self, session_id: str) -> bool:
        """Whether there is a recording, or going to be."""
        ...

    async def delete_session(self, session_id: str, now: datetime) -> None:
        """With everything that tells of it but the ledgers and the audit log; its files are left as work."""
        ...

    async def analyses(self, session_id: str) -> list[dict[str, Any]]:
        """Oldest first."""
        ...
