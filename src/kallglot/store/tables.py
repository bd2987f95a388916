"""The tables. Times are UTC; JSON columns hold what the API validated."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Moment(TypeDecorator[datetime]):
    """An aware UTC time on both databases; SQLite keeps none of the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Document = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def _id() -> Column[str]:
    return Column("id", String(40), primary_key=True)


def _organization() -> Column[str]:
    return Column("organization_id", String(40), ForeignKey("organizations.id"), nullable=False)


organizations = Table(
    "organizations",
    metadata,
    _id(),
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

credit_ledger = Table(
    "credit_ledger",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    _organization(),
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
    _organization(),
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
    _organization(),
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

audit_log = Table(
    "audit_log",
    metadata,
    _id(),
    _organization(),
    Column("actor", String(80), nullable=False),
    Column("action", String(80), nullable=False),
    Column("target", String(80)),
    Column("details", Document, nullable=False),
    Column("request_id", String(40)),
    Column("created_at", Moment, nullable=False),
    Index(None, "organization_id", "id"),
)
"""Append-only, as the ledgers are."""

api_keys = Table(
    "api_keys",
    metadata,
    _id(),
    _organization(),
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

connections = Table(
    "connections",
    metadata,
    _id(),
    _organization(),
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
    _id(),
    _organization(),
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

sessions = Table(
    "sessions",
    metadata,
    _id(),
    _organization(),
    Column("livemode", Boolean, nullable=False),
    Column("status", String(20), nullable=False),
    Column("mode", String(40), nullable=False),
    Column("participants", Document, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("source_language", String(40)),
    Column("target_language", String(40)),
    Column("api_key_id", String(40)),
    Column("carrier", String(20)),
    Column("phone_number", String(20)),
    Column("routing", Document),
    Column("provider", Document),
    Column("voice", Document),
    Column("recording", Document, nullable=False),
    Column("transcription", Document, nullable=False),
    Column("translation", Document, nullable=False),
    Column("ai_agent", Document),
    Column("webhook_url", Text),
    Column("metadata", Document),
    Column("started_at", Moment),
    Column("ended_at", Moment),
    Column("end_reason", String(40)),
    Column("deadline_at", Moment),
    Column("session_seconds", Float),
    Column("translation_seconds", Float),
    Column("ai_agent_seconds", Float),
    Column("redaction", Document),
    Column("transcript_deleted_at", Moment),
    Column("engines", Document),
    Index(None, "organization_id", "livemode", "id"),
    Index(None, "status", "deadline_at"),
    Index(None, "organization_id", "ended_at"),
)

session_metadata = Table(
    "session_metadata",
    metadata,
    Column("session_id", String(40), ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True),
    Column("key", String(40), primary_key=True),
    Column("value", String(500), nullable=False),
    Index(None, "key", "value"),
)

turns = Table(
    "turns",
    metadata,
    _id(),
    Column("session_id", String(40), ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("participant_id", String(40), nullable=False),
    Column("speaker", String(20), nullable=False),
    Column("language", String(40)),
    Column("text", Text, nullable=False),
    Column("start_ms", Integer, nullable=False),
    Column("end_ms", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("confidence", Float),
    Column("translations", Document, nullable=False),
    Column("engines", Document),
    UniqueConstraint("session_id", "sequence"),
)

recordings = Table(
    "recordings",
    metadata,
    _id(),
    Column("session_id", String(40), ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    _organization(),
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

calls = Table(
    "calls",
    metadata,
    _id(),
    Column("session_id", String(40), ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    _organization(),
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

events = Table(
    "events",
    metadata,
    _id(),
    _organization(),
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
    _id(),
    _organization(),
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

analyses = Table(
    "analyses",
    metadata,
    _id(),
    Column("session_id", String(40), ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    _organization(),
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

turn_timings = Table(
    "turn_timings",
    metadata,
    Column("turn_id", String(40), ForeignKey("turns.id", ondelete="CASCADE"), primary_key=True),
    Column("session_id", String(40), nullable=False),
    Column("times", Document, nullable=False),
    Index(None, "session_id"),
)

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
