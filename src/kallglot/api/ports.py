"""What the API needs to keep and to command, declared by its user; ``store`` keeps, ``app.py`` hands it in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from kallglot.accounts.credits import CreditEntry
from kallglot.accounts.model import PhoneNumber
from kallglot.accounts.ports import ApiKeyRepository, AuditRepository, OrganizationRepository, Page
from kallglot.analysis.model import Analysis
from kallglot.billing.ports import PaymentRepository
from kallglot.billing.usage import EngineGroup, Group, UsageFilter, Used
from kallglot.carriers.model import Call, Connection
from kallglot.carriers.ports import Change
from kallglot.outbox import Event
from kallglot.recording.model import Recording
from kallglot.session.model import EndReason, Session, Turn
from kallglot.session.timings import TurnTimes
from kallglot.webhooks.model import Delivery, DeliveryStatus, DisabledReason, Endpoint, Secrets
from kallglot.webhooks.ports import Target


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


class AnalysisRepository(Protocol):
    async def add(self, analysis: Analysis) -> None:
        """It is made as soon as somebody has time for it."""
        ...

    async def get(self, analysis_id: str, organization_id: str, livemode: bool) -> Analysis | None:
        """None too where it is another organisation's, or of the other mode."""
        ...

    async def list(self, session_id: str, page: Page) -> tuple[list[Analysis], bool]: ...


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


class ConnectionRepository(Protocol):
    async def lock(self, organization_id: str) -> None:
        """Holds back who else would change the organisation's connections and numbers until the transaction ends."""
        ...

    async def add(self, one: Connection) -> None:
        """A default one takes the place of the organisation's other default of this mode and carrier."""
        ...

    async def get(self, connection_id: str, organization_id: str, livemode: bool) -> Connection | None:
        """None too where it is another organisation's, or of the other mode."""
        ...

    async def by_id(self, connection_id: str) -> Connection | None:
        """Whosever it is: for carriers, who are known by their signature."""
        ...

    async def list(self, organization_id: str, livemode: bool, page: Page) -> tuple[list[Connection], bool]: ...

    async def default(self, organization_id: str, livemode: bool, carrier: str | None = None) -> Connection | None:
        """The active default one of ``carrier``, or of any: the oldest where several carriers have one."""
        ...

    async def has_default(self, organization_id: str, livemode: bool, carrier: str) -> bool:
        """Active or not."""
        ...

    async def update(self, one: Connection) -> None:
        """Like :meth:`add` in what a default one does."""
        ...

    async def delete(self, connection_id: str) -> bool:
        """False, and nothing is deleted, while active numbers use it; inactive ones are left without a connection."""
        ...


class PhoneNumberRepository(Protocol):
    async def add(self, number: PhoneNumber) -> bool:
        """False, and nothing is added, where anybody has this number in this mode already."""
        ...

    async def get(self, number_id: str, organization_id: str, livemode: bool) -> PhoneNumber | None:
        """None too where it is another organisation's, or of the other mode."""
        ...

    async def list(self, organization_id: str, livemode: bool, page: Page) -> tuple[list[PhoneNumber], bool]: ...

    async def update(self, number: PhoneNumber) -> None: ...

    async def delete(self, number_id: str) -> None: ...

    async def by_number(self, number: str, livemode: bool) -> PhoneNumber | None:
        """The active number, whosever it is: for calls that come in."""
        ...

    async def owned(self, organization_id: str, number: str, livemode: bool = True) -> PhoneNumber | None:
        """The organisation's own active number, else None. In test mode its live ones count too, after those of test
        mode: nothing is called there."""
        ...


class CallRepository(Protocol):
    async def add(self, call: Call, events: Sequence[Event] = ()) -> Call:
        """The call as it is kept. Where the carrier's id of it is known already nothing is written, no event either,
        and that call is the answer."""
        ...

    async def get(self, call_id: str, organization_id: str, livemode: bool) -> Call | None:
        """None too where it is another organisation's, or of the other mode."""
        ...

    async def by_carrier_id(self, carrier: str, carrier_call_id: str) -> Call | None:
        """Whosever it is."""
        ...

    async def of_session(self, session_id: str) -> list[Call]:
        """Oldest first."""
        ...

    async def newest(self, session_ids: Sequence[str]) -> dict[str, Call]:
        """By session, where it has any."""
        ...

    async def live(self, session_id: str) -> list[Call]:
        """Those that are not over, oldest first."""
        ...

    async def save(self, call: Call, events: Sequence[Event] = ()) -> None: ...

    async def change(self, call_id: str, change: Change) -> Call | None:
        """As :meth:`kallglot.carriers.ports.Calls.change`, in this transaction."""
        ...


@dataclass(frozen=True, slots=True)
class EventFilter:
    organization_id: str
    livemode: bool
    type: str | None = None
    session_id: str | None = None
    created_after: datetime | None = None
    """Strictly after."""
    created_before: datetime | None = None
    """Strictly before."""


class EventRepository(Protocol):
    async def add(self, some: Sequence[Event]) -> None:
        """With a delivery of each to everybody who wants it."""
        ...

    async def list(self, where: EventFilter, page: Page) -> tuple[list[Event], bool]: ...


