"""Where events go, and what became of them on their way there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from kallglot.clock import iso
from kallglot.ids import EVENT, WEBHOOK_ENDPOINT, new_id
from kallglot.outbox import Event
from kallglot.session.model import Session

DeliveryStatus = Literal["pending", "delivered", "failed"]
DisabledReason = Literal["by_request", "gone", "failing"]

EVENT_TYPES: Final = (
    "session.created",
    "session.started",
    "session.ended",
    "session.provider.connecting",
    "session.provider.connected",
    "session.provider.disconnected",
    "session.provider.failed",
    "transcript.segment",
    "transcript.ready",
    "recording.ready",
    "recording.failed",
    "analysis.complete",
    "analysis.failed",
    "agent.handoff",
    "webhook_endpoint.disabled",
)
EVERYTHING: Final = "*"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """``events`` are types, or ``*`` for all. ``session_id`` is set where it is a session's ``webhook_url``."""

    id: str
    organization_id: str
    livemode: bool
    url: str
    events: tuple[str, ...]
    created_at: datetime
    session_id: str | None = None
    description: str | None = None
    enabled: bool = True
    disabled_at: datetime | None = None
    disabled_reason: DisabledReason | None = None
    failures: int = 0
    """In a row."""
    failing_since: datetime | None = None
    resting_until: datetime | None = None
    """Nothing is attempted before."""

    def wants(self, event_type: str) -> bool:
        return EVERYTHING in self.events or event_type in self.events


@dataclass(frozen=True, slots=True)
class Secrets:
    """What deliveries are signed with: ``whsec_…``; ``previous`` too, until then, while a secret rotates."""

    current: str
    previous: str | None = None
    previous_until: datetime | None = None

    def valid(self, now: datetime) -> tuple[str, ...]:
        if self.previous is None or self.previous_until is None or self.previous_until <= now:
            return (self.current,)
        return (self.current, self.previous)


@dataclass(frozen=True, slots=True)
class Attempt:
    """``status`` is the HTTP status, None where there was no answer and ``error`` says why. ``response`` is how the
    answer began."""

    at: datetime
    duration_ms: int
    status: int | None = None
    error: str | None = None
    response: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one endpoint. ``log`` holds the last attempts, oldest first."""

    id: str
    endpoint_id: str
    event_id: str
    status: DeliveryStatus
    attempts: int
    created_at: datetime
    next_attempt_at: datetime | None = None
    completed_at: datetime | None = None
    log: Sequence[Attempt] = field(default_factory=tuple[Attempt, ...])


def of_session(session: Session) -> Endpoint | None:
    """The session's own endpoint, where it was created with one."""
    if session.webhook_url is None:
        return None
    return Endpoint(
        new_id(WEBHOOK_ENDPOINT),
        session.organization_id,
        session.livemode,
        session.webhook_url,
        (EVERYTHING,),
        session.created_at,
        session_id=session.id,
    )


def told_of_disabled(one: Endpoint, reason: DisabledReason, now: datetime) -> Event:
    """For the organisation's other endpoints."""
    data = {
        "id": one.id,
        "object": "webhook_endpoint",
        "url": one.url,
        "description": one.description,
        "events": list(one.events),
        "session_id": one.session_id,
        "status": "disabled",
        "disabled_reason": reason,
        "disabled_at": iso(now),
        "livemode": one.livemode,
        "created_at": iso(one.created_at),
    }
    kind = "webhook_endpoint.disabled"
    return Event(new_id(EVENT), one.organization_id, one.livemode, None, kind, {"data": data}, now)


def envelope(event: Event) -> Mapping[str, Any]:
    """The event as clients see it: in the list, and in the body of a delivery."""
    return {
        "id": event.id,
        "object": "event",
        "type": event.type,
        "api_version": "v1",
        "created_at": iso(event.created_at),
        "data": {},
        **event.body,
    }
