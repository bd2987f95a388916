"""A recording, as it is kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

Channel = Literal["mixed", "heard"]
Status = Literal["processing", "ready", "failed"]

MASTER: Final = "flac"
DEFAULT_FORMAT: Final = "mp3"
BIT_DEPTH: Final = 16


@dataclass(frozen=True, slots=True)
class Recording:
    """Of one session: ``mixed`` is what was said, ``heard`` what each side heard. ``channels`` 2 has the customer's
    side left and the agent's right. The figures are None until it is ready."""

    id: str
    session_id: str
    organization_id: str
    livemode: bool
    channel: Channel
    status: Status
    channels: int
    created_at: datetime
    duration_seconds: float | None = None
    size: int | None = None
    """Bytes, as MP3."""
    sample_rate_hz: int | None = None
    expires_at: datetime | None = None
    stored: bool = False
    """Its files are on the shelf."""
    deleted: bool = False
    """It is to go, files first; nobody sees it any more."""

    def key(self, format: str) -> str:
        return key_of(self.id, format)


def key_of(recording_id: str, format: str) -> str:
    return f"{recording_id}/audio.{format}"
