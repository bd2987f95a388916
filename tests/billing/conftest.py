"""The store of both databases, as its own tests have it."""

from __future__ import annotations

from tests.store.conftest import clock, database_url, empty_database_url, journal, kind, postgres, store

__all__ = ["clock", "database_url", "empty_database_url", "journal", "kind", "postgres", "store"]
