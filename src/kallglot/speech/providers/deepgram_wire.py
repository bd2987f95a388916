"""Deepgram's wire: what is asked for, and what its messages say. Pure.

https://developers.deepgram.com/reference/speech-to-text/listen-streaming and .../text-to-speech/speak-request
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, cast

import msgspec

from kallglot.speech.languages import match
from kallglot.speech.providers.pcm_stream import PcmStreamCodec, bounded, most_spoken
from kallglot.speech.remote.codec import Acknowledged, Flushed, Heard, Message, Opening
from kallglot.speech.remote.errors import RemoteError
from kallglot.speech.remote.loose import decoded
from kallglot.speech.types import EngineError, Partial
from kallglot.speech.types import Final as FinalText

ADDRESS: Final = "https://api.deepgram.com"
LISTENS: Final = "nova-3"
LANGUAGES: Final = (
    "en,en-US,en-AU,en-GB,en-IN,en-NZ,es,es-419,fr,fr-CA,pt,pt-BR,pt-PT,de,de-CH,nl,nl-BE,sv,da,it,tr,no,nb,nn,id,"
    "bg,cs,fi,hi,hu,ja,ko,pl,ru,uk,vi,ca,et,el,lv,lt,ms,ro,sk,be,bn,bs,hr,kn,mk,mr,sr,sl,ta,tl,fil,te,zh,zh-CN,"
    "zh-Hans,zh-TW,zh-Hant,zh-HK,yue,th"
)
"""Of nova-3, by https://developers.deepgram.com/docs/models-languages-overview and the changelog up to March 2026."""
MULTILINGUAL: Final = ("en", "es", "fr", "de", "hi", "ru", "pt", "ja", "it", "nl")
"""What ``language=multi`` tells apart."""
OTHERWISE: Final = {"nb": "no", "nn": "no", "fil": "tl", "yue": "zh-HK"}
MOST_TERMS: Final = 100
MOST_TERM_TOKENS: Final = 450
"""Of the 500 that nova-3 takes: past them it goes deaf without saying so and closes the stream half a minute later."""
ENDPOINTING_MS: Final = 300
UTTERANCE_END_MS: Final = 1000
"""The least there is."""
ROUNDED_MS: Final = 20
LONGEST_MS: Final = 20_000
"""An utterance ends at the next settled piece once it is so long: nobody waits longer for its translation."""

KEEP_ALIVE: Final = '{"type":"KeepAlive"}'
FINALIZE: Final = '{"type":"Finalize"}'
CLOSE: Final = '{"type":"CloseStream"}'

VOICES: Final = {
    "en": "aura-2-thalia-en",
    "es": "aura-2-celeste-es",
    "de": "aura-2-aurelia-de",
    "fr": "aura-2-agathe-fr",
    "nl": "aura-2-beatrix-nl",
    "it": "aura-2-cinzia-it",
    "ja": "aura-2-ama-ja",
}
RATES_HZ: Final = (8000, 16000, 24000, 32000, 48000)
SPEEDS: Final = (0.7, 1.5)


def languages() -> tuple[str, ...]:
    return tuple(LANGUAGES.split(","))


def language_code(tag: str | None, available: Sequence[str]) -> str | None:
    """Deepgram's name of a BCP 47 language, ``multi`` for None; None where it does not serve it."""
    if tag is None:
        return "multi"
    found = match(tag, available)
    return OTHERWISE.get(found, found) if found else None


def listen_parameters(
    language: str,
    sample_rate_hz: int,
    *,
    model: str = LISTENS,
    terms: Sequence[str] = (),
    more: Mapping[str, str] | None = None,
) -> list[tuple[str, str]]:
    """The query of ``/v1/listen``; ``more`` replaces or adds parameters. Interim results are what ends an utterance in
    time, so they are asked for whether anybody wants to see them or not."""
    wanted = {
        "model": model,
        "language": language,
        "encoding": "linear16",
        "sample_rate": str(sample_rate_hz),
        "channels": "1",
        "interim_results": "true",
        "punctuate": "true",
        "endpointing": str(ENDPOINTING_MS),
        "utterance_end_ms": str(UTTERANCE_END_MS),
    }
    wanted.update(more or {})
    return [*wanted.items(), *term_parameters(wanted["model"], terms)]


