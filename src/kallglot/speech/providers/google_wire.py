"""What Google's Cloud Translation and Text-to-Speech are asked over REST, and what they answer. Pure.

Sources: https://cloud.google.com/translate/docs/reference/rest/v2/translate (with an API key),
https://cloud.google.com/translate/docs/reference/rest/v3/projects.locations/translateText (with a token and a project),
https://cloud.google.com/text-to-speech/docs/reference/rest/v1/text/synthesize,
https://cloud.google.com/docs/authentication/api-keys-use (the key in a header).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec

from kallglot.speech.languages import base
from kallglot.speech.remote.exchange import Request

TRANSLATION_URL: Final = "https://translation.googleapis.com"
SPEECH_URL: Final = "https://texttospeech.googleapis.com"

LONGEST_SPOKEN: Final = 400
"""The answer comes whole, so that shorter pieces are heard sooner; the service takes 5,000 bytes."""
RATES: Final = (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)

LANGUAGES: Final = tuple(
    "af am ar az be bg bn bs ca ceb co cs cy da de el en eo es et eu fa fi fil fr fy ga gd gl gu ha haw he hi hmn hr ht"
    " hu hy id ig is it ja jv ka kk km kn ko ku ky la lb lo lt lv mg mi mk ml mn mr ms mt my nb ne nl no ny or pa pl ps"
    " pt ro ru rw sd si sk sl sm sn so sq sr st su sv sw ta te tg th tk tl tr tt ug uk ur uz vi xh yi yo zh zu".split()
)
LOCALES: Final = {
    "af": "af-ZA", "ar": "ar-XA", "bg": "bg-BG", "bn": "bn-IN", "ca": "ca-ES", "cs": "cs-CZ", "da": "da-DK",
    "de": "de-DE", "el": "el-GR", "en": "en-US", "es": "es-ES", "et": "et-EE", "eu": "eu-ES", "fi": "fi-FI",
    "fil": "fil-PH", "fr": "fr-FR", "gl": "gl-ES", "gu": "gu-IN", "he": "he-IL", "hi": "hi-IN", "hr": "hr-HR",
    "hu": "hu-HU", "id": "id-ID", "is": "is-IS", "it": "it-IT", "ja": "ja-JP", "kn": "kn-IN", "ko": "ko-KR",
    "lt": "lt-LT", "lv": "lv-LV", "ml": "ml-IN", "mr": "mr-IN", "ms": "ms-MY", "nb": "nb-NO", "nl": "nl-NL",
    "no": "nb-NO", "pa": "pa-IN", "pl": "pl-PL", "pt": "pt-PT", "ro": "ro-RO", "ru": "ru-RU", "sk": "sk-SK",
    "sl": "sl-SI", "sr": "sr-RS", "sv": "sv-SE", "ta": "ta-IN", "te": "te-IN", "th": "th-TH", "tl": "fil-PH",
    "tr": "tr-TR", "uk": "uk-UA", "ur": "ur-IN", "vi": "vi-VN", "yue": "yue-HK", "zh": "cmn-CN",
}  # fmt: skip
"""What is spoken, with the region that is meant where none is said."""

_VOICE: Final = re.compile(r"([a-z]{2,3}-[A-Z0-9]{2,3})-[\w-]+")


def translation_code(language: str) -> str:
    parts = language.replace("_", "-").lower().split("-")
    match parts[0]:
        case "zh" | "cmn":
            return "zh-TW" if {"hant", "tw", "hk", "mo"}.intersection(parts) else "zh-CN"
        case "pt":
            return "pt-PT" if len(parts) > 1 and "br" not in parts else "pt"
        case "fr":
            return "fr-CA" if "ca" in parts else "fr"
        case "nb" | "nn":
            return "no"
        case "fil":
            return "tl"
        case _:
            return parts[0]


def key_headers(api_key: str) -> dict[str, str]:
    return {"X-Goog-Api-Key": api_key}


def token_headers(token: str, project: str | None) -> dict[str, str]:
    headers = {"Authorization": f"Bearer {token}"}
    return headers if project is None else {**headers, "X-Goog-User-Project": project}


def translation_v2(
    url: str, headers: Mapping[str, str], text: str, source: str, target: str, model: str | None = None
) -> Request:
    document: dict[str, Any] = {
        "q": [text],
        "source": translation_code(source),
        "target": translation_code(target),
        "format": "text",
    }
    if model is not None:
        document["model"] = model
    return Request(f"{url}/language/translate/v2", headers=headers, document=document)


def translation_v3(
    url: str,
    headers: Mapping[str, str],
    text: str,
    source: str,
    target: str,
    *,
    project: str,
    location: str = "global",
    model: str | None = None,
) -> Request:
    """``model`` is short (``general/translation-llm``) or whole."""
    parent = f"projects/{project}/locations/{location}"
    document: dict[str, Any] = {
        "contents": [text],
        "mimeType": "text/plain",
        "sourceLanguageCode": translation_code(source),
        "targetLanguageCode": translation_code(target),
    }
    if model is not None:
        document["model"] = model if model.startswith("projects/") else f"{parent}/models/{model}"
    return Request(f"{url}/v3/{quote(parent, safe='/')}:translateText", headers=headers, document=document)


class _One(msgspec.Struct, rename="camel"):
    translated_text: str


class _Many(msgspec.Struct):
    translations: list[_One]


class _V2(msgspec.Struct):
    data: _Many


def translated_v2(body: bytes) -> str:
    """Raises :class:`ValueError` or ``msgspec.MsgspecError``."""
    [translation] = msgspec.json.decode(body, type=_V2).data.translations
    return translation.translated_text


def translated_v3(body: bytes) -> str:
    """Raises :class:`ValueError` or ``msgspec.MsgspecError``."""
    [translation] = msgspec.json.decode(body, type=_Many).translations
    return translation.translated_text


class _Detail(msgspec.Struct):
    reason: str = ""


class _Status(msgspec.Struct):
    status: str = ""
    details: list[_Detail] = []


class _Trouble(msgspec.Struct):
    error: _Status


def trouble(body: bytes) -> str | None:
    """The service's word for an error: the detailed one, as ``API_KEY_INVALID``, else the common one, as
    ``INVALID_ARGUMENT`` (https://cloud.google.com/apis/design/errors)."""
    try:
        error = msgspec.json.decode(body, type=_Trouble).error
    except msgspec.MsgspecError:
        return None
    return next((detail.reason for detail in error.details if detail.reason), error.status) or None


def locale(language: str, voice: str | None = None) -> str:
    """What a voice speaks, by its name, else the language with a region: ``de-DE`` for ``de``."""
    found = _VOICE.match(voice or "")
    if found:
        return found[1]
    parts = language.replace("_", "-").split("-")
    region = next((part.upper() for part in parts[1:] if len(part) == 2 or part.isdigit()), None)
    spoken = LOCALES.get(base(language))
    if region is None:
        return spoken or language
    return f"{(spoken or parts[0]).split('-')[0]}-{region}"


def speech(
    url: str,
    headers: Mapping[str, str],
    text: str,
    *,
    language: str,
    voice: str | None,
    sample_rate_hz: int,
    speed: float,
    most_bytes: int,
) -> Request:
    """``POST /v1/text:synthesize``."""
    chosen: dict[str, Any] = {"languageCode": locale(language, voice)}
    if voice is not None:
        chosen["name"] = voice
    audio: dict[str, Any] = {"audioEncoding": "LINEAR16", "sampleRateHertz": sample_rate_hz}
    if speed != 1.0:
        audio["speakingRate"] = min(2.0, max(0.5, speed))
    document = {"input": {"text": text}, "voice": chosen, "audioConfig": audio}
    return Request(f"{url}/v1/text:synthesize", headers=headers, document=document, most_bytes=most_bytes)


class _Spoken(msgspec.Struct, rename="camel"):
    audio_content: str


def spoken(body: bytes) -> bytes:
    """The audio, which for LINEAR16 has a WAV head. Raises :class:`ValueError` or ``msgspec.MsgspecError``."""
    return base64.b64decode(msgspec.json.decode(body, type=_Spoken).audio_content, validate=True)
