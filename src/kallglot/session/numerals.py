"""Numbers as they are spoken, digit by digit or in pairs: which words stand for which digits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Final

Phrase = tuple[str, ...]

_EN_UNITS: Final = "zero one two three four five six seven eight nine".split()
_EN_TEENS: Final = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
_EN_TENS: Final = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_DE_UNITS: Final = "null eins zwei drei vier fünf sechs sieben acht neun".split()
_DE_TEENS: Final = "zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn".split()
_DE_TENS: Final = "zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig".split()
_ES_UNITS: Final = "cero uno dos tres cuatro cinco seis siete ocho nueve".split()
_ES_TO_29: Final = (
    "diez once doce trece catorce quince dieciséis diecisiete dieciocho diecinueve veinte veintiuno veintidós"
    " veintitrés veinticuatro veinticinco veintiséis veintisiete veintiocho veintinueve"
).split()
_ES_TENS: Final = "treinta cuarenta cincuenta sesenta setenta ochenta noventa".split()
_FR_UNITS: Final = "zéro un deux trois quatre cinq six sept huit neuf".split()
_FR_TO_19: Final = "dix onze douze treize quatorze quinze seize dix_sept dix_huit dix_neuf".replace("_", "-").split()
_FR_TENS: Final = "vingt trente quarante cinquante soixante".split()
_IT_UNITS: Final = "zero uno due tre quattro cinque sei sette otto nove".split()
_IT_TEENS: Final = "dieci undici dodici tredici quattordici quindici sedici diciassette diciotto diciannove".split()
_IT_TENS: Final = "venti trenta quaranta cinquanta sessanta settanta ottanta novanta".split()
_PT_UNITS: Final = "zero um dois três quatro cinco seis sete oito nove".split()
_PT_TEENS: Final = "dez onze doze treze catorze quinze dezesseis dezessete dezoito dezenove".split()
_PT_TENS: Final = "vinte trinta quarenta cinquenta sessenta setenta oitenta noventa".split()


def _english() -> Iterator[tuple[str, str]]:
    yield from _counted(_EN_UNITS, 0)
    yield from (("oh", "0"), ("o", "0"), ("nought", "0"), ("nil", "0"))
    yield from _counted(_EN_TEENS, 10)
    yield from _tens(_EN_TENS, 20, _EN_UNITS, " ")


def _german() -> Iterator[tuple[str, str]]:
    yield from _counted(_DE_UNITS, 0)
    yield from (("zwo", "2"), ("fuenf", "5"), ("ein", "1"), ("zwoelf", "12"))
    yield from _counted(_DE_TEENS, 10)
    for n, ten in enumerate(_DE_TENS, 2):
        for spelt in {ten, ten.replace("ß", "ss")}:
            yield spelt, f"{n}0"
            for unit, word in enumerate(["ein", *_DE_UNITS[2:]], 1):
                yield f"{word}und{spelt}", f"{n}{unit}"


def _spanish() -> Iterator[tuple[str, str]]:
    yield from _counted(_ES_UNITS, 0)
    yield from _counted(_ES_TO_29, 10)
    yield from _tens(_ES_TENS, 30, _ES_UNITS, " y ")


def _french() -> Iterator[tuple[str, str]]:
    yield from _counted(_FR_UNITS, 0)
    yield from _counted(_FR_TO_19, 10)
    yield from _tens(_FR_TENS, 20, _FR_UNITS, " ")
    for unit, word in enumerate([*_FR_UNITS[1:], *_FR_TO_19], 1):
        yield f"quatre vingt {word}", str(80 + unit)
        if unit >= 10:
            yield f"soixante {word}", str(60 + unit)
    yield from (("quatre vingts", "80"), ("quatre vingt", "80"), ("soixante et onze", "71"))
    yield from ((f"{ten} et un", str(10 * n + 1)) for n, ten in enumerate(_FR_TENS, 2))


def _italian() -> Iterator[tuple[str, str]]:
    yield from _counted(_IT_UNITS, 0)
    yield from _counted(_IT_TEENS, 10)
    for n, ten in enumerate(_IT_TENS, 2):
        yield ten, f"{n}0"
        for unit, word in enumerate(_IT_UNITS[1:], 1):
            stem = ten[:-1] if word[0] in "uo" else ten
            yield f"{stem}{word}", f"{n}{unit}"
        yield f"{ten}tré", f"{n}3"


def _portuguese() -> Iterator[tuple[str, str]]:
    yield from _counted(_PT_UNITS, 0)
    yield from (("meia", "6"), ("uma", "1"), ("duas", "2"))
    yield from _counted(_PT_TEENS, 10)
    yield from _tens(_PT_TENS, 20, _PT_UNITS, " e ")


def _counted(words: Sequence[str], first: int) -> Iterator[tuple[str, str]]:
    return ((word, str(n)) for n, word in enumerate(words, first))


def _tens(tens: Sequence[str], first: int, units: Sequence[str], between: str) -> Iterator[tuple[str, str]]:
    for n, ten in enumerate(tens, first // 10):
        yield ten, f"{n}0"
        for unit, word in enumerate(units[1:], 1):
            yield f"{ten}{between}{word}", f"{n}{unit}"


_SPOKEN: Final = {
    "en": _english,
    "de": _german,
    "es": _spanish,
    "fr": _french,
    "it": _italian,
    "pt": _portuguese,
}
_TIMES: Final[Mapping[str, Mapping[str, int]]] = {
    "en": {"double": 2, "triple": 3, "treble": 3, "quadruple": 4},
    "de": {"doppel": 2, "doppelt": 2, "zweimal": 2, "dreimal": 3, "viermal": 4},
    "es": {"doble": 2, "triple": 3},
    "fr": {"double": 2, "triple": 3},
    "it": {"doppio": 2, "triplo": 3},
    "pt": {"duplo": 2, "triplo": 3},
}
_BETWEEN: Final[Mapping[str, frozenset[str]]] = {
    "en": frozenset("uh um er erm hm and then dash hyphen space ok okay yes yeah so next".split()),
    "de": frozenset("äh ähm hm und dann die bindestrich strich ok okay ja so also".split()),
    "es": frozenset("eh este em y luego guion guión espacio ok vale sí".split()),
    "fr": frozenset("euh et puis tiret espace ok oui".split()),
    "it": frozenset("eh ehm e poi trattino spazio ok sì".split()),
    "pt": frozenset("é hum e depois hífen traço espaço ok sim".split()),
}


class Numerals:
    """The number words of some languages. ``longest`` is how many words a number has at most."""

    def __init__(self, languages: tuple[str, ...]) -> None:
        # A word of several languages is the first one's.
        self.digits: dict[Phrase, str] = {}
        self.times: dict[str, int] = {}
        self.between: set[str] = set()
        for language in languages:
            for said, digits in _SPOKEN[language]():
                self.digits.setdefault(tuple(said.replace("-", " ").split()), digits)
            for word, times in _TIMES[language].items():
                self.times.setdefault(word, times)
            self.between |= _BETWEEN[language]
        self.longest = max(map(len, self.digits))
        self.first = {phrase[0] for phrase in self.digits}


def numerals(language: str | None) -> Numerals:
    """Of a BCP 47 language; of all that are known where it is none of them, or not known."""
    base = (language or "").split("-")[0].lower()
    return _known(base if base in _SPOKEN else None)


@cache
def _known(language: str | None) -> Numerals:
    return Numerals(tuple(_SPOKEN) if language is None else (language,))
