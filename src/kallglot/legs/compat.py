"""The older generation of socket messages, turned into the current ones. Nothing else knows them."""

from __future__ import annotations

import audioop
from typing import Final

from kallglot.legs import messages as wire
from kallglot.legs.commands import BadMessage

_ENCODINGS: Final = {"pcm_16": "pcm_s16le", "mulaw": "mulaw", "alaw": "alaw", "pcm_8": "pcm_s16le"}
_MUTES: Final = {"mute": True, "pause_transcription": True, "unmute": False, "resume_transcription": False}


def current(message: wire.OlderMessage, speaker: str | None) -> wire.ClientMessage:
    """``speaker`` is who an older client, which names nobody, speaks for. Raises :class:`BadMessage`."""
    match message:
        case wire.OlderAudio():
            return _audio(message, speaker)
        case wire.OlderControl():
            if message.action not in _MUTES:
                raise BadMessage(
                    "invalid_message", f"action must be one of {', '.join(_MUTES)}, got {message.action[:64]!r}."
                )
            return wire.Mute(speaker) if _MUTES[message.action] else wire.Unmute(speaker)
        case wire.OlderEnd():
            return wire.SessionEnd()


def _audio(message: wire.OlderAudio, speaker: str | None) -> wire.AudioInput:
    encoding = _ENCODINGS.get(message.encoding)
    if encoding is None:
        raise BadMessage(
            "invalid_audio_format", f"encoding must be one of {', '.join(_ENCODINGS)}, got {message.encoding[:64]!r}."
        )
    if message.channels not in (1, 2):
        raise BadMessage("invalid_audio_format", f"channels must be 1 or 2, got {message.channels}.")
    data = message.data
    try:
        if message.encoding == "pcm_8":
            data = audioop.lin2lin(audioop.bias(data, 1, -128), 1, 2)
        if message.channels == 2:
            if encoding != "pcm_s16le":
                raise BadMessage("invalid_audio_format", "Two channels are understood in pcm_16 and pcm_8 only.")
            data = audioop.tomono(data, 2, 0.5, 0.5)
    except audioop.error as error:
        raise BadMessage("invalid_audio_format", f"The audio cannot be read: {error}.") from None
    rate = 8000 if encoding in ("mulaw", "alaw") else message.sample_rate
    return wire.AudioInput(wire.AudioPayload(data, encoding, rate), speaker=message.speaker or speaker)
