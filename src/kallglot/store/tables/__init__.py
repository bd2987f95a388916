"""The tables, a module a noun. All of them are imported here: ``base.metadata`` has to know every one."""

from kallglot.store.tables import accounts, analyses, idempotency, ledgers, recordings, sessions, telephony, webhooks

__all__ = ["accounts", "analyses", "idempotency", "ledgers", "recordings", "sessions", "telephony", "webhooks"]
