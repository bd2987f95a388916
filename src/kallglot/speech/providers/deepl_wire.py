"""What DeepL's text interface is asked and what it answers. Pure.

Sources: https://developers.deepl.com/api-reference/translate (translation, languages, formality),
https://developers.deepl.com/api-reference/multilingual-glossaries (glossaries, version 3).
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from kallglot.speech.languages import base
from kallglot.speech.types import Hints

PRO_URL: Final = "https://api.deepl.com"
FREE_URL: Final = "https://api-free.deepl.com"

LANGUAGES: Final = tuple(
    "ar bg cs da de el en es et fi fr he hu id it ja ko lt lv nb nl no pl pt ro ru sk sl sv th tr uk vi zh".split()
)
"""What has been served for long; DeepL takes more of them from time to time: the operator may list those."""
FORMAL: Final = frozenset(("DE", "ES", "ES-419", "FR", "IT", "JA", "NL", "PL", "PT-BR", "PT-PT", "RU"))
"""Targets with formality."""

CONTEXT_CHARACTERS: Final = 2_000
GLOSSARY_PHRASE_BYTES: Final = 1_024
GLOSSARY_ENTRIES: Final = 5_000
GLOSSARY_PREFIX: Final = "kallglot-"

_FORMALITY: Final = {"formal": "prefer_more", "informal": "prefer_less"}
_BRITISH: Final = frozenset(("gb", "uk", "ie", "au", "nz", "za", "in", "sg", "hk", "mt"))


class _Translation(msgspec.Struct):
    text: str


class _Translations(msgspec.Struct):
    translations: list[_Translation]


class _Glossary(msgspec.Struct):
    glossary_id: str
    name: str = ""


class _Glossaries(msgspec.Struct):
    glossaries: list[_Glossary]


def address(api_key: str) -> str:
    """Keys of the free plan, which end in ``:fx``, have a host of their own."""
    return FREE_URL if api_key.endswith(":fx") else PRO_URL


def headers(api_key: str) -> dict[str, str]:
    return {"Authorization": f"DeepL-Auth-Key {api_key}"}


def source_code(language: str) -> str:
    """Sources have no region: ``DE`` for ``de-AT``, ``NB`` for any Norwegian."""
    code = base(language)
    return "NB" if code in ("no", "nb", "nn") else code.upper()


def target_code(language: str, wanted: Mapping[str, str] | None = None) -> str:
    """The target for a BCP 47 tag: ``EN-US`` for ``en``, ``PT-PT`` for ``pt``, ``ZH-HANT`` for ``zh-TW``.

    ``wanted`` are the operator's own choices by lower-case tag, as ``{"en": "EN-GB"}``.
    """
    tag = language.replace("_", "-").lower()
    parts = tag.split("-")
    chosen = (wanted or {}).get(tag) or (wanted or {}).get(parts[0])
    if chosen:
        return chosen.upper()
    match parts[0]:
        case "en":
            return "EN-GB" if _BRITISH.intersection(parts[1:]) else "EN-US"
        case "pt":
            return "PT-BR" if "br" in parts else "PT-PT"
        case "zh":
            return "ZH-HANT" if {"hant", "tw", "hk", "mo"}.intersection(parts) else "ZH-HANS"
        case "es":
            return "ES-419" if "419" in parts else "ES"
        case _:
            return source_code(tag)


def translation(
    text: str,
    source: str,
    target: str,
    hints: Hints,
    *,
    glossary_id: str | None = None,
    model: str | None = None,
    wanted: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The body of ``POST /v2/translate``."""
    code = target_code(target, wanted)
    body: dict[str, Any] = {"text": [text], "source_lang": source_code(source), "target_lang": code}
    context = context_of(hints)
    if context:
        body["context"] = context
    formality = _FORMALITY.get(hints.formality or "")
    if formality and code in FORMAL:
        body["formality"] = formality
    if glossary_id is not None:
        body["glossary_id"] = glossary_id
    if model is not None:
        body["model_type"] = model
    return body


def context_of(hints: Hints) -> str:
    """The latest of what the speaker said before, in the source language; neither translated nor charged."""
    said: list[str] = []
    left = CONTEXT_CHARACTERS
    for text, _ in reversed(hints.context):
        left -= len(text) + 1
        if left < 0:
            break
        said.append(text)
    return "\n".join(reversed(said))


def translated(body: bytes) -> str:
    """Raises :class:`ValueError` or ``msgspec.MsgspecError``."""
    [translation] = msgspec.json.decode(body, type=_Translations).translations
    return translation.text


def glossary_entries(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """What of a glossary DeepL takes: no empty, doubled or overlong phrases, and no control characters in them."""
    entries: dict[str, str] = {}
    for source, target in pairs:
        cleaned = _phrase(source), _phrase(target)
        if all(0 < len(phrase.encode()) <= GLOSSARY_PHRASE_BYTES for phrase in cleaned):
            entries.setdefault(*cleaned)
    return tuple(sorted(entries.items())[:GLOSSARY_ENTRIES])


def glossary_languages(source: str, target: str) -> tuple[str, str]:
    """Glossaries are between languages, not variants: ``en`` serves ``EN-GB`` and ``EN-US``."""
    return source_code(source).lower(), source_code(target).lower()


def glossary_name(source: str, target: str, entries: Sequence[tuple[str, str]]) -> str:
    """The same for the same content, so that a glossary left behind is found again."""
    digest = hashlib.sha256("\n".join((source, target, *("\t".join(entry) for entry in entries))).encode())
    return f"{GLOSSARY_PREFIX}{digest.hexdigest()[:32]}"


def glossary(name: str, source: str, target: str, entries: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The body of ``POST /v3/glossaries``."""
    tsv = "\n".join("\t".join(entry) for entry in entries)
    dictionary = {"source_lang": source, "target_lang": target, "entries": tsv, "entries_format": "tsv"}
    return {"name": name, "dictionaries": [dictionary]}


def made_glossary(body: bytes) -> str:
    """The id. Raises ``msgspec.MsgspecError``."""
    return msgspec.json.decode(body, type=_Glossary).glossary_id


def listed_glossaries(body: bytes) -> dict[str, str]:
    """Ids by name, of those made here, from ``GET /v3/glossaries``."""
    found = msgspec.json.decode(body, type=_Glossaries).glossaries
    return {one.name: one.glossary_id for one in found if one.name.startswith(GLOSSARY_PREFIX)}


def _phrase(text: str) -> str:
    spaced = "".join(" " if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in text)
    return " ".join(spaced.split())
