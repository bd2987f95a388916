"""Webhooks, ledgers, analyses, the audit log; subscriptions and policies of organisations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

document = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
LEDGERS = ("credit_ledger", "usage_ledger", "audit_log")
_USED_BEFORE = """
    INSERT INTO usage_ledger (organization_id, livemode, session_id, mode, api_key_id, session_ms, translation_ms,
                              ai_agent_ms, session_created_at, ended_at)
    SELECT organization_id, livemode, id, mode, api_key_id, CAST(ROUND(session_seconds * 1000) AS BIGINT),
           CAST(ROUND(translation_seconds * 1000) AS BIGINT), CAST(ROUND(ai_agent_seconds * 1000) AS BIGINT),
           created_at, ended_at
    FROM sessions WHERE status = 'ended' AND session_seconds IS NOT NULL AND ended_at IS NOT NULL
    ORDER BY ended_at
"""


def upgrade() -> None:
    op.create_table(
        "payments",
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("provider", sa.String(length=20), nullable=False),
        sa.Column("type", sa.String(length=100), nullable=False),
        sa.Column("organization_id", sa.String(length=40), nullable=True),
        sa.Column("outcome", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("customer", sa.String(length=100), nullable=True),
        sa.Column("notice", document, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payments")),
    )
    op.create_index(
        "ix_payments_waiting",
        "payments",
        ["customer"],
        sqlite_where=sa.text("notice IS NOT NULL"),
        postgresql_where=sa.text("notice IS NOT NULL"),
    )
    op.create_table(
        "audit_log",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("organization_id", sa.String(length=40), nullable=False),
        sa.Column("actor", sa.String(length=80), nullable=False),
        sa.Column("action", sa.String(length=80), nullable=False),
        sa.Column("target", sa.String(length=80), nullable=True),
        sa.Column("details", document, nullable=False),
        sa.Column("request_id", sa.String(length=40), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_audit_log_organization_id_organizations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
    )
    op.create_index(op.f("ix_audit_log_organization_id_id"), "audit_log", ["organization_id", "id"])
    op.create_table(
        "usage_ledger",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("organization_id", sa.String(length=40), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("session_id", sa.String(length=40), nullable=False),
        sa.Column("mode", sa.String(length=40), nullable=False),
        sa.Column("api_key_id", sa.String(length=40), nullable=True),
        sa.Column("session_ms", sa.BigInteger(), nullable=False),
        sa.Column("translation_ms", sa.BigInteger(), nullable=False),
        sa.Column("ai_agent_ms", sa.BigInteger(), nullable=False),
        sa.Column("session_created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_usage_ledger_organization_id_organizations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_usage_ledger")),
        sa.UniqueConstraint("session_id", name=op.f("uq_usage_ledger_session_id")),
    )
    op.create_index(
        op.f("ix_usage_ledger_organization_id_livemode_ended_at"),
        "usage_ledger",
        ["organization_id", "livemode", "ended_at"],
    )
    op.create_table(
        "analyses",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("session_id", sa.String(length=40), nullable=False),
        sa.Column("organization_id", sa.String(length=40), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("profile", sa.String(length=80), nullable=False),
        sa.Column("include", document, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("api_key_id", sa.String(length=40), nullable=True),
        sa.Column("call_id", sa.String(length=40), nullable=True),
        sa.Column("result", document, nullable=True),
        sa.Column("error", sa.String(length=500), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lease_owner", sa.String(length=64), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_analyses_organization_id_organizations")
        ),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_analyses_session_id_sessions"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_analyses")),
    )
    op.create_index(op.f("ix_analyses_session_id"), "analyses", ["session_id"])
    op.create_index(op.f("ix_analyses_status_lease_until"), "analyses", ["status", "lease_until"])
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("organization_id", sa.String(length=40), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("session_id", sa.String(length=40), nullable=True),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.String(length=500), nullable=True),
        sa.Column("events", document, nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=True),
        sa.Column("previous_secret", sa.LargeBinary(), nullable=True),
        sa.Column("previous_secret_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_reason", sa.String(length=40), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resting_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_owner", sa.String(length=64), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_webhook_endpoints_organization_id_organizations")
        ),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_webhook_endpoints_session_id_sessions"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoints")),
        sa.UniqueConstraint("session_id", name=op.f("uq_webhook_endpoints_session_id")),
    )
    op.create_index(
        op.f("ix_webhook_endpoints_organization_id_livemode_id"),
        "webhook_endpoints",
        ["organization_id", "livemode", "id"],
    )
    op.create_index(
        "ix_webhook_endpoints_deleted",
        "webhook_endpoints",
        ["id"],
        sqlite_where=sa.text("deleted"),
        postgresql_where=sa.text("deleted"),
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("endpoint_id", sa.String(length=40), nullable=False),
        sa.Column("event_id", sa.String(length=40), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("log", document, nullable=False),
        sa.ForeignKeyConstraint(
            ["endpoint_id"],
            ["webhook_endpoints.id"],
            name=op.f("fk_webhook_deliveries_endpoint_id_webhook_endpoints"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["event_id"], ["events.id"], name=op.f("fk_webhook_deliveries_event_id_events"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_webhook_deliveries")),
        sa.UniqueConstraint("id", name=op.f("uq_webhook_deliveries_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_webhook_deliveries_endpoint_id_id"), "webhook_deliveries", ["endpoint_id", "id"])
    op.create_index(op.f("ix_webhook_deliveries_event_id"), "webhook_deliveries", ["event_id"])
    op.create_index(
        "ix_webhook_deliveries_pending",
        "webhook_deliveries",
        ["endpoint_id", "sequence"],
        sqlite_where=sa.text("status = 'pending'"),
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_index(
        "ix_webhook_deliveries_due",
        "webhook_deliveries",
        ["endpoint_id", "next_attempt_at"],
        sqlite_where=sa.text("status = 'pending'"),
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_index(
        "uq_credit_ledger_reference", "credit_ledger", ["organization_id", "reason", "reference"], unique=True
    )
    op.add_column("credit_ledger", sa.Column("plan_amount", sa.Integer(), server_default="0", nullable=False))
    op.add_column("credit_ledger", sa.Column("mode", sa.String(length=40), nullable=True))
    op.add_column("credit_ledger", sa.Column("api_key_id", sa.String(length=40), nullable=True))
    op.execute(_USED_BEFORE)
    op.add_column("organizations", sa.Column("plan_credits", sa.Integer(), server_default="0", nullable=False))
    op.add_column("organizations", sa.Column("period_start", sa.DateTime(timezone=True), nullable=True))
    op.add_column("organizations", sa.Column("period_end", sa.DateTime(timezone=True), nullable=True))
    op.add_column("organizations", sa.Column("subscription", sa.String(length=20), nullable=True))
    op.add_column("organizations", sa.Column("subscription_changed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("organizations", sa.Column("subscription_created_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("organizations", sa.Column("period_paid", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("organizations", sa.Column("payment_customer", sa.String(length=100), nullable=True))
    op.add_column("organizations", sa.Column("payment_subscription", sa.String(length=100), nullable=True))
    op.add_column("organizations", sa.Column("policy", document, nullable=True))
    op.add_column("organizations", sa.Column("webhook_secret", sa.LargeBinary(), nullable=True))
    op.add_column("organizations", sa.Column("previous_webhook_secret", sa.LargeBinary(), nullable=True))
    op.add_column(
        "organizations", sa.Column("previous_webhook_secret_until", sa.DateTime(timezone=True), nullable=True)
    )
    op.create_index("uq_organizations_payment_customer", "organizations", ["payment_customer"], unique=True)
    op.add_column("api_keys", sa.Column("replaced_by", sa.String(length=40), nullable=True))
    op.create_table(
        "removals",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("session_id", sa.String(length=40), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_removals")),
    )
    op.create_index(op.f("ix_removals_due_at"), "removals", ["due_at"])
    op.create_index(op.f("ix_events_organization_id_created_at"), "events", ["organization_id", "created_at"])
    op.add_column("idempotency", sa.Column("session_id", sa.String(length=40), nullable=True))
    op.create_index(op.f("ix_idempotency_session_id"), "idempotency", ["session_id"])
    op.add_column("sessions", sa.Column("redaction", document, nullable=True))
    op.add_column("sessions", sa.Column("transcript_deleted_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(op.f("ix_sessions_organization_id_ended_at"), "sessions", ["organization_id", "ended_at"])
    for ledger in LEDGERS:
        _append_only(ledger)


def _append_only(table: str) -> None:
    """What is written in a ledger stays as it is, whoever asks."""
    if op.get_bind().dialect.name == "sqlite":
        for act in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{act.lower()} BEFORE {act} ON {table}"
                f" BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
        return
    op.execute(
        f"CREATE FUNCTION {table}_append_only() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION '{table} is append-only'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table}"
        f" FOR EACH ROW EXECUTE FUNCTION {table}_append_only()"
    )
