"""Writing down who did what."""

from __future__ import annotations

from typing import Any

from fastapi import Request

from kallglot.accounts.audit import AuditEntry
from kallglot.api.auth import Caller
from kallglot.api.ports.store import UnitOfWork
from kallglot.api.services import services
from kallglot.ids import AUDIT, new_id


async def note(
    unit: UnitOfWork, request: Request, caller: Caller, action: str, target: str | None, **details: Any
) -> None:
    """In the transaction of the act. ``details`` must hold no secrets."""
    await unit.audit.add(
        AuditEntry(
            new_id(AUDIT),
            caller.organization_id,
            caller.key.id,
            action,
            services(request).clock.now(),
            target,
            details,
            request.scope["state"]["request_id"],
        )
    )
