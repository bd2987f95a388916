"""Ledgers, of credits and of what sessions used, and payments."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, UniqueConstraint, text

from kallglot.store.tables.base import Document, Moment, metadata, organization_column

credit_ledger = Table(
    "credit_ledger",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    organization_column(),
    Column("amount", Integer, nullable=False),
    Column("reason", String(40), nullable=False),
    Column("reference", String(80), nullable=False),
    Column("balance_after", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("plan_amount", Integer, nullable=False, server_default="0"),
    Column("mode", String(40)),
    Column("api_key_id", String(40)),
    Index("uq_credit_ledger_reference", "organization_id", "reason", "reference", unique=True),
    Index(None, "organization_id", "id"),
)
"""Append-only: triggers refuse everything else. The same reason for the same reference is one line."""

usage_ledger = Table(
    "usage_ledger",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    organization_column(),
    Column("livemode", Boolean, nullable=False),
    Column("session_id", String(40), nullable=False, unique=True),
    Column("mode", String(40), nullable=False),
    Column("api_key_id", String(40)),
    Column("session_ms", BigInteger, nullable=False),
    Column("translation_ms", BigInteger, nullable=False),
    Column("ai_agent_ms", BigInteger, nullable=False),
    Column("session_created_at", Moment, nullable=False),
    Column("ended_at", Moment, nullable=False),
    Index(None, "organization_id", "livemode", "ended_at"),
)
"""Append-only, one line for each session that has ended; outlives the session."""

engine_ledger = Table(
    "engine_ledger",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    organization_column(),
    Column("livemode", Boolean, nullable=False),
    Column("session_id", String(40), nullable=False),
    Column("mode", String(40), nullable=False),
    Column("api_key_id", String(40)),
    Column("kind", String(20), nullable=False),
    Column("engine", String(100), nullable=False),
    Column("audio_ms", BigInteger, nullable=False),
    Column("characters", BigInteger, nullable=False),
    Column("ended_at", Moment, nullable=False),
    UniqueConstraint("session_id", "kind", "engine"),
    Index(None, "organization_id", "livemode", "ended_at"),
)
"""Append-only: what each engine did for a session that has ended; outlives the session."""

payments = Table(
    "payments",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("provider", String(20), nullable=False),
    Column("type", String(100), nullable=False),
    Column("organization_id", String(40)),
    Column("outcome", String(200), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("customer", String(100)),
    Column("notice", Document),
    Index(
        "ix_payments_waiting",
        "customer",
        sqlite_where=text("notice IS NOT NULL"),
        postgresql_where=text("notice IS NOT NULL"),
    ),
)
"""What a payment provider told, by its own id of the event: each is acted on once. ``notice`` is kept while nobody
knows whose ``customer`` it is (:class:`kallglot.billing.notices.Notice`)."""
