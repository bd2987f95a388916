"""What idempotency keys stand for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


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

    async def abandon(self, process: str) -> None:
        """Frees the keys of what was running in a process that was killed."""
        ...

    async def look(self, scope: IdempotencyScope) -> IdempotentAnswer | None: ...

    async def purge(self, before: datetime) -> int:
        """Deletes answers older than ``before``; how many."""
        ...
