"""What Azure's Translator (version 3) and its speech synthesis are asked, and what they answer. Pure.

Sources: https://learn.microsoft.com/azure/ai-services/translator/text-translation/reference/v3/translate (translation,
dynamic dictionary), https://learn.microsoft.com/azure/ai-services/translator/service-limits,
https://learn.microsoft.com/azure/ai-services/speech-service/rest-text-to-speech (synthesis, formats),
https://learn.microsoft.com/azure/ai-services/speech-service/speech-synthesis-markup-voice (SSML).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from xml.sax.saxutils import escape, quoteattr

import msgspec

from kallglot.speech.languages import base
from kallglot.speech.remote.exchange import Request

TRANSLATOR_URL: Final = "https://api.cognitive.microsofttranslator.com"
USER_AGENT: Final = "kallglot"

MOST_TERMS: Final = 200
LONGEST_SPOKEN: Final = 1_000
"""Far within the ten minutes of audio at which the service cuts off."""
RATES: Final = {
    8_000: "raw-8khz-16bit-mono-pcm",
    16_000: "raw-16khz-16bit-mono-pcm",
    22_050: "raw-22050hz-16bit-mono-pcm",
    24_000: "raw-24khz-16bit-mono-pcm",
    44_100: "raw-44100hz-16bit-mono-pcm",
    48_000: "raw-48khz-16bit-mono-pcm",
}

LANGUAGES: Final = tuple(
    "af am ar as az ba be bg bn bs ca cs cy da de el en es et eu fa fi fil fr ga gl gu ha he hi hr ht hu hy id ig is it"
    " ja ka kk km kn ko ku ky lo lt lv mg mi mk ml mn mr ms mt my nb ne nl or pa pl ps pt ro ru rw sd si sk sl so sq sr"
    " sv sw ta te th ti tk tr tt ug uk ur uz vi xh yo zh zu".split()
)

VOICES: Final = {
    "ar": "ar-EG-SalmaNeural",
    "bg": "bg-BG-KalinaNeural",
    "bn": "bn-IN-TanishaaNeural",
    "ca": "ca-ES-JoanaNeural",
    "cs": "cs-CZ-VlastaNeural",
    "cy": "cy-GB-NiaNeural",
    "da": "da-DK-ChristelNeural",
    "de": "de-DE-KatjaNeural",
    "de-at": "de-AT-IngridNeural",
    "de-ch": "de-CH-LeniNeural",
    "el": "el-GR-AthinaNeural",
    "en": "en-US-JennyNeural",
    "en-au": "en-AU-NatashaNeural",
    "en-gb": "en-GB-SoniaNeural",
    "es": "es-ES-ElviraNeural",
    "es-mx": "es-MX-DaliaNeural",
    "et": "et-EE-AnuNeural",
    "fa": "fa-IR-DilaraNeural",
    "fi": "fi-FI-SelmaNeural",
    "fr": "fr-FR-DeniseNeural",
    "fr-ca": "fr-CA-SylvieNeural",
    "ga": "ga-IE-OrlaNeural",
    "he": "he-IL-HilaNeural",
    "hi": "hi-IN-SwaraNeural",
    "hr": "hr-HR-GabrijelaNeural",
    "hu": "hu-HU-NoemiNeural",
    "id": "id-ID-GadisNeural",
    "it": "it-IT-ElsaNeural",
    "ja": "ja-JP-NanamiNeural",
    "ko": "ko-KR-SunHiNeural",
    "lt": "lt-LT-OnaNeural",
    "lv": "lv-LV-EveritaNeural",
    "nb": "nb-NO-PernilleNeural",
    "nl": "nl-NL-ColetteNeural",
    "no": "nb-NO-PernilleNeural",
    "pl": "pl-PL-ZofiaNeural",
    "pt": "pt-PT-RaquelNeural",
    "pt-br": "pt-BR-FranciscaNeural",
    "ro": "ro-RO-AlinaNeural",
    "ru": "ru-RU-SvetlanaNeural",
    "sk": "sk-SK-ViktoriaNeural",
    "sl": "sl-SI-PetraNeural",
    "sv": "sv-SE-SofieNeural",
    "th": "th-TH-PremwadeeNeural",
    "tr": "tr-TR-EmelNeural",
    "uk": "uk-UA-PolinaNeural",
    "vi": "vi-VN-HoaiMyNeural",
    "zh": "zh-CN-XiaoxiaoNeural",
}
"""A voice by language, for where the operator names none."""

_VOICE: Final = re.compile(r"([A-Za-z]{2,3}-[A-Za-z0-9]{2,4})-\S+")
_NOT_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_MARKUP: Final = frozenset('<>"&')


def translation_code(language: str) -> str:
    """``de`` for ``de-AT``; Portuguese, French, Chinese and Serbian have variants."""
    parts = language.replace("_", "-").lower().split("-")
    match parts[0]:
        case "pt":
            return "pt" if len(parts) == 1 or "br" in parts else "pt-pt"
        case "fr":
            return "fr-ca" if "ca" in parts else "fr"
        case "zh" | "cmn":
            return "zh-Hant" if {"hant", "tw", "hk", "mo"}.intersection(parts) else "zh-Hans"
        case "sr":
            return "sr-Latn" if "latn" in parts else "sr-Cyrl"
        case "no" | "nn":
            return "nb"
        case "tl":
            return "fil"
        case "mn":
            return "mn-Cyrl"
        case _:
            return parts[0]


def translation(
    url: str, text: str, source: str, target: str, *, headers: dict[str, str], category: str | None = None
) -> Request:
    """``POST /translate``. A key that is for one region needs ``Ocp-Apim-Subscription-Region`` beside it."""
    query = {"api-version": "3.0", "from": translation_code(source), "to": translation_code(target)}
    if category is not None:
        query["category"] = category
    return Request(f"{url}/translate", headers=headers, query=query, document=[{"Text": text}])


def translator_headers(api_key: str, region: str | None) -> dict[str, str]:
    headers = {"Ocp-Apim-Subscription-Key": api_key}
    return headers if region is None else {**headers, "Ocp-Apim-Subscription-Region": region}


def marked_up(text: str, glossary: Iterable[tuple[str, str]], source: str, target: str) -> str:
    """The text with glossary terms in the markup of the dynamic dictionary, which heeds case and wants English on one
    side. Longer terms go first; a term or translation with markup characters in it is left as it is."""
    if "en" not in (base(source), base(target)) or "<" in text:
        return text
    terms: dict[str, str] = {}
    for term, translated in glossary:
        if term.strip() and translated.strip() and not _MARKUP.intersection(term + translated):
            terms.setdefault(term.strip(), " ".join(translated.split()))
    known = sorted(terms, key=lambda term: (-len(term), term))[:MOST_TERMS]
    if not known:
        return text
    any_term = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, known))})(?!\w)")
    return any_term.sub(
        lambda found: f'<mstrans:dictionary translation="{terms[found[0]]}">{found[0]}</mstrans:dictionary>', text
    )


class _Translation(msgspec.Struct):
    text: str


class _Translated(msgspec.Struct):
    translations: list[_Translation]


def translated(body: bytes) -> str:
    """Raises :class:`ValueError` or ``msgspec.MsgspecError``."""
    [translated] = msgspec.json.decode(body, type=list[_Translated])
    [translation] = translated.translations
    return translation.text


class _Code(msgspec.Struct):
    code: int | str


class _Trouble(msgspec.Struct):
    error: _Code


def trouble(body: bytes) -> str | None:
    """The Translator's number for an error, as ``403001``."""
    try:
        return str(msgspec.json.decode(body, type=_Trouble).error.code)
    except msgspec.MsgspecError:
        return None


