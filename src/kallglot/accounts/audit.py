"""Who did what: one entry for every administrative act, written in its transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from kallglot.ids import API_KEY

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

    @property
    def actor_type(self) -> str:
        """``api_key``, ``operator``, ``system`` or ``payment_provider``."""
        if self.actor.startswith(API_KEY):
            return "api_key"
        return self.actor if self.actor in (OPERATOR, SYSTEM) else "payment_provider"


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What is None is not asked for; times are exclusive."""

    action: str | None = None
    actor: str | None = None
    target: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    by_test_keys: bool = False
    """Only what was done with test keys, which reach nothing live."""
