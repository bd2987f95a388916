"""Events, who wants them, and what is on its way."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    false,
    text,
)

from kallglot.store.tables.base import Document, Moment, id_column, metadata, organization_column

events = Table(
    "events",
    metadata,
    id_column(),
    organization_column(),
    Column("livemode", Boolean, nullable=False),
    Column("session_id", String(40), ForeignKey("sessions.id", ondelete="CASCADE")),
    Column("type", String(80), nullable=False),
    Column("body", Document, nullable=False),
    Column("created_at", Moment, nullable=False),
    Index(None, "organization_id", "livemode", "id"),
    Index(None, "session_id"),
    Index(None, "organization_id", "created_at"),
)

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    id_column(),
    organization_column(),
    Column("livemode", Boolean, nullable=False),
    Column("session_id", String(40), ForeignKey("sessions.id", ondelete="CASCADE"), unique=True),
    Column("url", Text, nullable=False),
    Column("description", String(500)),
    Column("events", Document, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("secret", LargeBinary),
    Column("previous_secret", LargeBinary),
    Column("previous_secret_until", Moment),
    Column("disabled_at", Moment),
    Column("disabled_reason", String(40)),
    Column("failures", Integer, nullable=False),
    Column("failing_since", Moment),
    Column("resting_until", Moment),
    Column("lease_owner", String(64)),
    Column("lease_until", Moment),
    Column("deleted", Boolean, nullable=False, server_default=false()),
    Index(None, "organization_id", "livemode", "id"),
    Index("ix_webhook_endpoints_deleted", "id", sqlite_where=text("deleted"), postgresql_where=text("deleted")),
)
"""``session_id`` where it is a session's own ``webhook_url``: it gets that session's events, signed with the
organisation's secret, and is not listed. The secrets are encrypted; ``failures`` counts since the last success.
``deleted``: it is there for nobody any more, until its deliveries are taken away."""

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("id", String(40), nullable=False, unique=True),
    Column("endpoint_id", String(40), ForeignKey("webhook_endpoints.id", ondelete="CASCADE"), nullable=False),
    Column("event_id", String(40), ForeignKey("events.id", ondelete="CASCADE"), nullable=False),
    Column("status", String(20), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", Moment),
    Column("created_at", Moment, nullable=False),
    Column("completed_at", Moment),
    Column("log", Document, nullable=False),
    Index(None, "endpoint_id", "id"),
    Index(None, "event_id"),
    Index(
        "ix_webhook_deliveries_pending",
        "endpoint_id",
        "sequence",
        sqlite_where=text("status = 'pending'"),
        postgresql_where=text("status = 'pending'"),
    ),
    Index(
        "ix_webhook_deliveries_due",
        "endpoint_id",
        "next_attempt_at",
        sqlite_where=text("status = 'pending'"),
        postgresql_where=text("status = 'pending'"),
    ),
    sqlite_autoincrement=True,
)
"""``sequence`` orders them by creation, and none is given twice; ``log`` holds the last attempts
(:class:`kallglot.webhooks.model.Attempt`)."""
