"""Recordings, and files that have to go."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, ForeignKey, Index, Integer, String, Table, UniqueConstraint

from kallglot.store.tables.base import Moment, id_column, metadata, organization_column

recordings = Table(
    "recordings",
    metadata,
    id_column(),
    Column("session_id", String(40), ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    organization_column(),
    Column("livemode", Boolean, nullable=False),
    Column("channel", String(20), nullable=False),
    Column("status", String(20), nullable=False),
    Column("channels", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("duration_seconds", Float),
    Column("size", BigInteger),
    Column("sample_rate_hz", Integer),
    Column("expires_at", Moment),
    Column("stored", Boolean, nullable=False),
    Column("deleted", Boolean, nullable=False),
    UniqueConstraint("session_id", "channel"),
    Index(None, "status"),
    Index(None, "expires_at"),
)

removals = Table(
    "removals",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("session_id", String(40), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("due_at", Moment, nullable=False),
    Index(None, "due_at"),
)
"""What is left of sessions that were deleted: files that have to go, of a recording on its shelf, or of the session
itself (``id`` is its own) on whichever machine has its tracks."""
