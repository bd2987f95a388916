"""Soniox's wire: what is asked for, and what its tokens say. Pure.

https://soniox.com/docs/api-reference/stt/websocket-api, .../stt/rt/endpoint-detection, .../stt/rt/manual-finalization,
.../stt/rt/real-time-translation, .../guides/websocket-authentication
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from kallglot.speech.languages import base
from kallglot.speech.providers.pcm_stream import PcmStreamCodec, bounded, most_spoken
from kallglot.speech.remote.codec import Acknowledged, Flushed, Heard, Message, Opening
from kallglot.speech.remote.errors import Blame, RemoteError
from kallglot.speech.remote.loose import decoded
from kallglot.speech.types import Final as FinalText
from kallglot.speech.types import Partial

ADDRESS: Final = "wss://stt-rt.soniox.com/transcribe-websocket"
MODEL: Final = "stt-rt-v5"
LANGUAGES: Final = (
    "af,sq,ar,az,eu,be,bn,bs,bg,ca,zh,hr,cs,da,nl,en,et,fi,fr,gl,de,el,gu,he,hi,hu,id,it,ja,kn,kk,ko,lv,lt,mk,ms,ml,"
    "mr,no,nb,nn,fa,pl,pt,pa,ro,ru,sr,sk,sl,es,sw,sv,tl,fil,ta,te,th,tr,uk,ur,vi,cy"
)
"""https://soniox.com/docs/stt/concepts/supported-languages; each can be translated into each."""
OTHERWISE: Final = {"nb": "no", "nn": "no", "fil": "tl", "yue": "zh", "cmn": "zh"}
MOST_TERMS: Final = 500
MOST_TERM_CHARACTERS: Final = 8000
"""The whole context may have 10,000 characters."""
LONGEST_MS: Final = 30_000
"""An utterance ends with its settled words once it is so long and the endpoint has not come."""

FINALIZE: Final = '{"type":"finalize"}'
KEEP_ALIVE: Final = '{"type":"keepalive"}'
END: Final = ""
"""An empty message ends the stream."""
BLAMED: Final[dict[int, Blame]] = {400: "request", 401: "key", 402: "key", 403: "key", 404: "request", 413: "request"}
"""By error code; the others pass."""


def languages() -> tuple[str, ...]:
    return tuple(LANGUAGES.split(","))


def language_code(tag: str) -> str:
    language = base(tag)
    return OTHERWISE.get(language, language)


def start_request(
    sample_rate_hz: int,
    *,
    model: str = MODEL,
    language: str | None = None,
    hints: Sequence[str] = (),
    terms: Sequence[str] = (),
    translate_to: str | None = None,
    two_way: bool = True,
    more: Mapping[str, Any] | None = None,
) -> str:
    """The first message. ``hints`` are languages to be expected where ``language`` is not known; ``more`` replaces or
    adds fields.

    Two-way translation takes a pair, so it needs to know ``language``; otherwise everything is translated one way.
    """
    expected = [language_code(tag) for tag in ((language,) if language else hints)]
    request: dict[str, Any] = {
        "model": model,
        "audio_format": "pcm_s16le",
        "sample_rate": sample_rate_hz,
        "num_channels": 1,
        "enable_endpoint_detection": True,
        "enable_language_identification": language is None or translate_to is not None,
    }
    if translate_to is not None:
        target = language_code(translate_to)
        if language is not None and two_way and expected[0] != target:
            request["translation"] = {"type": "two_way", "language_a": expected[0], "language_b": target}
            expected.append(target)
        elif expected != [target]:
            request["translation"] = {"type": "one_way", "target_language": target}
    if expected:
        request["language_hints"] = list(dict.fromkeys(expected))
    if words := bounded(terms, MOST_TERMS, MOST_TERM_CHARACTERS, lambda term: len(term) + 3):
        request["context"] = {"terms": words}
    request.update(more or {})
    return msgspec.json.encode(request).decode()


class Token(msgspec.Struct):
    """A piece of a word, a word or a space. Translated ones have no times."""

    text: str
    is_final: bool = False
    start_ms: float | None = None
    end_ms: float | None = None
    confidence: float | None = None
    language: str | None = None
    translation_status: str = "none"


