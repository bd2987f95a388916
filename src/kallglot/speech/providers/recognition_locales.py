"""The locales that Azure and Google recognise speech in, by language; the first of each stands for the language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from kallglot.speech.languages import base

_TABLE: Final = """
af-ZA am-ET ar-EG,ar-AE,ar-BH,ar-DZ,ar-IL,ar-IQ,ar-JO,ar-KW,ar-LB,ar-LY,ar-MA,ar-OM,ar-PS,ar-QA,ar-SA,ar-SY,ar-TN,ar-YE
az-AZ bg-BG bn-IN bs-BA ca-ES cs-CZ cy-GB da-DK de-DE,de-AT,de-CH el-GR
en-US,en-AU,en-CA,en-GB,en-GH,en-HK,en-IE,en-IN,en-KE,en-NG,en-NZ,en-PH,en-SG,en-TZ,en-ZA
es-ES,es-AR,es-BO,es-CL,es-CO,es-CR,es-CU,es-DO,es-EC,es-GQ,es-GT,es-HN,es-MX,es-NI,es-PA,es-PE,es-PR,es-PY,es-SV,es-US
es-UY,es-VE et-EE eu-ES fa-IR fi-FI fil-PH fr-FR,fr-BE,fr-CA,fr-CH ga-IE gl-ES gu-IN he-IL hi-IN hr-HR hu-HU hy-AM id-ID
is-IS it-IT,it-CH ja-JP jv-ID ka-GE kk-KZ km-KH kn-IN ko-KR lo-LA lt-LT lv-LV mk-MK ml-IN mn-MN mr-IN ms-MY mt-MT my-MM
nb-NO ne-NP nl-NL,nl-BE pa-IN pl-PL ps-AF pt-BR,pt-PT ro-RO ru-RU si-LK sk-SK sl-SI so-SO sq-AL sr-RS sv-SE sw-KE,sw-TZ
ta-IN te-IN th-TH tr-TR uk-UA ur-IN uz-UZ vi-VN zh-CN,zh-TW,zh-HK zu-ZA
"""
"""https://learn.microsoft.com/azure/ai-services/speech-service/language-support?tabs=stt"""

OTHERWISE: Final[Mapping[str, str]] = {"no": "nb", "nn": "nb", "tl": "fil", "iw": "he", "cmn": "zh"}


def _locales() -> dict[str, tuple[str, ...]]:
    by_language: dict[str, tuple[str, ...]] = {}
    for locale in _TABLE.replace(",", " ").split():
        language = base(locale)
        by_language[language] = (*by_language.get(language, ()), locale)
    return by_language


LOCALES: Final[Mapping[str, tuple[str, ...]]] = {
    **_locales(),
    "yue": ("zh-HK",),
}
"""``{"de": ("de-DE", "de-AT", "de-CH"), ...}``"""


def locale_of(tag: str, configured: Sequence[str] = ()) -> str | None:
    """``de-DE`` for ``de``; a locale that is configured is taken as it is, and before the others of its language. None
    where there is none."""
    wanted = tag.replace("_", "-").lower()
    language = OTHERWISE.get(base(wanted), base(wanted))
    own = [other for other in configured if "-" in other]
    for locale in (*own, *LOCALES.get(language, ())):
        if locale.lower() == wanted:
            return locale
    for locale in own:
        if base(locale) == language:
            return locale
    return next(iter(LOCALES.get(language, ())), None)
