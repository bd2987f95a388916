"""Cartesia: speech, streamed over HTTP.

Its WebSocket would save nothing: texts are whole clauses, connections are kept alive, and to cancel a context there
does not halt what is being spoken; a request can at least be closed.

Option beside those of :mod:`kallglot.speech.providers.voiced`: ``version``, the date of the interface.

Sources: https://docs.cartesia.ai/api-reference/tts/bytes (request), https://docs.cartesia.ai/use-the-api/tts-websocket/contexts
(what cancelling does), https://docs.cartesia.ai/use-the-api/api-errors (errors, from version 2026-03-01).
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from kallglot.speech.languages import base
from kallglot.speech.providers.voiced import MOST_BYTES, VoicedSynthesizer
from kallglot.speech.remote.exchange import Request
from kallglot.speech.types import Voice

URL: Final = "https://api.cartesia.ai"
VERSION: Final = "2026-03-01"
MODEL: Final = "sonic-3"
VOICE: Final = "a0e99841-438c-4a64-b679-ae501e7d6091"
"""The voice of the vendor's own examples."""
SLOWEST, FASTEST = 0.6, 1.5

LANGUAGES: Final = tuple(
    "ar bg bn cs da de el en es fi fil fr gu he hi hr hu id it ja ka kn ko ml mr ms nb nl no pa pl pt ro ru sk sv ta te"
    " th tl tr uk vi zh".split()
)
_CODES: Final = {"nb": "no", "nn": "no", "fil": "tl", "cmn": "zh"}


class CartesiaSynthesizer(VoicedSynthesizer):
    rates = (8_000, 16_000, 22_050, 24_000, 44_100, 48_000)
    default_languages = LANGUAGES
    default_voices = dict.fromkeys(LANGUAGES, VOICE)
    voice_names = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
    longest_piece = 1_000

    def request(self, text: str, language: str, voice: Voice) -> Request:
        """``POST /tts/bytes``: raw PCM in chunks."""
        document: dict[str, Any] = {
            "model_id": self.config.model or MODEL,
            "transcript": text,
            "voice": {"mode": "id", "id": self.voice(voice, language) or VOICE},
            "language": language_code(language),
            "output_format": {"container": "raw", "encoding": "pcm_s16le", "sample_rate": self.sample_rate_hz},
        }
        if voice.speed != 1.0:
            document["generation_config"] = {"speed": round(min(FASTEST, max(SLOWEST, voice.speed)), 2)}
        return Request(
            f"{self.config.address(URL)}/tts/bytes",
            headers={
                "Authorization": f"Bearer {self.config.api_key or ''}",
                "Cartesia-Version": self.config.text("version") or VERSION,
            },
            document=document,
            most_bytes=MOST_BYTES,
        )

    def reason(self, status: int, body: bytes) -> str | None:
        return trouble(body)


def language_code(language: str) -> str:
    code = base(language)
    return _CODES.get(code, code)


class _Trouble(msgspec.Struct):
    error_code: str | None = None


def trouble(body: bytes) -> str | None:
    """The vendor's word for an error, as ``concurrency_limited``."""
    try:
        return msgspec.json.decode(body, type=_Trouble).error_code
    except msgspec.MsgspecError:
        return None
