"""ElevenLabs: speech, streamed over HTTP.

The vendor's WebSockets are for text that comes in pieces, and one of them has five contexts of one voice; texts here
are whole clauses in many voices: each is a request, heard as soon, and to close it ends it.

Options beside those of :mod:`kallglot.speech.providers.voiced`: ``settings``, a table of voice settings (``stability``,
``similarity_boost`` …).

Sources: https://elevenlabs.io/docs/api-reference/text-to-speech/stream (request, formats),
https://elevenlabs.io/docs/api-reference/websocket (when to use which), https://elevenlabs.io/docs/overview/models
(languages), https://help.elevenlabs.io/hc/en-us/articles/19572237925521 and
https://help.elevenlabs.io/hc/en-us/articles/19571824571921 (errors, limits).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec

from kallglot.speech.languages import base
from kallglot.speech.providers.voiced import MOST_BYTES, VoicedSynthesizer
from kallglot.speech.remote.exchange import Request
from kallglot.speech.types import Voice

URL: Final = "https://api.elevenlabs.io"
MODEL: Final = "eleven_flash_v2_5"
VOICE: Final = "JBFqnCBsd6RMkjVDRZzb"
"""The voice of the vendor's own examples; a voice speaks every language of a multilingual model."""
SLOWEST, FASTEST = 0.7, 1.2

_MULTILINGUAL: Final = tuple(
    "ar bg cs da de el en es fi fil fr hi hr id it ja ko ms nl pl pt ro ru sk sv ta tl tr uk zh".split()
)
_FLASH: Final = (*_MULTILINGUAL, "hu", "nb", "no", "vi")
_LANGUAGES: Final[Mapping[str, tuple[str, ...]]] = {
    "eleven_multilingual_v2": _MULTILINGUAL,
    "eleven_flash_v2": ("en",),
    "eleven_turbo_v2": ("en",),
    "eleven_monolingual_v1": ("en",),
}
_HEARS_LANGUAGE_ITSELF: Final = frozenset((*_LANGUAGES, "eleven_multilingual_v1"))
"""Models that take no language code."""
_CODES: Final = {"tl": "fil", "nb": "no", "nn": "no", "cmn": "zh"}


class ElevenLabsSynthesizer(VoicedSynthesizer):
    rates = (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
    default_voices = dict.fromkeys(_FLASH, VOICE)
    voice_names = re.compile(r"[A-Za-z0-9]{20}")
    longest_piece = 2_500
    """Any plan may send it, to any model."""

    @property
    def languages(self) -> tuple[str, ...]:
        if not self.config.languages and self.model in _LANGUAGES:
            return _LANGUAGES[self.model]
        return super().languages

    default_languages = _FLASH

    @property
    def model(self) -> str:
        return self.config.model or MODEL

    def request(self, text: str, language: str, voice: Voice) -> Request:
        """``POST /v1/text-to-speech/{voice}/stream``: raw PCM in chunks."""
        document: dict[str, Any] = {"text": text, "model_id": self.model}
        if self.model not in _HEARS_LANGUAGE_ITSELF:
            document["language_code"] = language_code(language)
        settings = dict(self.config.table("settings"))
        if voice.speed != 1.0:
            settings["speed"] = round(min(FASTEST, max(SLOWEST, voice.speed)), 2)
        if settings:
            document["voice_settings"] = settings
        named = quote(self.voice(voice, language) or VOICE, safe="")
        return Request(
            f"{self.config.address(URL)}/v1/text-to-speech/{named}/stream",
            headers={"xi-api-key": self.config.api_key or ""},
            query={"output_format": f"pcm_{self.sample_rate_hz}"},
            document=document,
            most_bytes=MOST_BYTES,
        )

    def reason(self, status: int, body: bytes) -> str | None:
        return trouble(body)


def language_code(language: str) -> str:
    code = base(language)
    return _CODES.get(code, code)


class _Detail(msgspec.Struct):
    status: str = ""
    code: str = ""


class _Trouble(msgspec.Struct):
    detail: _Detail


def trouble(body: bytes) -> str | None:
    """The vendor's word for an error, as ``quota_exceeded``."""
    try:
        detail = msgspec.json.decode(body, type=_Trouble).detail
    except msgspec.MsgspecError:
        return None
    return detail.status or detail.code or None
