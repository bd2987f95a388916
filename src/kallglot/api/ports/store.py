"""Transactions, and the repositories that work inside them."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from kallglot.accounts.ports import ApiKeyRepository, AuditRepository, OrganizationRepository
from kallglot.api.ports.analyses import AnalysisRepository
from kallglot.api.ports.events import EventRepository
from kallglot.api.ports.idempotency import IdempotencyRepository
from kallglot.api.ports.privacy import PrivacyRepository
from kallglot.api.ports.recordings import RecordingRepository
from kallglot.api.ports.sessions import SessionRepository, TurnRepository
from kallglot.api.ports.telephony import CallRepository, ConnectionRepository, PhoneNumberRepository
from kallglot.api.ports.usage import LedgerRepository, UsageRepository
from kallglot.api.ports.webhooks import WebhookEndpointRepository, WebhookLog
from kallglot.billing.ports import PaymentRepository


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
