"""The messages of DeepL Voice, and the utterances in its running transcripts. Pure.

Transcripts are one run of segments: concluded ones, which are told once, and tentative ones behind them. An utterance
ends with a sentence, before a pause, or where nothing is tentative any more. Where a translation is wanted, its final
waits for the translation to have got as far.

Source: https://developers.deepl.com/api-reference/voice/websocket-streaming (messages, times in milliseconds of the
session's audio), https://developers.deepl.com/api-reference/voice/request-session.
"""

from __future__ import annotations

import base64
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from kallglot.speech.languages import base
from kallglot.speech.providers import deepl_wire
from kallglot.speech.providers.deepl_voice_socket import END, IDLE, VoiceOpening
from kallglot.speech.remote.codec import CodecDefaults, Flushed, Heard, Message
from kallglot.speech.remote.config import ProviderConfig
from kallglot.speech.remote.errors import RemoteError, of_status
from kallglot.speech.remote.loose import decoded
from kallglot.speech.types import Final as FinalText
from kallglot.speech.types import Partial, RecognizerOptions

PAUSE_MS: Final = 800
SLACK_MS: Final = 200
"""Times of the transcript and of its translation are estimates."""
MOST_WAITING: Final = 3
"""Utterances that wait for their translation; the oldest goes without it then."""
_SENTENCE_END: Final = re.compile(r"[.!?…。！？؟।][\"'»”’)\]]*\s*$")


class _Segment(msgspec.Struct):
    text: str
    start: float = msgspec.field(default=0.0, name="start_time")
    end: float = msgspec.field(default=0.0, name="end_time")
    language: str = ""

    @property
    def start_time(self) -> int:
        return round(self.start)

    @property
    def end_time(self) -> int:
        return max(self.start_time, round(self.end))


class _Update(msgspec.Struct):
    concluded: list[_Segment] = []
    tentative: list[_Segment] = []


class _Trouble(msgspec.Struct):
    error_code: int = 500
    reason_code: int = 0


class _Message(msgspec.Struct):
    source_transcript_update: _Update | None = None
    target_transcript_update: _Update | None = None
    end_of_source_transcript: dict[str, Any] | None = None
    end_of_target_transcript: dict[str, Any] | None = None
    end_of_stream: dict[str, Any] | None = None
    error: _Trouble | None = None


@dataclass(slots=True)
class _Utterance:
    text: str
    start_ms: int
    end_ms: int
    language: str


@dataclass(slots=True)
class _Session:
    """``begun_ms``: at which of the milliseconds that we were given it begins. ``ended`` by us; ``asked``: its end is
    the answer to a question."""

    begun_ms: int
    ended: bool = False
    asked: bool = False


