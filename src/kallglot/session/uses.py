"""What engines did for the turns of a live session, stored as it becomes known: a turn is spoken after it is kept."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from kallglot.session.ports import SessionJournal
from kallglot.speech.used import EngineUse, Meter

log = logging.getLogger(__name__)

KEEP_EVERY_SECONDS: Final = 1.0
MOST_OPEN: Final = 512


@dataclass(slots=True)
class _Open:
    meter: Meter
    stored: tuple[EngineUse, ...]
    speeches: int
    """In so many languages it is still to be spoken."""


class TurnUses:
    def __init__(self, session_id: str, journal: SessionJournal) -> None:
        self._session_id = session_id
        self._journal = journal
        self._open: dict[str, _Open] = {}
        self._kept_at = 0.0

    def stored(self, turn_id: str, meter: Meter, stored: tuple[EngineUse, ...], speeches: int) -> None:
        """A turn was stored with what was known of it, and is going to be spoken in so many languages."""
        if speeches:
            self._open[turn_id] = _Open(meter, stored, speeches)
            if len(self._open) > MOST_OPEN:
                del self._open[next(iter(self._open))]

    def spoken(self, turn_id: str) -> None:
        """One language of it was spoken, or could not be."""
        one = self._open.get(turn_id)
        if one is not None:
            one.speeches -= 1

    def due(self, now: float) -> bool:
        """Whether :meth:`keep` has something to store; at most once a second."""
        if now - self._kept_at < KEEP_EVERY_SECONDS:
            return False
        self._kept_at = now
        return any(one.speeches <= 0 for one in self._open.values())

    async def keep(self) -> None:
        """Stores what has changed. A store that is away is asked again the next time."""
        changed = {
            turn_id: uses for turn_id, one in self._open.items() if (uses := one.meter.uses()) and uses != one.stored
        }
        over = [turn_id for turn_id, one in self._open.items() if one.speeches <= 0]
        try:
            if changed:
                await self._journal.add_uses(changed)
        except Exception:
            log.exception("session %s: what its engines did could not be stored", self._session_id)
            return
        for turn_id, uses in changed.items():
            if turn_id in self._open:
                self._open[turn_id].stored = uses
        for turn_id in over:
            self._open.pop(turn_id, None)
