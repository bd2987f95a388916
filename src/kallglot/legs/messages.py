"""The stream's JSON messages, both ways. ``type`` tells them apart; unknown fields are ignored."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

Name = Annotated[str, Meta(min_length=1, max_length=128)]
Number = int | float


class AudioPayload(Struct):
    payload: bytes
    """Base64 in JSON."""
    encoding: str = "mulaw"
    sample_rate_hz: int = 8000


class AudioInput(Struct, tag="audio.input"):
    audio: AudioPayload
    sequence: Number | None = None
    timestamp_ms: Number | None = None
    speaker: str | None = None


class AudioFormat(Struct, tag="audio.format"):
    """From here on binary frames are raw audio of this form. ``output`` asks for binary audio back."""

    encoding: str
    sample_rate_hz: int = 8000
    speaker: str | None = None
    output: str = "json"


class Ping(Struct, tag="ping"):
    pass


class SessionEnd(Struct, tag="session.end"):
    pass


class Mute(Struct, tag="mute"):
    speaker: str | None = None


class Unmute(Struct, tag="unmute"):
    speaker: str | None = None


class PlaybackMarkIn(Struct, tag="playback.mark"):
    name: Name


class PlaybackClear(Struct, tag="playback.clear"):
    pass


class TextInput(Struct, tag="text.input"):
    text: Annotated[str, Meta(min_length=1, max_length=4000)]
    speaker: str | None = None


class ParticipantUpdate(Struct, tag="participant.update"):
    """The participant goes on in another language, and hears the others in it."""

    language: Annotated[str, Meta(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", max_length=35)]
    speaker: str | None = None


class DtmfIn(Struct, tag="dtmf"):
    digits: Annotated[str, Meta(pattern=r"^[0-9*#A-Da-dwW]{1,64}$")]


class OlderAudio(Struct, tag="audio"):
    data: bytes
    encoding: str = "pcm_16"
    sample_rate: int = 16000
    channels: int = 1
    speaker: str | None = None


class OlderControl(Struct, tag="control"):
    action: str


class OlderEnd(Struct, tag="end"):
    pass


OlderMessage = OlderAudio | OlderControl | OlderEnd
ClientMessage = (
    AudioInput
    | AudioFormat
    | Ping
    | SessionEnd
    | Mute
    | Unmute
    | PlaybackMarkIn
    | PlaybackClear
    | TextInput
    | ParticipantUpdate
    | DtmfIn
)


class OutputFormatOut(Struct):
    encoding: str
    sample_rate_hz: int


class ParticipantOut(Struct):
    id: str
    role: str
    language: str | None
    name: str | None


class SessionReady(Struct, tag="session.ready"):
    session_id: str
    status: str
    participants: list[ParticipantOut]
    audio: OutputFormatOut


class TranscriptPartialOut(Struct, tag="transcript.partial"):
    speaker: str
    participant_id: str
    turn_id: str
    text: str
    stable_text: str
    language: str | None
    start_ms: int


class TranslationOut(Struct):
    language: str
    text: str


class TranscriptFinalOut(Struct, tag="transcript.final"):
    speaker: str
    participant_id: str
    turn_id: str
    text: str
    language: str | None
    confidence: float | None
    start_ms: int
    end_ms: int
    sequence: int
    translation: TranslationOut | None
    translations: list[TranslationOut]


class AudioOut(Struct):
    encoding: str
    sample_rate_hz: int
    payload: bytes


class AudioOutput(Struct, tag="audio.output"):
    sequence: int
    speaker: str
    listener: str
    turn_id: str | None
    audio: AudioOut


class PlaybackStartedOut(Struct, tag="playback.started"):
    turn_id: str
    listener: str


class PlaybackFinishedOut(Struct, tag="playback.finished"):
    turn_id: str
    listener: str


class PlaybackClearedOut(Struct, tag="playback.cleared"):
    turn_id: str
    listener: str


class PlaybackMarkOut(Struct, tag="playback.mark"):
    name: str


class SpeechStartedOut(Struct, tag="speech.started"):
    speaker: str
    participant_id: str
    at_ms: int


class SpeechStoppedOut(Struct, tag="speech.stopped"):
    speaker: str
    participant_id: str
    at_ms: int


class ParticipantJoinedOut(Struct, tag="participant.joined"):
    participant: ParticipantOut


class ParticipantLeftOut(Struct, tag="participant.left"):
    participant: ParticipantOut


class ParticipantUpdatedOut(Struct, tag="participant.updated"):
    participant: ParticipantOut


class LanguageDetectedOut(Struct, tag="language.detected"):
    """Once, or again when a participant whose language nobody named changes it."""

    speaker: str
    participant_id: str
    language: str
    previous: str | None
    confidence: float


class FloorHeldOut(Struct, tag="floor.held"):
    """The speaker has stopped, and the listeners (roles) still hear the translation of what they said."""

    speaker: str
    participant_id: str
    listeners: list[str]


class FloorReleasedOut(Struct, tag="floor.released"):
    """Everybody has heard the speaker, or the speaker goes on."""

    speaker: str
    participant_id: str


class DtmfOut(Struct, tag="dtmf"):
    digits: str
    speaker: str | None


class Pong(Struct, tag="pong"):
    session_id: str


class WarningOut(Struct, tag="warning"):
    code: str
    message: str


class ErrorOut(Struct, tag="error"):
    code: str
    message: str


class SessionEnded(Struct, tag="session.ended"):
    session_id: str
    reason: str


ServerMessage = (
    SessionReady
    | TranscriptPartialOut
    | TranscriptFinalOut
    | AudioOutput
    | PlaybackStartedOut
    | PlaybackFinishedOut
    | PlaybackClearedOut
    | PlaybackMarkOut
    | SpeechStartedOut
    | SpeechStoppedOut
    | ParticipantJoinedOut
    | ParticipantLeftOut
    | ParticipantUpdatedOut
    | LanguageDetectedOut
    | FloorHeldOut
    | FloorReleasedOut
    | DtmfOut
    | Pong
    | WarningOut
    | ErrorOut
    | SessionEnded
)

_decoder = msgspec.json.Decoder(ClientMessage | OlderMessage)
_encoder = msgspec.json.Encoder()


def decode(data: bytes) -> ClientMessage | OlderMessage:
    """Raises :class:`msgspec.DecodeError` with a sentence that says what was wrong where."""
    return _decoder.decode(data)


def encode(message: ServerMessage) -> bytes:
    return _encoder.encode(message)


def schemas() -> dict[str, Any]:
    """JSON Schemas of all messages, for the AsyncAPI document: ``client``, ``server``, ``components``."""
    structs: tuple[type[Struct], ...] = (*ClientMessage.__args__, *OlderMessage.__args__, *ServerMessage.__args__)
    refs, components = msgspec.json.schema_components(structs, ref_template="#/components/schemas/{name}")
    count = len(ClientMessage.__args__) + len(OlderMessage.__args__)
    return {"client": list(refs[:count]), "server": list(refs[count:]), "components": components}
