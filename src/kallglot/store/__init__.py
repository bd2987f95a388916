"""Where everything is kept: SQLite by default, PostgreSQL by one setting. SQL lives only here."""

from kallglot.store.journal import SqlJournal
from kallglot.store.recordings import SqlRecordingLedger
from kallglot.store.sql import SqlStore
from kallglot.store.telephony import SqlCalls

__all__ = ["SqlCalls", "SqlJournal", "SqlRecordingLedger", "SqlStore"]
