"""What customers are told of: events, written in the transaction of the change that they report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """``body`` holds what is shown beside the envelope's id, type and time: ``data``, and for provider events the older
    flat ``session_id`` and ``provider``."""

    id: str
    organization_id: str
    livemode: bool
    session_id: str | None
    type: str
    body: Mapping[str, Any]
    created_at: datetime
