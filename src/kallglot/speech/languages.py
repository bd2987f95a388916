"""BCP 47 tags, as far as choosing an engine needs them, and the English names of languages."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

_NAMES = """
af Afrikaans|am Amharic|an Aragonese|ar Arabic|as Assamese|ast Asturian|az Azerbaijani|ba Bashkir
be Belarusian|bg Bulgarian|bn Bengali|br Breton|bs Bosnian|ca Catalan|chr Cherokee|cmn Mandarin Chinese
cs Czech|cv Chuvash|cy Welsh|da Danish|de German|el Greek|en English|eo Esperanto|es Spanish|et Estonian
eu Basque|fa Persian|fi Finnish|fr French|frp Arpitan|ga Irish|gd Scottish Gaelic|gl Galician|gn Guarani
grc Ancient Greek|gu Gujarati|hak Hakka Chinese|haw Hawaiian|he Hebrew|hi Hindi|hr Croatian|ht Haitian Creole
hu Hungarian|hy Armenian|hyw Western Armenian|ia Interlingua|id Indonesian|io Ido|is Icelandic|it Italian
ja Japanese|jbo Lojban|ka Georgian|kk Kazakh|kl Greenlandic|km Khmer|kn Kannada|ko Korean|kok Konkani
ku Kurdish|ky Kyrgyz|la Latin|lb Luxembourgish|lo Lao|lt Lithuanian|ltg Latgalian|lv Latvian|mi Maori
mk Macedonian|ml Malayalam|mn Mongolian|mr Marathi|ms Malay|mt Maltese|my Burmese|nb Norwegian Bokmål
ne Nepali|nl Dutch|nn Norwegian Nynorsk|no Norwegian|nog Nogai|oc Occitan|om Oromo|or Odia|pa Punjabi
pap Papiamento|pl Polish|pt Portuguese|qu Quechua|quc K'iche'|ro Romanian|ru Russian|sc Sardinian|sd Sindhi
sh Serbo-Croatian|shn Shan|si Sinhala|sk Slovak|sl Slovenian|smj Lule Sami|so Somali|sq Albanian|sr Serbian
sv Swedish|sw Swahili|szl Silesian|ta Tamil|te Telugu|th Thai|tk Turkmen|tl Tagalog|tn Tswana|tr Turkish
tt Tatar|ug Uyghur|uk Ukrainian|ur Urdu|uz Uzbek|vi Vietnamese|yue Cantonese|zh Chinese
"""

_TWO_LETTERS = """
afr:af arg:an bel:be bre:br bul:bg cat:ca ces:cs cym:cy dan:da deu:de ell:el eng:en epo:eo eus:eu fin:fi
fra:fr gle:ga glg:gl hbs:sh hin:hi hrv:hr hun:hu ind:id isl:is ita:it kaz:kk mkd:mk mlt:mt msa:ms nld:nl
nno:nn nob:nb oci:oc pol:pl por:pt ron:ro rus:ru slk:sk slv:sl spa:es sqi:sq srd:sc srp:sr swe:sv tat:tt
tur:tr ukr:uk urd:ur zlm:ms zsm:ms
"""


def base(tag: str) -> str:
    """The language of a tag, without region and script: ``en`` of ``en-US``."""
    return tag.replace("_", "-").split("-", 1)[0].lower()


def match(tag: str, available: Iterable[str]) -> str | None:
    """The one of ``available`` that serves ``tag``: the same tag, else its base language. Case does not matter."""
    by_tag = {other.replace("_", "-").lower(): other for other in available}
    return by_tag.get(tag.replace("_", "-").lower()) or by_tag.get(base(tag))


def english_name(tag: str) -> str:
    """``German`` for ``de-AT``; the tag itself where the language is not known here."""
    return _names().get(base(tag), tag)


def two_letters(code: str) -> str:
    """The ISO 639-1 code, which BCP 47 uses, of an ISO 639-3 code; the code itself where there is none."""
    return _codes().get(code, code)


@cache
def _codes() -> dict[str, str]:
    return {three: two for three, _, two in (pair.partition(":") for pair in _TWO_LETTERS.split())}


@cache
def _names() -> dict[str, str]:
    rows = (row.partition(" ") for line in _NAMES.strip().splitlines() for row in line.split("|"))
    return {code: name for code, _, name in rows}
