"""The native dialect of the stream, sans-IO: bytes in, commands out; events in, bytes out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import pybase64

from kallglot.audio.codec import AudioFormatError, Decoder, decoder
from kallglot.legs import messages as wire
from kallglot.legs.commands import (
    Audio,
    BadMessage,
    Clear,
    Command,
    Digits,
    End,
    Mark,
    Reply,
    SetMute,
    SpeakIn,
    Text,
)
from kallglot.session import events
from kallglot.session.leg import OutputFormat
from kallglot.session.model import Participant, Translation

MAX_CHUNK_MS: Final = 1000
MAX_TIMESTAMP: Final = 1e15


class NativeCodec:
    """One connection. ``bound`` is whom it speaks and hears for, None for everybody.

    ``find`` resolves a participant by id or role; ``translate_older`` turns an older message into a current one.
    """

    def __init__(
        self,
        session_id: str,
        output: OutputFormat,
        bound: Participant | None,
        find: Callable[[str], Participant | None],
        translate_older: Callable[[wire.OlderMessage], wire.ClientMessage],
    ) -> None:
        self._session_id = session_id
        self.output = output
        self._bound = bound
        self._find = find
        self._translate_older = translate_older
        self._decoders: dict[tuple[str, str, int], Decoder] = {}
        self._binary_in: tuple[str, Decoder] | None = None
        self.binary_out = False
        self._sequence = 0
        self._heads: dict[tuple[str, str, str | None], bytes] = {}

    late_ms = 0.0
    kind = "native"

    def receive(self, data: bytes, *, binary: bool, now_ms: float) -> Sequence[Command]:
        command = self.binary(data) if binary else self.text(data)
        return () if command is None else (command,)

    def text(self, data: bytes) -> Command | None:
        """One text message; None where there is nothing to do. Raises :class:`BadMessage`."""
        try:
            message = wire.decode(data)
        except (msgspec.DecodeError, RecursionError) as error:
            raise BadMessage("invalid_message", f"The message cannot be read: {error}") from None
        if isinstance(message, wire.OlderAudio | wire.OlderControl | wire.OlderEnd):
            message = self._translate_older(message)
        match message:
            case wire.AudioInput():
                return self._audio(message)
            case wire.AudioFormat():
                self._set_binary(message)
                return None
            case wire.Ping():
                return Reply(wire.encode(wire.Pong(self._session_id)))
            case wire.SessionEnd():
                return End()
            case wire.Mute():
                return SetMute(self._speaker(message.speaker).id, True)
            case wire.Unmute():
                return SetMute(self._speaker(message.speaker).id, False)
            case wire.PlaybackMarkIn():
                return Mark(message.name)
            case wire.PlaybackClear():
                return Clear()
            case wire.TextInput():
                if not message.text.strip():
                    raise BadMessage("invalid_message", "text is empty.")
                return Text(self._speaker(message.speaker).id, message.text.strip())
            case wire.ParticipantUpdate():
                return SpeakIn(self._speaker(message.speaker).id, message.language)
            case wire.DtmfIn():
                return Digits(message.digits)

    def binary(self, data: bytes) -> Command:
        """One binary frame of the audio that ``audio.format`` announced. Raises :class:`BadMessage`."""
        if self._binary_in is None:
            raise BadMessage("invalid_message", "A binary frame came before audio.format said what it holds.")
        participant_id, source = self._binary_in
        return Audio(participant_id, self._decode(source, data), source.sample_rate_hz, None)

    def _audio(self, message: wire.AudioInput) -> Audio:
        speaker = self._speaker(message.speaker)
        audio = message.audio
        source = self._decoder(speaker.id, audio.encoding, audio.sample_rate_hz)
        stamp = message.timestamp_ms
        if stamp is not None and not (math.isfinite(stamp) and abs(stamp) < MAX_TIMESTAMP):
            raise BadMessage("invalid_message", f"timestamp_ms must be a time in milliseconds, got {stamp}.")
        return Audio(speaker.id, self._decode(source, audio.payload), source.sample_rate_hz, stamp)

    def _decode(self, source: Decoder, payload: bytes) -> bytes:
        try:
            pcm = source.decode(payload)
        except AudioFormatError as error:
            raise BadMessage("invalid_audio_format", str(error)) from None
        duration_ms = len(pcm) / 2 * 1000 / source.sample_rate_hz
        if not pcm or duration_ms > MAX_CHUNK_MS:
            raise BadMessage(
                "invalid_audio_format", f"A chunk holds 10 to {MAX_CHUNK_MS} ms of audio, got {duration_ms:.0f} ms."
            )
        return pcm

    def _decoder(self, participant_id: str, encoding: str, sample_rate_hz: int) -> Decoder:
        key = (participant_id, encoding, sample_rate_hz)
        known = self._decoders.get(key)
        if known is None:
            try:
                known = self._decoders[key] = decoder(encoding, sample_rate_hz)
            except AudioFormatError as error:
                raise BadMessage("invalid_audio_format", str(error)) from None
        return known

    def _set_binary(self, message: wire.AudioFormat) -> None:
        speaker = self._speaker(message.speaker)
        if message.output not in ("json", "binary"):
            raise BadMessage("invalid_message", f"output must be json or binary, got {message.output!r}.")
        if message.output == "binary" and self._bound is None:
            raise BadMessage(
                "invalid_message", "Binary output needs a connection bound to one participant (?participant=agent)."
            )
        self._binary_in = (speaker.id, self._decoder(speaker.id, message.encoding, message.sample_rate_hz))
        self.binary_out = message.output == "binary"

    def _speaker(self, name: str | None) -> Participant:
        if name is None:
            if self._bound is None:
                raise BadMessage("unknown_speaker", "speaker is required: this connection speaks for everybody.")
            return self._bound
        found = self._find(name)
        if found is None:
            raise BadMessage("unknown_speaker", f"No participant has the id or role {name[:64]!r}.")
        if self._bound is not None and found.id != self._bound.id:
            raise BadMessage("unknown_speaker", f"This connection is bound to {self._bound.role}.")
        return found

    def audio(
        self, listener: Participant, speaker: str, turn_id: str | None, payload: bytes, now_ms: float = 0.0
    ) -> Sequence[bytes]:
        """One frame of ``audio.output``; its JSON is put together by hand, as it is sent fifty times a second."""
        if self.binary_out:
            return (payload,)
        key = (listener.role, speaker, turn_id)
        head = self._heads.get(key)
        if head is None:
            if len(self._heads) > 64:
                self._heads.clear()
            empty = wire.AudioOut(self.output.encoding, self.output.sample_rate_hz, b"")
            whole = wire.encode(wire.AudioOutput(0, speaker, listener.role, turn_id, empty))
            head = whole.removeprefix(b'{"type":"audio.output","sequence":0').removesuffix(b'"}}')
            self._heads[key] = head
        self._sequence += 1
        return (b'{"type":"audio.output","sequence":%d%b%b"}}' % (self._sequence, head, pybase64.b64encode(payload)),)

    def error(self, code: str, message: str) -> bytes:
        return wire.encode(wire.ErrorOut(code, message))

    def event(self, event: events.SessionEvent, now_ms: float = 0.0) -> bytes:
        return wire.encode(self._message(event))

    def _message(self, event: events.SessionEvent) -> wire.ServerMessage:
        match event:
            case events.Ready():
                return wire.SessionReady(
                    event.session_id,
                    event.status,
                    [_participant(participant) for participant in event.participants],
                    wire.OutputFormatOut(self.output.encoding, self.output.sample_rate_hz),
                )
            case events.TranscriptPartial():
                who = event.speaker
                return wire.TranscriptPartialOut(
                    who.role, who.id, event.turn_id, event.text, event.stable_text, who.language, event.start_ms
                )
            case events.TranscriptFinal():
                turn = event.turn
                return wire.TranscriptFinalOut(
                    speaker=turn.speaker,
                    participant_id=turn.participant_id,
                    turn_id=turn.id,
                    text=turn.text,
                    language=turn.language,
                    confidence=turn.confidence,
                    start_ms=turn.start_ms,
                    end_ms=turn.end_ms,
                    sequence=turn.sequence,
                    translation=None if event.translation is None else _translation(event.translation),
                    translations=[_translation(translation) for translation in turn.translations],
                )
            case events.SpeechStarted():
                return wire.SpeechStartedOut(event.speaker.role, event.speaker.id, event.at_ms)
            case events.SpeechStopped():
                return wire.SpeechStoppedOut(event.speaker.role, event.speaker.id, event.at_ms)
            case events.PlaybackStarted():
                return wire.PlaybackStartedOut(event.turn_id, event.listener)
            case events.PlaybackFinished():
                return wire.PlaybackFinishedOut(event.turn_id, event.listener)
            case events.PlaybackCleared():
                return wire.PlaybackClearedOut(event.turn_id, event.listener)
            case events.PlaybackMark():
                return wire.PlaybackMarkOut(event.name)
            case events.ParticipantJoined():
                return wire.ParticipantJoinedOut(_participant(event.participant))
            case events.ParticipantLeft():
                return wire.ParticipantLeftOut(_participant(event.participant))
            case events.ParticipantUpdated():
                return wire.ParticipantUpdatedOut(_participant(event.participant))
            case events.LanguageDetected():
                who = event.participant
                return wire.LanguageDetectedOut(who.role, who.id, who.language or "", event.before, event.confidence)
            case events.FloorChanged():
                who = event.speaker
                if event.taken:
                    return wire.FloorHeldOut(who.role, who.id, list(event.listeners))
                return wire.FloorReleasedOut(who.role, who.id)
            case events.Dtmf():
                return wire.DtmfOut(event.digits, event.speaker.role if event.speaker else None)
            case events.Warned():
                return wire.WarningOut(event.code, event.message)
            case events.Ended():
                return wire.SessionEnded(event.session_id, event.reason)


def _participant(participant: Participant) -> wire.ParticipantOut:
    return wire.ParticipantOut(participant.id, participant.role, participant.language, participant.name)


def _translation(translation: Translation) -> wire.TranslationOut:
    return wire.TranslationOut(translation.language, translation.text)
