"""Google Cloud Speech-to-Text v2, streaming: requests and responses. Pure, and without the SDK until it is used.

Requests and responses are serialised protocol buffers of the SDK's own classes. Google has no message that ends an
utterance: the call is half-closed, tells what it still has, and ends; the text message ``end`` stands for that in both
directions, and the next audio begins the next call. ``ready``: the first call was not refused.

https://cloud.google.com/speech-to-text/v2/docs/reference/rpc/google.cloud.speech.v2, and
https://cloud.google.com/speech-to-text/quotas: a call lasts five minutes and a request has at most 15 KB of audio.
"""

from __future__ import annotations

import importlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kallglot.speech.languages import base
from kallglot.speech.remote.codec import Acknowledged, CodecDefaults, Flushed, Heard, Message, Opening, Ready
from kallglot.speech.stable import StablePrefix
from kallglot.speech.types import Final as FinalText
from kallglot.speech.types import Partial

METHOD: Final = "/google.cloud.speech.v2.Speech/StreamingRecognize"
ADDRESS: Final = "https://speech.googleapis.com"
MODEL: Final = "long"
READY: Final = "ready"
END: Final = "end"
MOST_AUDIO_BYTES: Final = 15_000
MOST_TERMS: Final = 1000
LONGEST_TERM: Final = 100
CALL_MS: Final = 240_000
"""After so much audio a call is replaced at the next pause, and at the latest after :data:`LONGEST_CALL_MS`."""
LONGEST_CALL_MS: Final = 285_000
IDLE_S: Final = 4.0
"""After so long without audio a call is ended."""


def protos() -> Any:
    """The SDK's module of messages. Takes seconds the first time. Raises ImportError."""
    return importlib.import_module("google.cloud.speech_v2.types.cloud_speech")


def configuration(
    messages: Any,
    *,
    recognizer: str,
    languages: Sequence[str],
    sample_rate_hz: int,
    model: str = MODEL,
    terms: Sequence[str] = (),
) -> bytes:
    """The first request of a call."""
    decoding = messages.ExplicitDecodingConfig(
        encoding=messages.ExplicitDecodingConfig.AudioEncoding.LINEAR16,
        sample_rate_hertz=sample_rate_hz,
        audio_channel_count=1,
    )
    features = messages.RecognitionFeatures(
        enable_automatic_punctuation=True, enable_word_time_offsets=not model.startswith("chirp")
    )
    config = messages.RecognitionConfig(
        explicit_decoding_config=decoding, model=model, language_codes=list(languages), features=features
    )
    wanted = dict.fromkeys(term.strip() for term in terms)
    phrases = [{"value": term} for term in wanted if 0 < len(term) <= LONGEST_TERM][:MOST_TERMS]
    if phrases:
        phrase_set = messages.SpeechAdaptation.AdaptationPhraseSet(inline_phrase_set={"phrases": phrases})
        config.adaptation = messages.SpeechAdaptation(phrase_sets=[phrase_set])
    # Interim results are asked for whether anybody wants to see them or not: they say that an utterance is in progress.
    streaming = messages.StreamingRecognitionConfig(
        config=config,
        streaming_features=messages.StreamingRecognitionFeatures(
            interim_results=True, enable_voice_activity_events=True
        ),
    )
    request = messages.StreamingRecognizeRequest(recognizer=recognizer, streaming_config=streaming)
    return messages.StreamingRecognizeRequest.serialize(request)


def bcp47(code: str) -> str:
    """``de-DE`` for Google's ``de-de``."""
    language, _, rest = code.partition("-")
    return f"{language.lower()}-{rest.upper() if len(rest) == 2 else rest}" if rest else base(code)


@dataclass(slots=True)
class _Call:
    """``start`` and ``end`` are bytes of this connection's audio."""

    start: int
    end: int
    flushes: int = 0