def term_parameters(model: str, terms: Sequence[str]) -> list[tuple[str, str]]:
    """``keyterm`` for nova-3, ``keywords`` (single words only) for what came before it; as many as are taken."""
    if not model.startswith("nova-3"):
        words = [term for term in terms if len(term.split()) == 1]
        return [("keywords", word) for word in bounded(words, MOST_TERMS, MOST_TERMS, lambda _: 0)]
    wanted = bounded(terms, MOST_TERMS, MOST_TERM_TOKENS, lambda term: 1 + len(term.encode()) // 2)
    return [("keyterm", term) for term in wanted]


class _Word(msgspec.Struct):
    start: float | None = None
    end: float | None = None
    language: str | None = None


class _Alternative(msgspec.Struct):
    transcript: str = ""
    confidence: float | None = None
    words: list[_Word] = []
    languages: list[str] = []

    def span_ms(self, start_ms: int, end_ms: int) -> tuple[int, int]:
        """From the first word to the last, as far as is told; else as given."""
        start = next((word.start for word in self.words if word.start is not None), None)
        end = next((word.end for word in reversed(self.words) if word.end is not None), None)
        return (start_ms if start is None else round(start * 1000), end_ms if end is None else round(end * 1000))


class _Channel(msgspec.Struct):
    alternatives: list[_Alternative] = []


class Results(msgspec.Struct, tag_field="type", tag="Results"):
    """``is_final``: this piece will not change any more; ``speech_final``: and the speaker paused after it."""

    start: float = 0.0
    duration: float = 0.0
    channel: _Channel = msgspec.field(default_factory=_Channel)
    is_final: bool = False
    speech_final: bool = False
    from_finalize: bool = False


class UtteranceEnd(msgspec.Struct, tag_field="type", tag="UtteranceEnd"):
    last_word_end: float = -1.0


class Metadata(msgspec.Struct, tag_field="type", tag="Metadata"):
    """The answer to ``CloseStream``: everything was dealt with."""

    duration: float = 0.0


class Error(msgspec.Struct, tag_field="type", tag="Error"):
    variant: str = ""


class _Typed(msgspec.Struct):
    type: str


Told = Results | UtteranceEnd | Metadata | Error
_TYPED: Final = msgspec.json.Decoder(_Typed)
_KINDS: Final = ("Results", "UtteranceEnd", "Metadata", "Error")


def parse(data: str | bytes) -> Told | None:
    """A message, None for one of a kind not known here. Raises ValueError for what is no message."""
    try:
        return decoded(data, cast("type[Told]", Told))
    except msgspec.ValidationError as error:
        if _TYPED.decode(data).type in _KINDS:
            raise ValueError(str(error)) from None
        return None


class DeepgramCodec(PcmStreamCodec):
    """One connection to ``/v1/listen``.

    An utterance is made of several settled pieces. It ends where the speaker paused (``speech_final``), where it was
    flushed, where no word came for a second (``UtteranceEnd``), or at the next settled piece once it is twenty seconds
    long.
    """

    answers_flush = False
    talkative = True
    keepalive_s = 4.0
    finalize, keep_alive, goodbye = FINALIZE, KEEP_ALIVE, CLOSE

    def __init__(self, opening: Opening, sample_rate_hz: int, *, name: str = "deepgram", **asked: bool) -> None:
        super().__init__(opening, sample_rate_hz, name=name, **asked)
        self._pieces: list[_Alternative] = []
        self._start_ms: int | None = None
        self._end_ms = 0
        self._settled_ms = 0

    def closed(self, code: int | None) -> EngineError | None:
        """1008 (DATA-0000): no audio to it. 1011 (NET-0000, NET-0001) may pass."""
        return RemoteError(f"{self._name} could not decode the audio", blame="request") if code == 1008 else None

    def read(self, message: Message) -> Iterator[Heard]:
        match parse(message):
            case Results() as result:
                yield from self._results(result)
            case UtteranceEnd():
                if self._pieces:
                    yield self._end()
            case Error() as error:
                variant = f" ({error.variant})" if error.variant.isalnum() else ""
                raise RemoteError(f"{self._name} told an error{variant}")
            case _:
                pass

    def _results(self, result: Results) -> Iterator[Heard]:
        heard = result.channel.alternatives[0] if result.channel.alternatives else _Alternative()
        end_ms = round((result.start + result.duration) * 1000)
        first_ms, last_ms = heard.span_ms(round(result.start * 1000), end_ms)
        # Results follow each other without overlap: one from before what is settled was told before.
        outdated = round(result.start * 1000) + ROUNDED_MS < self._settled_ms
        text = "" if outdated else heard.transcript.strip()
        if text and self._start_ms is None:
            self._start_ms = self._end_ms = first_ms
        if not result.is_final:
            if text:
                yield from self._so_far(text)
            return
        self._settled_ms = max(self._settled_ms, end_ms)
        if text:
            self._pieces.append(heard)
            self._end_ms = max(self._end_ms, last_ms)
        ended = result.speech_final or result.from_finalize
        if self._pieces and (ended or self._too_long()):
            yield self._end()
        if not self._pieces:
            # Nothing was said, or a Final has it all; the words of an interim result may have been taken back.
            self._start_ms = None
            yield Acknowledged(end_ms)
        elif text:
            yield from self._so_far("")
        if result.from_finalize:
            yield Flushed()

    def _so_far(self, tentative: str) -> Iterator[Heard]:
        if self._partials and self._start_ms is not None:
            stable = _joined(self._pieces)
            yield Partial(f"{stable} {tentative}".strip(), stable, self._start_ms)

    def _too_long(self) -> bool:
        return self._start_ms is not None and self._end_ms - self._start_ms >= LONGEST_MS

    def _end(self) -> FinalText:
        pieces, self._pieces = self._pieces, []
        start_ms, self._start_ms = self._start_ms, None
        assert start_ms is not None
        return FinalText(
            _joined(pieces),
            start_ms,
            max(start_ms, self._end_ms),
            min((piece.confidence for piece in pieces if piece.confidence is not None), default=None),
            _language(pieces) if self._tells_language else None,
        )


def _joined(pieces: Sequence[_Alternative]) -> str:
    return " ".join(piece.transcript.strip() for piece in pieces)


def _language(pieces: Sequence[_Alternative]) -> str | None:
    """What most words are in; without words, the first of what the engine says it heard."""
    spoken = most_spoken((word.language, 1) for piece in pieces for word in piece.words)
    return spoken or next((language for piece in pieces for language in piece.languages), None)
