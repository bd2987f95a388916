"""What a session used, in seconds, worked out from its times and turns when it ends."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from kallglot.session.model import Turn, Usage


def used(started_at: datetime | None, last_connected_at: datetime, turns: Iterable[Turn]) -> Usage:
    """Session seconds run from the first audio to the last moment at which a leg was connected, silence and hold and
    gaps that were bridged by a reconnect included; waiting in vain for a reconnect is not charged.

    Translation seconds are the speech that was translated, once however many languages it was translated to;
    two people who talk at once are counted once.
    """
    if started_at is None:
        return Usage(0.0, 0.0, 0.0)
    session_seconds = max(0.0, (last_connected_at - started_at).total_seconds())
    spans = sorted((turn.start_ms, turn.end_ms) for turn in turns if turn.translations)
    translated_ms = 0
    reached = 0
    for start, end in spans:
        start = max(start, reached)
        if end > start:
            translated_ms += end - start
            reached = end
    return Usage(round(session_seconds, 3), round(translated_ms / 1000, 3), 0.0)
