"""What is wrong with a database, in words that name no secret."""

from __future__ import annotations

from typing import Any, Final

_BY_STATE: Final = {
    "28000": "the database refuses the user",
    "28P01": "the database refuses the password",
    "3D000": "the database does not exist",
    "42501": "the database's user may not do what is needed: it has to own the database",
    "53100": "the database cannot be written: its disk is full",
    "53300": "the database has no connection left for this server",
    "57P03": "the database is starting up",
    "25006": "the database cannot be written: it is read-only",
}
_BY_WORDS: Final = {
    "readonly database": "the database cannot be written: it is read-only",
    "disk is full": "the database cannot be written: its disk is full",
    "disk I/O error": "the database cannot be written: the disk fails",
    "unable to open": "the database's file cannot be opened",
    "not a database": "the database's file is no database",
    "malformed": "the database's file is damaged",
    "database is locked": "the database is locked by another program",
}
AWAY: Final = "the database does not answer"


def in_words(error: BaseException) -> str:
    seen: BaseException | None = error
    while seen is not None:
        state: Any = getattr(seen, "sqlstate", None)
        if state in _BY_STATE:
            return _BY_STATE[state]
        said = str(getattr(seen, "orig", None) or seen)
        for part, words in _BY_WORDS.items():
            if part in said:
                return words
        seen = seen.__cause__ or seen.__context__
    return AWAY
