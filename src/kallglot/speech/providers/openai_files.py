"""Recognition by ``POST /audio/transcriptions``, an utterance at a time.

Options: ``response_format`` (``json``, or ``verbose_json`` where the model tells how sure it is), ``stream`` (the
server tells its text as it grows), ``voice_activity``.

Sources: https://developers.openai.com/api/reference/resources/audio (create transcription, its stream events);
https://docs.vllm.ai (the chunks that vLLM streams).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final, cast

import msgspec

from kallglot.speech.languages import base
from kallglot.speech.providers.openai import LANGUAGES, OpenAIEngine, language_code
from kallglot.speech.remote.audio import wav
from kallglot.speech.remote.exchange import Part, Request
from kallglot.speech.remote.lines import ServerEvents
from kallglot.speech.remote.segmented import Said, UtteranceRecognizer
from kallglot.speech.types import RecognizerOptions

NO_SPEECH: Final = 0.6
UNSURE: Final = -1.0
"""Whisper's own bounds: a segment beyond both is silence that was taken for speech."""
LONGEST_PROMPT: Final = 600


class OpenAIFileRecognizer(OpenAIEngine, UtteranceRecognizer):
    default_model = "gpt-4o-mini-transcribe"
    default_languages = LANGUAGES

    def request(self, pcm: bytes, options: RecognizerOptions) -> Request:
        parts = [
            Part("file", wav(pcm, options.sample_rate_hz), "utterance.wav", "audio/wav"),
            Part("model", self.model),
            Part("response_format", self.config.text("response_format", "json") or "json"),
            Part("temperature", "0"),
        ]
        if options.language is not None:
            parts.append(Part("language", base(options.language)))
        if options.terms:
            parts.append(Part("prompt", ", ".join(options.terms)[:LONGEST_PROMPT]))
        if self.config.flag("stream", False):
            parts.append(Part("stream", "true"))
        return Request(self.at("/audio/transcriptions"), headers=self.headers(), parts=parts)

    def transcript(self) -> OpenAITranscript:
        return OpenAITranscript()


class OpenAITranscript:
    """One answer: JSON, or server-sent events where the server streams."""

    def __init__(self) -> None:
        self._start = b""
        self._events: ServerEvents | None = None
        self._document: bytearray | None = None
        self._text = ""
        self._whole: str | None = None
        self._done = False

    def feed(self, data: bytes) -> Iterable[str]:
        if self._document is None and self._events is None:
            data = (self._start + data).lstrip()
            self._start = data
            if not data:
                return
            if data[:1] == b"{":
                self._document = bytearray()
            else:
                self._events = ServerEvents()
        if self._document is not None:
            self._document += data
        elif self._events is not None:
            for event in self._events.feed(data):
                yield from self._event(event.data)

    def end(self) -> Said:
        if self._document is not None:
            return _said(msgspec.json.decode(bytes(self._document)))
        if self._events is not None:
            for event in self._events.end():
                for _ in self._event(event.data):
                    pass
        if self._whole is None and not self._done:
            raise ValueError("the answer does not end")
        return Said(self._text if self._whole is None else self._whole)

    def _event(self, data: str) -> Iterable[str]:
        if data == "[DONE]":
            self._done = True
            return
        told: Any = msgspec.json.decode(data)
        if "choices" in told:
            # vLLM's chunks.
            choices = told["choices"]
            delta = choices[0].get("delta", {}).get("content") if choices else None
        elif told["type"] == "transcript.text.done":
            self._whole = _text(told["text"])
            return
        elif told["type"] == "transcript.text.delta":
            delta = told["delta"]
        else:
            return
        if delta:
            self._text += _text(delta)
            yield self._text


def _said(told: Any) -> Said:
    text = _text(told["text"])
    segments: Any = told.get("segments")
    language = language_code(told.get("language"))
    if not isinstance(segments, list) or not segments:
        return Said(text, None, language)
    scored = [one for one in cast("list[Any]", segments) if isinstance(one.get("avg_logprob"), int | float)]
    if not scored:
        return Said(text, None, language)
    if all(one.get("no_speech_prob", 0.0) > NO_SPEECH and one["avg_logprob"] < UNSURE for one in scored):
        return Said("")
    mean = sum(one["avg_logprob"] for one in scored) / len(scored)
    return Said(text, round(min(1.0, math.exp(mean)), 3), language)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("no text")
    return value
