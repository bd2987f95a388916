"""Who did what: one entry for every administrative act, written in its transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

OPERATOR: Final = "operator"
"""Somebody with a shell on the server."""
SYSTEM: Final = "system"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """``actor`` is the id of an API key, ``operator``, ``system`` or a payment provider; ``action`` an object and what
    became of it (``api_key.created``); ``target`` the id of the object. ``details`` holds no secrets."""

    id: str
    organization_id: str
    actor: str
    action: str
    created_at: datetime
    target: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    request_id: str | None = None
