"""The life of a session: it only ever moves forward."""

from __future__ import annotations

from typing import Final

from kallglot.session.model import EndReason, Status

ORDER: Final[tuple[Status, ...]] = ("created", "connecting", "active", "ending", "ended")


def is_forward(current: Status, target: Status) -> bool:
    return ORDER.index(target) > ORDER.index(current)


def before(target: Status) -> tuple[Status, ...]:
    """The states from which ``target`` may be entered."""
    return ORDER[: ORDER.index(target)]


STREAM_CLOSE_CODES: Final[dict[EndReason, int]] = {"error": 1011}
"""The WebSocket close code for an ending; 1000 where none is named."""
