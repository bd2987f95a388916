"""What is sent: the event as bytes, the same ones each time."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from kallglot.outbox import Event
from kallglot.webhooks.model import envelope

MOST_KEPT_BYTES: Final = 4 * 1024 * 1024
"""Of what goes to many endpoints, or is tried again soon: some five thousand events."""


@dataclass(frozen=True, slots=True)
class Letter:
    event_id: str
    body: bytes
    created_at: datetime


def letter(event: Event) -> Letter:
    body = json.dumps(envelope(event), ensure_ascii=False, separators=(",", ":"))
    return Letter(event.id, body.encode(), event.created_at)


class Letters:
    """Those of late: an event goes to many, and is written once."""

    def __init__(self, most_bytes: int = MOST_KEPT_BYTES) -> None:
        self._kept: OrderedDict[str, Letter] = OrderedDict()
        self._bytes = 0
        self._most = most_bytes

    def get(self, event_id: str) -> Letter | None:
        found = self._kept.get(event_id)
        if found is not None:
            self._kept.move_to_end(event_id)
        return found

    def keep(self, some: Sequence[Letter]) -> None:
        for one in some:
            if one.event_id in self._kept:
                continue
            self._kept[one.event_id] = one
            self._bytes += len(one.body)
        while self._bytes > self._most:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= len(dropped.body)
