"""What retention needs of the store, declared by its user."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from kallglot.accounts.model import Organization


class Expiry(Protocol):
    """Every call is a short transaction of its own, and may be made by several processes at once."""

    async def organizations(self) -> list[Organization]: ...

    async def expire_transcripts(self, organization_id: str, ended_before: datetime, now: datetime, most: int) -> int:
        """Takes away what was said in so many sessions at most, and everything that tells of it; of how many."""
        ...

    async def expire_events(self, organization_id: str, before: datetime, most: int) -> int:
        """Deletes so many events at most, with their deliveries, except where one is still to be delivered; how
        many."""
        ...

    async def forget_removals(self, before: datetime) -> int:
        """Of sessions that were deleted before then, every machine has taken the files away."""
        ...
