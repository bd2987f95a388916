"""Sessions, their turns and when these were heard."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

from kallglot.store.tables.base import Document, Moment, id_column, metadata, organization_column

sessions = Table(
    "sessions",
    metadata,
    id_column(),
    organization_column(),
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
    id_column(),
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

turn_timings = Table(
    "turn_timings",
    metadata,
    Column("turn_id", String(40), ForeignKey("turns.id", ondelete="CASCADE"), primary_key=True),
    Column("session_id", String(40), nullable=False),
    Column("times", Document, nullable=False),
    Index(None, "session_id"),
)
