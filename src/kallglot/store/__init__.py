"""Where everything is kept: SQLite by default, PostgreSQL by one setting. SQL lives only here."""

from kallglot.store.analyses import SqlAnalysisQueue
from kallglot.store.deliveries import SqlDeliveries
from kallglot.store.figures import Figures, SqlFigures
from kallglot.store.journal import SqlJournal
from kallglot.store.migrate import versions
from kallglot.store.privacy import SqlExpiry
from kallglot.store.recordings import SqlRecordingLedger
from kallglot.store.scrubbing import Scrubber
from kallglot.store.sql import SqlStore
from kallglot.store.telephony import SqlCalls
from kallglot.store.words import in_words

__all__ = [
    "Figures",
    "Scrubber",
    "SqlAnalysisQueue",
    "SqlCalls",
    "SqlDeliveries",
    "SqlExpiry",
    "SqlFigures",
    "SqlJournal",
    "SqlRecordingLedger",
    "SqlStore",
    "in_words",
    "versions",
]
