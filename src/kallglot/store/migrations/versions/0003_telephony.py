"""Connections to carriers, calls, events, and what numbers do."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

document = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "connections",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("organization_id", sa.String(length=40), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("carrier", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("settings", document, nullable=False),
        sa.Column("secrets", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_connections_organization_id_organizations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_connections")),
    )
    op.create_index(
        op.f("ix_connections_organization_id_livemode_id"), "connections", ["organization_id", "livemode", "id"]
    )
    op.create_index(
        op.f("uq_connections_default"),
        "connections",
        ["organization_id", "livemode", "carrier"],
        unique=True,
        sqlite_where=sa.text("is_default"),
        postgresql_where=sa.text("is_default"),
    )
    with op.batch_alter_table("phone_numbers") as numbers:
        numbers.add_column(sa.Column("livemode", sa.Boolean(), nullable=False, server_default=sa.true()))
        numbers.add_column(sa.Column("connection_id", sa.String(length=40), nullable=True))
        numbers.add_column(sa.Column("label", sa.String(length=200), nullable=True))
        numbers.add_column(sa.Column("policy", document, nullable=True))
        numbers.drop_constraint(op.f("uq_phone_numbers_number"), type_="unique")
        numbers.create_unique_constraint(op.f("uq_phone_numbers_number_livemode"), ["number", "livemode"])
        numbers.create_foreign_key(
            op.f("fk_phone_numbers_connection_id_connections"),
            "connections",
            ["connection_id"],
            ["id"],
            ondelete="SET NULL",
        )
    op.create_index(
        op.f("ix_phone_numbers_organization_id_livemode_id"), "phone_numbers", ["organization_id", "livemode", "id"]
    )
    op.create_index(op.f("ix_phone_numbers_connection_id"), "phone_numbers", ["connection_id"])
    op.create_table(
        "calls",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("session_id", sa.String(length=40), nullable=False),
        sa.Column("organization_id", sa.String(length=40), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("carrier", sa.String(length=20), nullable=False),
        sa.Column("direction", sa.String(length=20), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("connection_id", sa.String(length=40), nullable=True),
        sa.Column("carrier_call_id", sa.String(length=200), nullable=True),
        sa.Column("from_", sa.String(length=500), nullable=True),
        sa.Column("to", sa.String(length=500), nullable=True),
        sa.Column("participant_id", sa.String(length=40), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("hangup_cause", sa.String(length=200), nullable=True),
        sa.Column("answered_by", sa.String(length=20), nullable=True),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("muted", sa.Boolean(), nullable=False),
        sa.Column("order", sa.BigInteger(), nullable=False),
        sa.Column("details", document, nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_calls_session_id_sessions"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_calls_organization_id_organizations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calls")),
        sa.UniqueConstraint("carrier", "carrier_call_id", name=op.f("uq_calls_carrier_carrier_call_id")),
    )
    op.create_index(op.f("ix_calls_session_id"), "calls", ["session_id"])
    op.create_table(
        "events",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("organization_id", sa.String(length=40), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("session_id", sa.String(length=40), nullable=True),
        sa.Column("type", sa.String(length=80), nullable=False),
        sa.Column("body", document, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_events_session_id_sessions"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_events_organization_id_organizations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index(op.f("ix_events_organization_id_livemode_id"), "events", ["organization_id", "livemode", "id"])
    op.create_index(op.f("ix_events_session_id"), "events", ["session_id"])
