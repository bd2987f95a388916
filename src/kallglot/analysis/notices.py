"""An analysis as customers see it, and the event that tells them that it is over."""

from __future__ import annotations

from typing import Any, Final

from kallglot.analysis.model import PARTS, Analysis
from kallglot.clock import iso
from kallglot.ids import EVENT, new_id
from kallglot.outbox import Event

_TOLD: Final = {"completed": "analysis.complete", "failed": "analysis.failed"}


def view(one: Analysis) -> dict[str, Any]:
    """All fields, those without a value null."""
    result = one.result or {}
    return {
        "id": one.id,
        "object": "analysis",
        "session_id": one.session_id,
        "call_id": one.call_id,
        "profile": one.profile,
        "status": one.status,
        "include": list(one.include),
        **{part: result.get(part) for part in PARTS},
        "engine": result.get("engine"),
        "error": one.error,
        "livemode": one.livemode,
        "created_at": iso(one.created_at),
        "completed_at": None if one.completed_at is None else iso(one.completed_at),
    }


def over(one: Analysis) -> Event:
    """For one that is completed or failed."""
    assert one.completed_at is not None
    return Event(
        new_id(EVENT),
        one.organization_id,
        one.livemode,
        one.session_id,
        _TOLD[one.status],
        {"data": view(one)},
        one.completed_at,
    )
