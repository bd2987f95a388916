"""The store of both databases, as its own tests have it."""

from __future__ import annotations

from tests.store.conftest import clock, database_url, journal, postgres, store

__all__ = ["clock", "database_url", "journal", "postgres", "store"]
