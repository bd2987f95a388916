"""What the courier needs of the world: a store of deliveries, and a way to their receivers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from kallglot.outbox import Event
from kallglot.webhooks.http1 import Answer
from kallglot.webhooks.model import Attempt, DeliveryStatus, DisabledReason, Endpoint, Secrets
from kallglot.webhooks.schedule import Health


@dataclass(frozen=True, slots=True)
class Candidate:
    """An endpoint for which something is due."""

    endpoint_id: str
    organization_id: str
    failures: int


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint as it is now, and what is signed with."""

    endpoint: Endpoint
    secrets: Secrets


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that is to be attempted; ``attempts`` were before."""

    sequence: int
    id: str
    endpoint_id: str
    event_id: str
    attempts: int
    log: Sequence[Attempt]


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of an attempt at ``url``. ``health`` is the endpoint's after it, None where it stays as it was.
    ``otherwise_at``: where it is to be disabled and is not, for it has another address by now, the delivery is pending
    and comes again then."""

    due: Due
    url: str
    attempt: Attempt
    status: DeliveryStatus
    next_attempt_at: datetime | None
    health: Health | None
    disable: DisabledReason | None
    otherwise_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Backlog:
    pending: int = 0
    oldest_due_at: datetime | None = None
    resting: int = 0


class Deliveries(Protocol):
    """Endpoints are leased, to one runner at a time."""

    async def candidates(self, runner: str, now: datetime, limit: int) -> list[Candidate]:
        """Those that another runner has leased, that rest or are disabled left out; organisations by turns, of each
        who waits longest first. At most ``limit`` of those that fail and as many of those that don't."""
        ...

    async def lease(self, endpoint_ids: Collection[str], runner: str, now: datetime, until: datetime) -> set[str]:
        """Takes or prolongs leases; the endpoints that are ours until then."""
        ...

    async def release(self, runner: str, endpoint_ids: Collection[str] | None = None) -> None:
        """None: all that it has."""
        ...

    async def targets(self, endpoint_ids: Collection[str]) -> dict[str, Target]:
        """Those that are there, whatever their state."""
        ...

    async def due(self, asked: Mapping[str, int], now: datetime) -> dict[str, list[Due]]:
        """By endpoint, at most so many of each, in the order in which they were created."""
        ...

    async def events(self, ids: Collection[str]) -> list[Event]: ...

    async def settle(self, some: Sequence[Settled], runner: str, now: datetime) -> set[str]:
        """Writes it down. Those that are no longer pending stay as they are; an endpoint that is disabled by it fails
        what it was to get, and the organisation is told. The endpoints that were disabled by it."""
        ...

    async def sweep(self, now: datetime) -> int:
        """Fails some of what waits for endpoints that were disabled, and removes some of what is left of deleted ones;
        how many rows. 0: there is nothing left."""
        ...

    async def backlog(self, now: datetime) -> Backlog: ...


class Poster(Protocol):
    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float) -> Answer:
        """Raises :class:`~kallglot.webhooks.client.Unreachable`."""
        ...
