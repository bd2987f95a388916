"""What a stream's address says: which session, whose token, and how the peer wants its audio."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, unquote

from kallglot.audio.codec import AudioFormatError, encoder
from kallglot.session.leg import OutputFormat

_PATH: Final = re.compile(r"^/v1/sessions/([^/?#]{1,64})/connect$")
_OUTPUT: Final = re.compile(r"^(mulaw|alaw|pcm_s16le|opus)(?:[_@](\d{4,5}))?$")


@dataclass(frozen=True, slots=True)
class StreamAddress:
    session_id: str
    token: str | None
    participant: str | None
    audio: str | None
    pace: str | None
    protocol: str | None


class BadAddress(ValueError):
    """``code`` is an error code of the stream."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def parse(target: str, authorization: str | None) -> StreamAddress | None:
    """Reads the request target of an upgrade; None where it is not a stream's address."""
    path, _, query = target.partition("?")
    match = _PATH.match(unquote(path))
    if match is None:
        return None
    found = {name: values[-1] for name, values in parse_qs(query, max_num_fields=32).items()} if query else {}
    token = found.get("token")
    if token is None and authorization is not None and authorization[:7].lower() == "bearer ":
        token = authorization[7:].strip()
    return StreamAddress(
        match.group(1), token, found.get("participant"), found.get("audio"), found.get("pace"), found.get("protocol")
    )


def output_format(address: StreamAddress) -> OutputFormat:
    """``audio=pcm_s16le_16000&pace=burst``; mu-law 8 kHz at the pace of speech where it says nothing.

    Raises :class:`BadAddress`.
    """
    if address.pace not in (None, "realtime", "burst"):
        raise BadAddress("invalid_message", f"pace must be realtime or burst, got {address.pace[:64]!r}.")
    burst = address.pace == "burst"
    if address.audio is None:
        return OutputFormat(burst=burst)
    match = _OUTPUT.match(address.audio)
    if match is None:
        raise BadAddress(
            "invalid_audio_format",
            f"audio must be an encoding and a rate like mulaw_8000 or pcm_s16le_16000, got {address.audio[:64]!r}.",
        )
    rate = int(match.group(2)) if match.group(2) else 48000 if match.group(1) == "opus" else 8000
    try:
        encoder(match.group(1), rate)
    except AudioFormatError as error:
        raise BadAddress("invalid_audio_format", str(error)) from None
    return OutputFormat(match.group(1), rate, burst)
