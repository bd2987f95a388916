"""What customers are told of a call: the ``session.provider.*`` events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal

from kallglot.carriers.model import Call
from kallglot.clock import iso
from kallglot.ids import EVENT, new_id
from kallglot.outbox import Event

ProviderStatus = Literal["connecting", "connected", "disconnected", "failed"]
_CARRIER_ID: Final = {"twilio": "call_sid", "telnyx": "call_control_id"}


def provider_status(call: Call) -> ProviderStatus:
    if call.over:
        return "failed" if call.answered_at is None else "disconnected"
    return "connected" if call.status == "in_progress" else "connecting"


def shown_carrier(call: Call) -> str:
    """A simulated call looks like one of the carrier that it stands in for."""
    return str(call.details.get("provider") or "twilio") if call.carrier == "simulated" else call.carrier


def changes(before: Call | None, after: Call, now: datetime) -> Sequence[Event]:
    """The event that tells of a change, where it is one that customers are told of."""
    status = provider_status(after)
    if before is not None and provider_status(before) == status:
        return ()
    carrier = shown_carrier(after)
    provider: dict[str, Any] = {
        "type": carrier,
        _CARRIER_ID[carrier]: after.carrier_call_id,
        "status": status,
    }
    body = {"session_id": after.session_id, "provider": provider, "data": view(after)}
    kind = f"session.provider.{status}"
    return (Event(new_id(EVENT), after.organization_id, after.livemode, after.session_id, kind, body, now),)


def view(call: Call) -> dict[str, Any]:
    """The call as clients see it."""
    seconds = None
    if call.ended_at is not None:
        began = call.answered_at or call.ended_at
        seconds = round(max(0.0, (call.ended_at - began).total_seconds()), 3)
    transfer = call.details.get("transfer")
    return {
        "id": call.id,
        "object": "call",
        "session_id": call.session_id,
        "provider": shown_carrier(call),
        "connection_id": call.connection_id,
        "provider_call_id": call.carrier_call_id,
        "direction": call.direction,
        "status": call.status,
        "from": call.from_,
        "to": call.to,
        "participant_id": call.participant_id,
        "held": call.held,
        "muted": call.muted,
        "answered_by": call.answered_by,
        "hangup_cause": call.hangup_cause,
        "transfer": None if transfer is None else dict(transfer),
        "duration_seconds": seconds,
        "livemode": call.livemode,
        "created_at": iso(call.created_at),
        "answered_at": None if call.answered_at is None else iso(call.answered_at),
        "ended_at": None if call.ended_at is None else iso(call.ended_at),
    }
