"""What a session is made of, as it is kept: plain values, no behaviour beyond reading themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from kallglot.speech.used import EngineUse

Mode = Literal["bidirectional_translation", "assistive_translation", "ai_agent", "help_chat_voice"]
Role = Literal["customer", "agent"]
Status = Literal["created", "connecting", "active", "ending", "ended"]
EndReason = Literal["completed", "customer_hangup", "agent_hangup", "error", "timeout", "explicit_end"]


@dataclass(frozen=True, slots=True)
class Participant:
    """``language`` is BCP 47, or None until it is detected."""

    id: str
    role: Role
    language: str | None = None
    name: str | None = None
    detected: bool = False
    """The language was heard, not named: it may turn out to be another."""
    muted: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    session_seconds: float
    translation_seconds: float
    ai_agent_seconds: float


@dataclass(frozen=True, slots=True)
class Session:
    """One row of the sessions table. The JSON-shaped fields hold what the API validated, in the API's own words."""

    id: str
    organization_id: str
    livemode: bool
    status: Status
    mode: Mode
    participants: tuple[Participant, ...]
    created_at: datetime
    source_language: str | None = None
    target_language: str | None = None
    api_key_id: str | None = None
    carrier: str | None = None
    """``twilio``, ``telnyx`` or ``sip`` where a carrier is known."""
    phone_number: str | None = None
    routing: Mapping[str, Any] | None = None
    provider: Mapping[str, Any] | None = None
    """The older nested form, where the session was created with it; never holds a password."""
    voice: Mapping[str, Any] | None = None
    recording: Mapping[str, Any] = field(default_factory=lambda: {"enabled": False, "channels": "dual"})
    transcription: Mapping[str, Any] = field(default_factory=dict[str, Any])
    translation: Mapping[str, Any] = field(default_factory=dict[str, Any])
    ai_agent: Mapping[str, Any] | None = None
    webhook_url: str | None = None
    metadata: Mapping[str, str] | None = None
    started_at: datetime | None = None
    """First audio received."""
    ended_at: datetime | None = None
    end_reason: EndReason | None = None
    deadline_at: datetime | None = None
    """When the session ends by itself unless something happens; None while a leg is connected."""
    usage: Usage | None = None
    """Set when the session has ended."""
    redaction: Mapping[str, Any] | None = None
    """What is masked in its transcript, as the organisation's policy said when it was created."""
    transcript_deleted_at: datetime | None = None
    engines: Mapping[str, Mapping[str, Any]] | None = None
    """The engines it chose, in order (:mod:`kallglot.speech.orders`), its organisation's behind its own."""

    @property
    def duration_seconds(self) -> float | None:
        """First audio to the end; None before the end, 0.0 for a session that never had audio."""
        if self.ended_at is None:
            return None
        if self.started_at is None:
            return 0.0
        return max(0.0, (self.ended_at - self.started_at).total_seconds())


@dataclass(frozen=True, slots=True)
class Translation:
    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One utterance with its translations. ``start_ms``/``end_ms`` count from the session's first audio."""

    id: str
    session_id: str
    sequence: int
    """From 1, without gaps, in the order in which ``transcript.final`` was sent."""
    participant_id: str
    speaker: Role
    language: str | None
    text: str
    start_ms: int
    end_ms: int
    created_at: datetime
    confidence: float | None = None
    translations: tuple[Translation, ...] = ()
    engines: tuple[EngineUse, ...] = ()
    """Who recognised, translated and, as far as that is over, spoke it, and how much was asked of them."""
