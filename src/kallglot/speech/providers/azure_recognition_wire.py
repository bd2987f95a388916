"""Azure Speech's WebSocket protocol, as far as recognition needs it. Pure.

A message has headers as HTTP has them: a text message before an empty line, a binary one behind their length in two
bytes. A *turn* is audio under one request id, begun by a WAV header and ended by an audio message without audio; the
service may end one, too. Times are ticks of 100 ns since the beginning of the turn.

https://docs.microsoft.com/en-us/azure/cognitive-services/speech/api-reference-rest/websocketprotocol describes it as it
was for the service's predecessor; Microsoft's JavaScript SDK (MIT licence) speaks it today:
https://github.com/microsoft/cognitive-services-speech-sdk-js (SpeechConnectionFactory, WebsocketMessageFormatter)
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from kallglot.speech.providers.azure_recognition_turns import Sending, Turns
from kallglot.speech.remote.codec import Acknowledged, CodecDefaults, Flushed, Heard, Message, Opening
from kallglot.speech.remote.errors import Blame, RemoteError
from kallglot.speech.remote.loose import decoded
from kallglot.speech.stable import StablePrefix
from kallglot.speech.types import EngineError, Partial
from kallglot.speech.types import Final as FinalText

PATH: Final = "/speech/recognition/conversation/cognitiveservices/v1"
TICKS_A_MS: Final = 10_000
MOST_AUDIO_BYTES: Final = 8192
MOST_TERMS: Final = 500
FAILURES: Final[dict[str, Blame]] = {
    "Error": "engine",
    "TooManyRequests": "engine",
    "BadRequest": "request",
    "Forbidden": "key",
}
"""Recognition statuses that are errors; whatever else is no success had no words in it."""


@dataclass(frozen=True, slots=True)
class Framed:
    """One message: its path, its request id, its body."""

    path: str
    request_id: str
    body: str | bytes


def text_message(path: str, request_id: str, at: datetime, document: Any) -> str:
    return f"{_headers(path, request_id, at, 'application/json')}\r\n{msgspec.json.encode(document).decode()}"


def audio_message(request_id: str, at: datetime, audio: bytes, content_type: str | None = None) -> bytes:
    """Without audio it ends the turn."""
    headers = _headers("audio", request_id, at, content_type).encode()
    return struct.pack(">H", len(headers)) + headers + audio


def parse(message: Message) -> Framed:
    """Raises ValueError for what is no message."""
    if isinstance(message, str):
        head, _, body = message.partition("\r\n\r\n")
    else:
        (length,) = struct.unpack_from(">H", message) if len(message) >= 2 else (0,)
        if not length or len(message) < 2 + length:
            raise ValueError("a binary message that is shorter than its headers")
        head, body = message[2 : 2 + length].decode("ascii", "replace"), message[2 + length :]
    headers = {
        name.strip().lower(): value.strip()
        for name, colon, value in (line.partition(":") for line in head.split("\r\n"))
        if colon
    }
    if not headers.get("path"):
        raise ValueError("a message without a path")
    return Framed(headers["path"].lower(), headers.get("x-requestid", "").lower(), body)


def wav_header(sample_rate_hz: int) -> bytes:
    """Of 16-bit mono PCM without an end; sizes are 0, as its length is not known."""
    riff = struct.pack("<4sI4s", b"RIFF", 0, b"WAVE")
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, sample_rate_hz, sample_rate_hz * 2, 2, 16)
    return riff + form + struct.pack("<4sI", b"data", 0)


def speech_config(sample_rate_hz: int) -> dict[str, Any]:
    source = {
        "type": "Stream",
        "connectivity": "Unknown",
        "manufacturer": "Kallglot",
        "model": "Telephone",
        "samplerate": sample_rate_hz,
        "bitspersample": 16,
        "channelcount": 1,
    }
    system = {"name": "Kallglot", "version": "1.0", "build": "Python", "lang": "Python"}
    return {"context": {"system": system, "os": {"platform": "Linux", "name": "Linux"}, "audio": {"source": source}}}


def speech_context(terms: Sequence[str]) -> dict[str, Any] | None:
    """A phrase list, which the service calls a dynamic grammar."""
    items = [{"Text": term} for term in dict.fromkeys(term.strip() for term in terms) if term][:MOST_TERMS]
    return {"dgi": {"Groups": [{"Type": "Generic", "Items": items}]}} if items else None


def _headers(path: str, request_id: str, at: datetime, content_type: str | None) -> str:
    timestamp = at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}Z"
    lines = [f"Path: {path}", f"X-RequestId: {request_id}", f"X-Timestamp: {timestamp}"]
    if content_type:
        lines.append(f"Content-Type: {content_type}")
    return "".join(f"{line}\r\n" for line in lines)


class _Best(msgspec.Struct, rename="pascal"):
    display: str = ""
    confidence: float | None = None


class _Phrase(msgspec.Struct, rename="pascal"):
    recognition_status: str = ""
    display_text: str = ""
    offset: int = 0
    duration: int = 0
    best: list[_Best] = msgspec.field(default_factory=list[_Best], name="NBest")


class _Hypothesis(msgspec.Struct, rename="pascal"):
    text: str = ""
    offset: int = 0


class AzureCodec(CodecDefaults):
    """One connection; turn after turn of it. A turn ends where an utterance is to be flushed, since nothing else makes
    the service tell at once what it has."""

    answers_flush = False
    keepalive_s = 1.0

    def __init__(
        self,
        opening: Opening,
        sample_rate_hz: int,
        *,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
        name: str = "azure",
        partials: bool = True,
        terms: Sequence[str] = (),
    ) -> None:
        self.sample_rate_hz = sample_rate_hz
        self._name = name
        self._now = now
        self._new_id = new_id
        self._partials = partials
        self._context = speech_context(terms)
        self._turns = Turns(sample_rate_hz)
        self._prefix = StablePrefix()
        self._request_id = new_id()
        self._first = True
        self._begun_ms: int | None = None
        """Where the utterance in progress began, on the turn's own time."""
        config = text_message("speech.config", self._request_id, now(), speech_config(sample_rate_hz))
        self._opening = Opening(opening.url, opening.headers, opening.subprotocols, (*opening.greeting, config))

    def open(self) -> Opening:
        return self._opening

    def audio(self, pcm: bytes) -> Sequence[Message]:
        return self._messages(self._turns.push(pcm))

    def finish(self) -> Sequence[Message]:
        return self._messages(self._turns.flush())

    def keepalive(self) -> Sequence[Message]:
        """The service needs none; but nobody else may say that the turn that it ended had another one waiting."""
        return self._messages(self._turns.due())

    def closed(self, code: int | None) -> EngineError | None:
        """1007: the service could not make sense of what it was sent."""
        return RemoteError(f"{self._name} could not use what it was sent", blame="request") if code == 1007 else None

    def read(self, message: Message) -> Iterator[Heard]:
        framed = parse(message)
        if framed.request_id and framed.request_id != self._request_id:
            return
        match framed.path:
            case "speech.hypothesis" | "speech.fragment":
                told = decoded(framed.body, _Hypothesis)
                begun_ms = told.offset // TICKS_A_MS
                if self._begun_ms is None and begun_ms >= self._turns.settled_ms:
                    self._begun_ms = begun_ms
                if self._partials and told.text:
                    shown, stable = self._prefix.step(told.text)
                    yield Partial(shown, stable, self._ms(told.offset), told.text)
            case "speech.phrase":
                yield from self._phrase(decoded(framed.body, _Phrase))
            case "turn.end":
                begun_ms, self._begun_ms = self._begun_ms, None
                if begun_ms is not None and self._turns.forgotten_ms > begun_ms:
                    # The base has kept all of it.
                    raise RemoteError(f"{self._name} ended a turn in the middle of what was said")
                until_ms = self._turns.sent_ms
                self._prefix = StablePrefix()
                if answered := self._turns.ended():
                    yield Acknowledged(until_ms)
                for _ in range(answered):
                    yield Flushed()
            case _:
                pass

    def _phrase(self, phrase: _Phrase) -> Iterator[Heard]:
        status = phrase.recognition_status
        if status in FAILURES:
            raise RemoteError(f"{self._name} could not recognise: {status}", blame=FAILURES[status])
        end = phrase.offset + phrase.duration
        self._turns.settle(end // TICKS_A_MS)
        self._prefix, self._begun_ms = StablePrefix(), None
        best = phrase.best[0] if phrase.best else _Best()
        text = (best.display or phrase.display_text).strip()
        if status == "Success" and text:
            yield FinalText(text, self._ms(phrase.offset), self._ms(end), best.confidence)
        elif end:
            yield Acknowledged(self._ms(end))

    def _messages(self, sendings: Sequence[Sending]) -> list[Message]:
        messages: list[Message] = []
        for sending in sendings:
            if sending.begins:
                messages += self._begin()
            for at in range(0, len(sending.audio), MOST_AUDIO_BYTES):
                messages.append(self._audio(sending.audio[at : at + MOST_AUDIO_BYTES]))
            if sending.ends:
                messages.append(self._audio(b""))
        return messages

    def _begin(self) -> list[Message]:
        """The first turn has the request id of the configuration."""
        if not self._first:
            self._request_id = self._new_id()
        self._first = False
        begun: list[Message] = []
        if self._context is not None:
            begun.append(text_message("speech.context", self._request_id, self._now(), self._context))
        begun.append(audio_message(self._request_id, self._now(), wav_header(self.sample_rate_hz), "audio/x-wav"))
        return begun

    def _audio(self, pcm: bytes) -> bytes:
        return audio_message(self._request_id, self._now(), pcm)

    def _ms(self, ticks: int) -> int:
        return self._turns.start_ms + ticks // TICKS_A_MS
