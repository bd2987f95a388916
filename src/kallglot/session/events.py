"""What a live session tells its legs. A leg turns these into its wire format, or leaves out what that cannot say."""

from __future__ import annotations

from dataclasses import dataclass

from kallglot.session.model import EndReason, Participant, Status, Translation, Turn


@dataclass(frozen=True, slots=True)
class Ready:
    session_id: str
    status: Status
    participants: tuple[Participant, ...]


@dataclass(frozen=True, slots=True)
class TranscriptPartial:
    speaker: Participant
    turn_id: str
    text: str
    stable_text: str
    start_ms: int


@dataclass(frozen=True, slots=True)
class TranscriptFinal:
    speaker: Participant
    turn: Turn

    @property
    def translation(self) -> Translation | None:
        """For the other side: the first target."""
        return self.turn.translations[0] if self.turn.translations else None


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    speaker: Participant
    at_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    speaker: Participant
    at_ms: int


@dataclass(frozen=True, slots=True)
class PlaybackStarted:
    """``at_ms``, here and below, is monotonic: when the listener hears it."""

    turn_id: str
    listener: str
    at_ms: float


@dataclass(frozen=True, slots=True)
class PlaybackFinished:
    turn_id: str
    listener: str
    at_ms: float


@dataclass(frozen=True, slots=True)
class PlaybackCleared:
    turn_id: str
    listener: str


@dataclass(frozen=True, slots=True)
class PlaybackMark:
    name: str


@dataclass(frozen=True, slots=True)
class ParticipantJoined:
    participant: Participant


@dataclass(frozen=True, slots=True)
class ParticipantLeft:
    participant: Participant


@dataclass(frozen=True, slots=True)
class LanguageDetected:
    """``participant`` as it is now."""

    participant: Participant
    before: str | None
    confidence: float


@dataclass(frozen=True, slots=True)
class ParticipantUpdated:
    participant: Participant


@dataclass(frozen=True, slots=True)
class FloorChanged:
    """``taken``: the speaker has stopped, and ``listeners`` (roles) still hear what they said."""

    speaker: Participant
    taken: bool
    listeners: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dtmf:
    speaker: Participant | None
    digits: str


@dataclass(frozen=True, slots=True)
class Warned:
    """Something does not work and the session goes on without it."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Ended:
    session_id: str
    reason: EndReason


SessionEvent = (
    Ready
    | TranscriptPartial
    | TranscriptFinal
    | SpeechStarted
    | SpeechStopped
    | PlaybackStarted
    | PlaybackFinished
    | PlaybackCleared
    | PlaybackMark
    | ParticipantJoined
    | ParticipantLeft
    | ParticipantUpdated
    | LanguageDetected
    | FloorChanged
    | Dtmf
    | Warned
    | Ended
)