class GoogleCodec(CodecDefaults):
    """A connection is a series of calls; each answers for its own audio, and ends before the next is read."""

    waits_for_ready = True
    answers_flush = False
    piece_ms = 100

    def __init__(
        self,
        opening: Opening,
        sample_rate_hz: int,
        messages: Any,
        first: bytes,
        *,
        partials: bool = True,
        tells_language: bool = False,
        idle_s: float = IDLE_S,
    ) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.keepalive_s = idle_s
        self._opening = Opening(opening.url, opening.headers, greeting=(first,))
        self._first = first
        self._request: Any = messages.StreamingRecognizeRequest.pb()
        self._response: Any = messages.StreamingRecognizeResponse.pb()
        self._activity_begin = int(messages.StreamingRecognizeResponse.SpeechEventType.SPEECH_ACTIVITY_BEGIN)
        self._partials = partials
        self._tells_language = tells_language
        self._open: _Call | None = _Call(0, 0)
        self._calls: deque[_Call] = deque((self._open,))
        self._position = 0
        self._told_ms = 0
        """Behind the last final of the oldest call."""
        self._utterance_ms = 0
        """Where the utterance in progress began, or the next one may begin at the earliest, in the oldest call."""
        self._prefix = StablePrefix()
        self._speaking = False

    def open(self) -> Opening:
        return self._opening

    def audio(self, pcm: bytes) -> Sequence[Message]:
        sent: list[Message] = []
        call = self._open
        if call is None:
            call = self._open = _Call(self._position, self._position)
            self._calls.append(call)
            sent.append(self._first)
        self._position += len(pcm)
        call.end = self._position
        for at in range(0, len(pcm), MOST_AUDIO_BYTES):
            sent.append(self._request(audio=pcm[at : at + MOST_AUDIO_BYTES]).SerializeToString())
        lasted_ms = self._ms(call.end - call.start)
        if lasted_ms >= LONGEST_CALL_MS or (lasted_ms >= CALL_MS and not self._speaking):
            sent += self._half_close()
        return sent

    def finish(self) -> Sequence[Message]:
        if self._calls:
            self._calls[-1].flushes += 1
        return self._half_close()

    def keepalive(self) -> Sequence[Message]:
        """A call without audio is cut off by Google after ten seconds: it is ended before, and costs nothing until
        there is audio again."""
        return self._half_close()

    def read(self, message: Message) -> Iterator[Heard]:
        if not self._calls:
            raise ValueError("a response without a call")
        if message == READY:
            yield Ready()
            return
        if isinstance(message, str):
            yield from self._call_ended()
            return
        try:
            response = self._response.FromString(message)
        except Exception as error:
            # The protobuf library's DecodeError, which cannot be named here before it is imported.
            raise ValueError("no response") from error
        if response.speech_event_type == self._activity_begin and not self._speaking:
            self._utterance_ms = max(self._utterance_ms, _offset_ms(response.speech_event_offset))
        tentative: list[str] = []
        for result in response.results:
            if not result.alternatives:
                continue
            if result.is_final:
                yield from self._final(result)
            elif not 0 < _offset_ms(result.result_end_offset) <= self._told_ms:
                tentative.append(result.alternatives[0].transcript)
        yield from self._partial("".join(tentative).strip())

    def _partial(self, text: str) -> Iterator[Heard]:
        if text:
            self._speaking = True
            if self._partials:
                shown, stable = self._prefix.step(text)
                yield Partial(shown, stable, self._at(self._utterance_ms), text)

    def _final(self, result: Any) -> Iterator[Heard]:
        best = result.alternatives[0]
        end_ms = _offset_ms(result.result_end_offset)
        start_ms = _offset_ms(best.words[0].start_offset) if best.words else self._utterance_ms
        # The first word's offset may be left out for being 0, and was not told by every model.
        start_ms = min(max(start_ms, self._utterance_ms), end_ms)
        text = best.transcript.strip()
        self._utterance_ms = self._told_ms = end_ms
        self._prefix = StablePrefix()
        self._speaking = False
        if not text:
            yield Acknowledged(self._at(end_ms))
            return
        language = bcp47(result.language_code) if self._tells_language and result.language_code else None
        confidence = best.confidence or None
        yield FinalText(text, self._at(start_ms), self._at(end_ms), confidence, language)

    def _call_ended(self) -> Iterator[Heard]:
        call = self._calls.popleft()
        if call is self._open:
            self._open = None
        self._utterance_ms = self._told_ms = 0
        self._prefix = StablePrefix()
        self._speaking = False
        yield Acknowledged(self._ms(call.end))
        for _ in range(call.flushes):
            yield Flushed()

    def _half_close(self) -> list[Message]:
        if self._open is None:
            return []
        self._open = None
        return [END]

    def _at(self, call_ms: int) -> int:
        return self._ms(self._calls[0].start) + call_ms

    def _ms(self, size: int) -> int:
        return size * 1000 // (self.sample_rate_hz * 2)


def _offset_ms(duration: Any) -> int:
    return duration.seconds * 1000 + duration.nanos // 1_000_000
