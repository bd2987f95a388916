"""Analyses of sessions."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table

from kallglot.store.tables.base import Document, Moment, id_column, metadata, organization_column

analyses = Table(
    "analyses",
    metadata,
    id_column(),
    Column("session_id", String(40), ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    organization_column(),
    Column("livemode", Boolean, nullable=False),
    Column("status", String(20), nullable=False),
    Column("profile", String(80), nullable=False),
    Column("include", Document, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("api_key_id", String(40)),
    Column("call_id", String(40)),
    Column("result", Document),
    Column("error", String(500)),
    Column("completed_at", Moment),
    Column("attempts", Integer, nullable=False),
    Column("lease_owner", String(64)),
    Column("lease_until", Moment),
    Index(None, "session_id"),
    Index(None, "status", "lease_until"),
)
