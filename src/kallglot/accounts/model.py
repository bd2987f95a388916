"""Organisations and API keys as they are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from kallglot.accounts.credits import Period

OrganizationStatus = Literal["active", "inactive", "suspended"]

SCOPES: Final = (
    "sessions:read",
    "sessions:write",
    "recordings:read",
    "recordings:delete",
    "analysis:read",
    "analysis:write",
    "agents:manage",
    "telephony:manage",
    "webhooks:manage",
    "admin",
)


@dataclass(frozen=True, slots=True)
class Organization:
    id: str
    name: str
    status: OrganizationStatus
    plan: str
    credits_remaining: int
    credits_used: int
    created_at: datetime
    plan_credits: int = 0
    """Those of ``credits_remaining`` that end with the period."""
    period_start: datetime | None = None
    period_end: datetime | None = None
    period_paid: bool = False
    """Whether the payment provider said so, rather than the server having begun it itself."""
    subscription: str | None = None
    """As the payment provider calls its state; None where nobody pays through one."""
    subscription_changed_at: datetime | None = None
    subscription_created_at: datetime | None = None
    payment_customer: str | None = None
    payment_subscription: str | None = None
    """The payment provider's ids of them."""
    policy: Mapping[str, Any] | None = None
    """``{"retention": {…}, "redaction": {…}}``, as :mod:`kallglot.accounts.policy` reads it."""

    @property
    def period(self) -> Period | None:
        if self.period_start is None or self.period_end is None:
            return None
        return Period(self.period_start, self.period_end)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret, which exists only as ``secret_hash``; ``hint`` is its last four characters."""

    id: str
    organization_id: str
    name: str
    livemode: bool
    scopes: tuple[str, ...]
    secret_hash: str
    hint: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    replaced_by: str | None = None
    """The id of the key that takes its place."""


@dataclass(frozen=True, slots=True)
class PhoneNumber:
    """A number that an organisation owns here. ``number`` is E.164; ``carrier`` twilio or telnyx.

    ``policy`` is what becomes of a call that comes in: None, or ``{"webhook_url": …}`` for a customer who is asked each
    time, or the fields of a session as the API's ``CreateSession`` takes them.
    """

    id: str
    organization_id: str
    number: str
    carrier: str
    active: bool
    created_at: datetime
    livemode: bool = True
    connection_id: str | None = None
    label: str | None = None
    policy: Mapping[str, Any] | None = None