class Response(msgspec.Struct):
    tokens: list[Token] = []
    final_audio_proc_ms: float = 0
    """Audio up to there became settled tokens, or had none in it."""
    finished: bool = False
    error_code: int | None = None


class SonioxCodec(PcmStreamCodec):
    """One connection. An utterance ends where the engine hears it end (the token ``<end>``) or where it was flushed
    (``<fin>``).

    What is translated into another language than ``translate_to``, as two-way translation does with what was said in
    that language, is left out.
    """

    keepalive_s = 8.0
    finalize, keep_alive, goodbye = FINALIZE, KEEP_ALIVE, END

    def __init__(
        self,
        opening: Opening,
        sample_rate_hz: int,
        *,
        name: str = "soniox",
        translate_to: str | None = None,
        **asked: bool,
    ) -> None:
        super().__init__(opening, sample_rate_hz, name=name, **asked)
        self._target = language_code(translate_to) if translate_to else None
        self._said: list[Token] = []
        self._translated: list[str] = []
        self._awaits_tail = False
        self._last: Message = b""

    def read(self, message: Message) -> Iterator[Heard]:
        if message == self._last:
            # A settled token is sent once.
            return
        response = decoded(message, Response)
        self._last = message
        tentative: list[Token] = []
        for token in response.tokens:
            if token.is_final and token.text in ("<end>", "<fin>"):
                yield from self._end()
                if token.text == "<fin>":
                    yield Flushed()
            elif token.translation_status == "translation":
                self._translation(token)
            elif token.is_final:
                self._said.append(token)
            else:
                tentative.append(token)
        if response.error_code is not None:
            code = response.error_code
            raise RemoteError(f"{self._name} told error {code}", blame=BLAMED.get(code, "engine"), status=code)
        if response.finished or (self._too_long() and _at_word_end(self._said, tentative)):
            yield from self._end()
        yield from self._so_far(tentative)
        if not self._said and not tentative and response.final_audio_proc_ms:
            yield Acknowledged(round(response.final_audio_proc_ms))

    def _translation(self, token: Token) -> None:
        if not token.is_final or self._target is None or (token.language or self._target) != self._target:
            return
        if self._said or self._awaits_tail:
            # With nothing said since the last end it belongs to what was told before, and is spoken with what comes
            # next rather than lost.
            self._translated.append(token.text)

    def _so_far(self, tentative: Sequence[Token]) -> Iterator[Heard]:
        tokens = [*self._said, *tentative]
        text = _text(tokens)
        if not self._partials or not text:
            return
        stable = _text(self._said)
        if not _at_word_end(self._said, tentative):
            stable = stable.rpartition(" ")[0]
        yield Partial(text, stable, _start_ms(tokens))

    def _too_long(self) -> bool:
        return bool(self._said) and _end_ms(self._said) - _start_ms(self._said) >= LONGEST_MS

    def _end(self) -> Iterator[Heard]:
        said, self._said = self._said, []
        text = _text(said)
        if not text:
            return
        translated, self._translated = self._translated, []
        translation = "".join(translated).strip() or None
        self._awaits_tail = translation is not None
        start_ms = _start_ms(said)
        sure = [token.confidence for token in said if token.confidence is not None]
        yield FinalText(
            text,
            start_ms,
            max(start_ms, _end_ms(said)),
            sum(sure) / len(sure) if sure else None,
            _language(said) if self._tells_language else None,
            translation,
        )


def _text(tokens: Sequence[Token]) -> str:
    return "".join(token.text for token in tokens).strip()


def _at_word_end(settled: Sequence[Token], tentative: Sequence[Token]) -> bool:
    """Whether what comes next begins a new word; the settled ones may end in the middle of one."""
    if not settled or not tentative:
        return not settled
    return settled[-1].text[-1:].isspace() or tentative[0].text[:1].isspace() or not tentative[0].text[:1].isalnum()


def _start_ms(tokens: Sequence[Token]) -> int:
    return round(next((token.start_ms for token in tokens if token.start_ms is not None), 0))


def _end_ms(tokens: Sequence[Token]) -> int:
    return round(next((token.end_ms for token in reversed(tokens) if token.end_ms is not None), _start_ms(tokens)))


def _language(tokens: Sequence[Token]) -> str | None:
    return most_spoken((token.language, len(token.text)) for token in tokens)
