"""The answers that idempotency keys stand for."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, String, Table

from kallglot.store.tables.base import Moment, metadata

idempotency = Table(
    "idempotency",
    metadata,
    Column("scope", String(64), primary_key=True),
    Column("organization_id", String(40), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("owner", String(64), nullable=False),
    Column("lease_until", Moment, nullable=False),
    Column("status", Integer),
    Column("body", LargeBinary),
    Column("completed_at", Moment),
    Column("session_id", String(40)),
    Index(None, "completed_at"),
    Index(None, "session_id"),
)
"""``session_id`` is the session that the answer, which is encrypted, tells of."""
