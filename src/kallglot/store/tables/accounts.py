"""Organisations, their API keys, and the log of what was done with them."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, Integer, LargeBinary, String, Table, false

from kallglot.store.tables.base import Document, Moment, id_column, metadata, organization_column

organizations = Table(
    "organizations",
    metadata,
    id_column(),
    Column("name", String(200), nullable=False),
    Column("status", String(20), nullable=False),
    Column("plan", String(40), nullable=False),
    Column("credits_remaining", Integer, nullable=False),
    Column("credits_used", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("plan_credits", Integer, nullable=False, server_default="0"),
    Column("period_start", Moment),
    Column("period_end", Moment),
    Column("subscription", String(20)),
    Column("period_paid", Boolean, nullable=False, server_default=false()),
    Column("subscription_changed_at", Moment),
    Column("subscription_created_at", Moment),
    Column("payment_customer", String(100)),
    Column("payment_subscription", String(100)),
    Column("policy", Document),
    Column("webhook_secret", LargeBinary),
    Column("previous_webhook_secret", LargeBinary),
    Column("previous_webhook_secret_until", Moment),
    Index("uq_organizations_payment_customer", "payment_customer", unique=True),
)
"""``credits_remaining`` includes ``plan_credits``, which end with the period. The secrets are encrypted."""

api_keys = Table(
    "api_keys",
    metadata,
    id_column(),
    organization_column(),
    Column("name", String(200), nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("scopes", Document, nullable=False),
    Column("secret_hash", String(64), nullable=False, unique=True),
    Column("hint", String(8), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("revoked_at", Moment),
    Column("last_used_at", Moment),
    Column("replaced_by", String(40)),
    Index(None, "organization_id", "id"),
)

audit_log = Table(
    "audit_log",
    metadata,
    id_column(),
    organization_column(),
    Column("actor", String(80), nullable=False),
    Column("action", String(80), nullable=False),
    Column("target", String(80)),
    Column("details", Document, nullable=False),
    Column("request_id", String(40)),
    Column("created_at", Moment, nullable=False),
    Index(None, "organization_id", "id"),
)
"""Append-only, as the ledgers are."""
