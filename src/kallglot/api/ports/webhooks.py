"""Webhook endpoints and their deliveries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from kallglot.accounts.ports import Page
from kallglot.outbox import Event
from kallglot.webhooks.model import Delivery, DeliveryStatus, DisabledReason, Endpoint, Secrets
from kallglot.webhooks.ports import Target


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
