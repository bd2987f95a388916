"""How often a key's last use is written down: once a minute, also when many requests come at once."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Final

EVERY: Final = timedelta(minutes=1)
MAX_KEYS: Final = 10_000


class KeyUses:
    """Remembers what this process wrote, bounded; a key that was forgotten is only written once more."""

    def __init__(self) -> None:
        self._written: OrderedDict[str, datetime] = OrderedDict()

    def due(self, key_id: str, last_used_at: datetime | None, now: datetime) -> bool:
        """Whether to write now; the caller that gets True does, and nobody else for a minute."""
        latest = max((at for at in (last_used_at, self._written.get(key_id)) if at is not None), default=None)
        if latest is not None and now - latest < EVERY:
            return False
        self._written[key_id] = now
        self._written.move_to_end(key_id)
        if len(self._written) > MAX_KEYS:
            self._written.popitem(last=False)
        return True
