"""Connections to carriers, phone numbers and calls."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Table,
    UniqueConstraint,
    text,
    true,
)

from kallglot.store.tables.base import Document, Moment, id_column, metadata, organization_column

connections = Table(
    "connections",
    metadata,
    id_column(),
    organization_column(),
    Column("livemode", Boolean, nullable=False),
    Column("carrier", String(20), nullable=False),
    Column("name", String(200), nullable=False),
    Column("active", Boolean, nullable=False),
    Column("is_default", Boolean, nullable=False),
    Column("settings", Document, nullable=False),
    Column("secrets", LargeBinary, nullable=False),
    Column("created_at", Moment, nullable=False),
    Index(None, "organization_id", "livemode", "id"),
    Index(
        "uq_connections_default",
        "organization_id",
        "livemode",
        "carrier",
        unique=True,
        sqlite_where=text("is_default"),
        postgresql_where=text("is_default"),
    ),
)
"""``secrets`` is JSON, encrypted."""

phone_numbers = Table(
    "phone_numbers",
    metadata,
    id_column(),
    organization_column(),
    Column("number", String(20), nullable=False),
    Column("carrier", String(20), nullable=False),
    Column("active", Boolean, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("livemode", Boolean, nullable=False, server_default=true()),
    Column("connection_id", String(40), ForeignKey("connections.id", ondelete="SET NULL")),
    Column("label", String(200)),
    Column("policy", Document),
    UniqueConstraint("number", "livemode"),
    Index(None, "organization_id", "livemode", "id"),
    Index(None, "connection_id"),
)

calls = Table(
    "calls",
    metadata,
    id_column(),
    Column("session_id", String(40), ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    organization_column(),
    Column("livemode", Boolean, nullable=False),
    Column("carrier", String(20), nullable=False),
    Column("direction", String(20), nullable=False),
    Column("status", String(20), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("connection_id", String(40)),
    Column("carrier_call_id", String(200)),
    Column("from_", String(500)),
    Column("to", String(500)),
    Column("participant_id", String(40)),
    Column("answered_at", Moment),
    Column("ended_at", Moment),
    Column("hangup_cause", String(200)),
    Column("answered_by", String(20)),
    Column("held", Boolean, nullable=False),
    Column("muted", Boolean, nullable=False),
    Column("order", BigInteger, nullable=False),
    Column("details", Document, nullable=False),
    UniqueConstraint("carrier", "carrier_call_id"),
    Index(None, "session_id"),
)
"""``connection_id`` outlives the connection: it says with which one the call was made."""