class DeeplVoiceCodec(CodecDefaults):
    piece_ms = 100
    keepalive_s = 20.0
    """After 30 seconds without audio the vendor ends a session."""

    def __init__(self, config: ProviderConfig, options: RecognizerOptions) -> None:
        self.sample_rate_hz = options.sample_rate_hz
        self._config = config
        self._options = options
        self._sent = 0
        self._sessions: deque[_Session] = deque((_Session(0),))
        """Those whose end is out. The connection begins with one."""
        self._forget_session()

    def open(self) -> VoiceOpening:
        """``POST /v3/voice/realtime``."""
        config, options = self._config, self._options
        key = config.api_key or ""
        document: dict[str, Any] = {
            "source_media_content_type": f"audio/pcm;encoding=s16le;rate={self.sample_rate_hz}",
            "message_format": "json",
            "target_languages": [],
        }
        if options.language is not None:
            document["source_language"] = deepl_wire.source_code(options.language).lower()
            document["source_language_mode"] = "fixed"
        if options.translate_to is not None:
            document["target_languages"] = [voice_code(deepl_wire.target_code(options.translate_to, self._variants()))]
        for option in ("glossary_id", "formality"):
            value = config.text(option)
            if value is not None:
                document[option] = value
        address = config.address(deepl_wire.address(key))
        return VoiceOpening(f"{address}/v3/voice/realtime", deepl_wire.headers(key), document=document)

    def audio(self, pcm: bytes) -> Sequence[Message]:
        if not self._speaking:
            self._sessions.append(_Session(self._sent_ms))
        self._sent += len(pcm) // 2
        data = base64.b64encode(pcm).decode()
        return (f'{{"source_media_chunk":{{"data":"{data}"}}}}',)

    def finish(self) -> Sequence[Message]:
        if not self._speaking:
            self._sessions.append(_Session(self._sent_ms))
        self._sessions[-1].ended = self._sessions[-1].asked = True
        return (END,)

    def keepalive(self) -> Sequence[Message]:
        if self._speaking:
            self._sessions[-1].ended = True
        return (IDLE,)

    def read(self, message: Message) -> Iterable[Heard]:
        told = decoded(message, _Message)
        if told.error is not None:
            code, reason = told.error.error_code, str(told.error.reason_code)
            raise of_status(self._config.name, code, {}, datetime.now(UTC), reason)
        if told.source_transcript_update is not None:
            yield from self._source(told.source_transcript_update)
        elif told.target_transcript_update is not None:
            yield from self._target(told.target_transcript_update)
        elif told.end_of_source_transcript is not None:
            yield from self._conclude()
        elif told.end_of_target_transcript is not None:
            self._translated_ms = self._last_ms
            yield from self._finals()
        elif told.end_of_stream is not None:
            self._translated_ms = self._last_ms
            yield from self._conclude()
            yield from self._finals(everything=True)
            yield from self._session_ended()
        else:
            raise ValueError("no message of DeepL's")

    def _session_ended(self) -> Iterator[Heard]:
        self._forget_session()
        if not self._sessions or not self._sessions[0].ended:
            raise RemoteError(f"{self._config.name} ended the session")
        if self._sessions.popleft().asked:
            yield Flushed()

    def _source(self, update: _Update) -> Iterator[Heard]:
        for segment in update.concluded:
            if self._concluded is not None and segment.start_time - self._concluded.end_ms >= PAUSE_MS:
                yield from self._conclude()
            self._add(segment)
            if _SENTENCE_END.search(segment.text):
                yield from self._conclude()
        tentative = "".join(segment.text for segment in update.tentative)
        if not tentative.strip():
            yield from self._conclude()
        elif self._concluded is not None:
            stable = self._concluded.text.strip()
            text = (self._concluded.text + tentative).strip()
            yield Partial(text, stable, self._ours(self._concluded.start_ms))
        else:
            yield Partial(tentative.strip(), "", self._ours(update.tentative[0].start_time))

    def _target(self, update: _Update) -> Iterator[Heard]:
        for segment in update.concluded:
            self._translations.append(segment)
            self._translated_ms = max(self._translated_ms, segment.end_time)
        yield from self._finals()

    def _add(self, segment: _Segment) -> None:
        self._last_ms = max(self._last_ms, segment.end_time)
        if self._concluded is None:
            if segment.text.strip():
                self._concluded = _Utterance(segment.text, segment.start_time, segment.end_time, segment.language)
            return
        self._concluded.text += segment.text
        self._concluded.end_ms = max(self._concluded.end_ms, segment.end_time)

    def _conclude(self) -> Iterator[Heard]:
        utterance, self._concluded = self._concluded, None
        if utterance is not None:
            self._waiting.append(utterance)
        yield from self._finals()

    def _finals(self, *, everything: bool = False) -> Iterator[Heard]:
        wanted = self._options.translate_to is not None
        while self._waiting:
            utterance = self._waiting[0]
            there = not wanted or self._translated_ms + SLACK_MS >= utterance.end_ms
            if not there and not everything and len(self._waiting) <= MOST_WAITING:
                return
            self._waiting.popleft()
            translation = self._translation(utterance) if wanted and there else None
            yield FinalText(
                utterance.text.strip(),
                self._ours(utterance.start_ms),
                self._ours(utterance.end_ms),
                language=base(utterance.language) if utterance.language and self._options.language is None else None,
                translation=translation or None,
            )

    def _translation(self, utterance: _Utterance) -> str:
        """What was translated of it: what lies more within it than behind it."""
        parts: list[str] = []
        while self._translations:
            segment = self._translations[0]
            last = not self._waiting and self._concluded is None
            if not last and (segment.start_time + segment.end_time) / 2 > utterance.end_ms + SLACK_MS:
                break
            parts.append(self._translations.popleft().text)
        return "".join(parts).strip()

    def _ours(self, session_ms: int) -> int:
        return (self._sessions[0].begun_ms if self._sessions else 0) + max(0, session_ms)

    @property
    def _speaking(self) -> bool:
        """There is a session that takes audio."""
        return bool(self._sessions) and not self._sessions[-1].ended

    @property
    def _sent_ms(self) -> int:
        return self._sent * 1000 // self.sample_rate_hz

    def _forget_session(self) -> None:
        self._concluded: _Utterance | None = None
        self._waiting: deque[_Utterance] = deque()
        self._translations: deque[_Segment] = deque(maxlen=256)
        self._translated_ms = 0
        self._last_ms = 0

    def _variants(self) -> dict[str, str]:
        return {tag: str(code) for tag, code in self._config.table("variants").items()}


def voice_code(code: str) -> str:
    """As tags are written: ``en-US``, ``zh-Hans``, ``de``."""
    language, _, variant = code.lower().partition("-")
    if not variant:
        return language
    return f"{language}-{variant.title() if len(variant) == 4 else variant.upper()}"