def speech_url(region: str) -> str:
    return f"https://{region}.tts.speech.microsoft.com"


def voice_locale(voice: str, language: str) -> str:
    """``de-DE`` of ``de-DE-KatjaNeural``; the language itself for a voice of another kind of name."""
    found = _VOICE.fullmatch(voice)
    return found[1] if found else language


def ssml(text: str, language: str, voice: str, speed: float = 1.0) -> str:
    spoken = escape(_NOT_XML.sub(" ", text))
    if speed != 1.0:
        spoken = f'<prosody rate="{round((min(2.0, max(0.5, speed)) - 1) * 100):+d}%">{spoken}</prosody>'
    return (
        f'<speak version="1.0" xmlns="http://www.w3.org/2001/10/synthesis" xml:lang={quoteattr(language)}>'
        f"<voice name={quoteattr(_NOT_XML.sub('', voice))}>{spoken}</voice></speak>"
    )


def speech(url: str, api_key: str, markup: str, sample_rate_hz: int, most_bytes: int) -> Request:
    """``POST /cognitiveservices/v1``: raw PCM in chunks."""
    return Request(
        f"{url}/cognitiveservices/v1",
        headers={
            "Ocp-Apim-Subscription-Key": api_key,
            "Content-Type": "application/ssml+xml",
            "X-Microsoft-OutputFormat": RATES[sample_rate_hz],
            "User-Agent": USER_AGENT,
        },
        body=markup.encode(),
        most_bytes=most_bytes,
    )
