"""What the engines of the benchmark understand, translate and say: everything follows from how long somebody spoke.

The words of an utterance are all of one family, the next utterance's of the next: whoever hears a word, or the sound
that is made of it, can tell which turn it belongs to.
"""

from __future__ import annotations

import math
import struct
from typing import Final

MS_PER_WORD: Final = 350
MS_PER_CHARACTER: Final = 60

FAMILIES: Final = (
    (("Apfel", "apple"), ("Birne", "pear"), ("Kirsche", "cherry"), ("Traube", "grape")),
    (("Hammer", "hammer"), ("Zange", "pliers"), ("Säge", "saw"), ("Nagel", "nail")),
    (("Montag", "Monday"), ("Dienstag", "Tuesday"), ("Mittwoch", "Wednesday"), ("Freitag", "Friday")),
    (("Regen", "rain"), ("Schnee", "snow"), ("Wolke", "cloud"), ("Sonne", "sunshine")),
    (("Fenster", "window"), ("Treppe", "staircase"), ("Küche", "kitchen"), ("Keller", "cellar")),
    (("Pferd", "horse"), ("Schaf", "sheep"), ("Ziege", "goat"), ("Hund", "dog")),
    (("Bahnhof", "station"), ("Brücke", "bridge"), ("Straße", "street"), ("Hafen", "harbour")),
    (("Mutter", "mother"), ("Bruder", "brother"), ("Tante", "aunt"), ("Vetter", "cousin")),
)
PERIODS: Final = (4, 5, 8, 10, 16, 20, 32, 40)
"""Samples after which the sound of a family repeats: each goes into 20 ms at 8 kHz, so that all its frames are
alike."""

_DICTIONARY: Final = {
    "de": {german: english for family in FAMILIES for german, english in family},
    "en": {english: german for family in FAMILIES for german, english in family},
}
_FAMILY: Final = {word: number for number, family in enumerate(FAMILIES) for pair in family for word in pair}


def recognised(language: str, utterance: int, words: int) -> list[str]:
    """The first so many words of a speaker's utterance, by its number."""
    family = FAMILIES[utterance % len(FAMILIES)]
    side = 0 if language.startswith("de") else 1
    return [family[n % len(family)][side] for n in range(words)]


def sentence(words: list[str]) -> str:
    return f"{' '.join(words)}." if words else ""


def translated(text: str, source: str) -> str:
    """Word by word; a word that is not known stays."""
    known = _DICTIONARY[source.lower()[:2]]
    return " ".join(
        known.get(bare := word.rstrip("."), bare) + ("." if word.endswith(".") else "") for word in text.split()
    )


def family_of(text: str) -> int | None:
    """Which utterance a text is of, modulo the families."""
    for word in text.split():
        if (found := _FAMILY.get(word.rstrip("."))) is not None:
            return found
    return None


def spoken(text: str, sample_rate_hz: int) -> bytes:
    """PCM of 60 ms for each character: a tone that repeats after its family's period."""
    period = PERIODS[family_of(text) or 0] * sample_rate_hz // 8000
    wave = [round(6000 * math.sin(2 * math.pi * n / period) + 2500 * (n == 0)) for n in range(period)]
    samples = len(text) * MS_PER_CHARACTER * sample_rate_hz // 1000
    return (struct.pack(f"<{period}h", *wave) * (samples // period + 1))[: samples * 2]


def family_of_sound(mulaw: bytes) -> int | None:
    """Which family a frame of 20 ms of mu-law at 8 kHz is of; None for silence and whatever was mixed or stretched."""
    for family, period in enumerate(PERIODS):
        if mulaw[period:] == mulaw[:-period]:
            return None if mulaw[:1] * 4 == mulaw[:4] else family
    return None
