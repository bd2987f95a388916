"""Deepgram: streaming recognition, and speech by a streamed answer.

Options of the recogniser: ``endpointing_ms`` (300: silence that ends an utterance), ``parameters`` (a table of whatever
else ``/v1/listen`` takes, as ``smart_format = "true"``, ``mip_opt_out = "true"``). ``model`` is ``nova-3`` or older,
but not ``flux``, which is another protocol. Options of the voice: ``voices`` (a table of voice models by language),
``sample_rate_hz`` (24000), ``mip_opt_out``.

https://developers.deepgram.com/docs/live-streaming-audio, https://developers.deepgram.com/docs/text-to-speech
"""

from __future__ import annotations

from typing import ClassVar
from urllib.parse import urlencode

import msgspec

from kallglot.speech.providers import deepgram_wire as wire
from kallglot.speech.remote.codec import Opening, RecognitionCodec
from kallglot.speech.remote.config import ProviderConfig
from kallglot.speech.remote.errors import RemoteError
from kallglot.speech.remote.exchange import Request
from kallglot.speech.remote.languages import by_language
from kallglot.speech.remote.recognizer import StreamingRecognizer
from kallglot.speech.remote.synthesizer import RemoteSynthesizer
from kallglot.speech.types import RecognizerOptions, Voice


def error_code(status: int, body: bytes) -> str | None:
    """``INVALID_AUTH`` of ``{"err_code": "INVALID_AUTH", "err_msg": ...}``; some errors have it as ``category``."""
    try:
        told = msgspec.json.decode(body, type=dict[str, object])
    except msgspec.MsgspecError:
        return None
    code = told.get("err_code") or told.get("category")
    return code if isinstance(code, str) else None


class DeepgramRecognizer(StreamingRecognizer):
    default_languages: ClassVar[tuple[str, ...]] = wire.languages()

    def missing(self) -> str | None:
        if self._model.startswith("flux"):
            return f"{self.name}: flux models speak another protocol; use nova-3"
        return super().missing()

    def reason(self, status: int, body: bytes) -> str | None:
        return error_code(status, body)

    def codec(self, options: RecognizerOptions) -> RecognitionCodec:
        language = wire.language_code(options.language, self._known)
        if language is None:
            raise RemoteError(f"{self.name} does not serve {options.language}", blame="request")
        more = {key: str(value) for key, value in self.config.table("parameters").items()}
        more.setdefault("endpointing", str(round(self.config.number("endpointing_ms", wire.ENDPOINTING_MS))))
        query = wire.listen_parameters(
            language, options.sample_rate_hz, model=self._model, terms=options.terms, more=more
        )
        opening = Opening(
            f"{self.config.address(wire.ADDRESS)}/v1/listen?{urlencode(query)}",
            {"Authorization": f"Token {self.config.api_key}"},
        )
        return wire.DeepgramCodec(
            opening,
            options.sample_rate_hz,
            name=self.name,
            partials=options.partials,
            tells_language=language == "multi",
        )

    @property
    def _model(self) -> str:
        return self.config.model or wire.LISTENS

    @property
    def _known(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.config.languages, *wire.languages())))


class DeepgramSynthesizer(RemoteSynthesizer):
    """Over HTTP rather than over the socket, which flushes twenty times a minute at most."""

    default_languages: ClassVar[tuple[str, ...]] = tuple(wire.VOICES)

    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config)
        self.sample_rate_hz = round(config.number("sample_rate_hz", 24000))

    def missing(self) -> str | None:
        if self.sample_rate_hz not in wire.RATES_HZ:
            rates = ", ".join(map(str, wire.RATES_HZ))
            return f"{self.name}: sample_rate_hz has to be one of {rates}"
        return super().missing()

    def reason(self, status: int, body: bytes) -> str | None:
        return error_code(status, body)

    def request(self, text: str, language: str, voice: Voice) -> Request:
        query = {
            "model": self._voice(language, voice),
            "encoding": "linear16",
            "container": "none",
            "sample_rate": str(self.sample_rate_hz),
        }
        if voice.speed != 1.0:
            slowest, fastest = wire.SPEEDS
            query["speed"] = f"{min(max(voice.speed, slowest), fastest):g}"
        if self.config.flag("mip_opt_out", False):
            query["mip_opt_out"] = "true"
        return Request(
            f"{self.config.address(wire.ADDRESS)}/v1/speak",
            headers={"Authorization": f"Token {self.config.api_key}"},
            query=query,
            document={"text": text},
        )

    def _voice(self, language: str, voice: Voice) -> str:
        """The voice that was asked for, by its whole name or without model and language: ``viktoria``."""
        configured = by_language({**wire.VOICES, **self.config.table("voices")}, language)
        if voice.name:
            return voice.name if voice.name.startswith("aura") else f"aura-2-{voice.name}-{language.split('-')[0]}"
        if configured is None and self.config.model is None:
            raise RemoteError(f"{self.name} has no voice for {language}", blame="request")
        return configured or self.config.model or ""