class UsageRepository(Protocol):
    async def used(self, where: UsageFilter) -> list[tuple[Group, Used]]:
        """By group; more than ``MOST_ROWS`` are cut."""
        ...

    async def engines(self, where: UsageFilter) -> list[EngineGroup]:
        """What each engine did, by group, likewise."""
        ...


class LedgerRepository(Protocol):
    async def credits(self, organization_id: str, page: Page) -> tuple[list[CreditEntry], bool]:
        """Newest first; cursors are ids in digits."""
        ...


class WebhookEndpointRepository(Protocol):
    """Those of sessions are added, and else not found here."""

    async def lock(self, organization_id: str) -> None:
        """Holds back who else would add endpoints to the organisation until the transaction ends."""
        ...

    async def add(self, endpoint: Endpoint, secret: str | None) -> None:
        """``secret`` None: deliveries are signed with the organisation's."""
        ...

    async def count(self, organization_id: str, livemode: bool) -> int: ...

    async def get(self, endpoint_id: str, organization_id: str, livemode: bool, *, hold: bool = False) -> Target | None:
        """None too where it is another organisation's, or of the other mode. ``hold``: nobody deletes or disables it
        until the transaction ends."""
        ...

    async def list(self, organization_id: str, livemode: bool, page: Page) -> tuple[list[Target], bool]: ...

    async def change(self, endpoint_id: str, changes: Mapping[str, Any]) -> None:
        """``url``, ``description``, ``events``. A new ``url`` is well until it fails."""
        ...

    async def enable(self, endpoint_id: str) -> bool:
        """False, and nothing is changed, where it is enabled."""
        ...

    async def disable(self, endpoint_id: str, reason: DisabledReason, now: datetime) -> bool:
        """What is on its way to it has failed then; where that is much, most of it soon after. False, and nothing is
        changed, where it is disabled."""
        ...

    async def fail_stranded(self, endpoint_id: str, now: datetime) -> int:
        """Where it is disabled: fails some of what was on its way to it. How many; 0: nothing is left."""
        ...

    async def delete(self, endpoint_id: str) -> None:
        """Nobody sees it or its deliveries any more; whoever delivers takes them away."""
        ...

    async def rotate(self, endpoint_id: str, secret: str, previous_until: datetime | None) -> None:
        """The secret until now signs too until then; None: no longer. The one before it is forgotten."""
        ...

    async def organization_secrets(self, organization_id: str) -> Secrets | None:
        """What is signed with where a session has its own ``webhook_url``; None until the first is needed."""
        ...

    async def rotate_organization(self, organization_id: str, secret: str, previous_until: datetime | None) -> None:
        """As :meth:`rotate`."""
        ...


@dataclass(frozen=True, slots=True)
class Dispatch:
    """A delivery, what it carries, and where to."""

    delivery: Delivery
    event: Event
    endpoint: Endpoint


class WebhookLog(Protocol):
    """Deliveries, those to sessions' own endpoints too."""

    async def add(self, delivery: Delivery, sample: Event | None = None) -> None:
        """``sample`` is an event that is kept for this delivery, and for nobody else."""
        ...

    async def get(
        self, delivery_id: str, organization_id: str, livemode: bool, *, hold: bool = False
    ) -> Dispatch | None:
        """None too where it is another organisation's, or of the other mode. ``hold``: as that of endpoints."""
        ...

    async def list(
        self, endpoint_id: str, page: Page, status: DeliveryStatus | None = None, type: str | None = None
    ) -> tuple[list[Dispatch], bool]: ...


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
    def analyses(self) -> AnalysisRepository: ...
    @property
    def privacy(self) -> PrivacyRepository: ...
    @property
    def connections(self) -> ConnectionRepository: ...
    @property
    def phone_numbers(self) -> PhoneNumberRepository: ...
    @property
    def calls(self) -> CallRepository: ...
    @property
    def events(self) -> EventRepository: ...
    @property
    def audit(self) -> AuditRepository: ...
    @property
    def usage(self) -> UsageRepository: ...
    @property
    def ledgers(self) -> LedgerRepository: ...
    @property
    def payments(self) -> PaymentRepository: ...
    @property
    def webhook_endpoints(self) -> WebhookEndpointRepository: ...
    @property
    def webhook_log(self) -> WebhookLog: ...
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

    def end_soon(self, session: Session, reason: EndReason) -> None:
        """The same, for who cannot wait until what was said is transcribed."""
        ...

    def expect(self, session_id: str) -> None:
        """A session was made: its audio comes soon, and is reckoned with until then."""
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


__all__ = [
    "AnalysisRepository",
    "ApiKeyRepository",
    "AuditRepository",
    "CallRepository",
    "ConnectionRepository",
    "Dispatch",
    "EventFilter",
    "EventRepository",
    "IdempotencyRepository",
    "IdempotencyScope",
    "IdempotentAnswer",
    "OrganizationRepository",
    "Page",
    "PhoneNumberRepository",
    "PrivacyRepository",
    "RecordingRepository",
    "Recordings",
    "SessionControl",
    "SessionFilter",
    "SessionRepository",
    "Store",
    "TurnRepository",
    "UnitOfWork",
    "WebhookEndpointRepository",
    "WebhookLog",
]
