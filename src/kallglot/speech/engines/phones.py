"""How a text is said, in the 39 phones of American English that the acoustic model of a phrase recogniser knows. Pure.

espeak-ng writes how a text sounds in the International Phonetic Alphabet, in any of its languages; each of its sounds
is given the nearest English one, or two. The phones are those of the CMU Pronouncing Dictionary, without stress:
http://www.speech.cs.cmu.edu/cgi-bin/cmudict. What a language tells apart and English does not (ü and i, ch and sch,
tones, long and short) is not told apart here either.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product
from typing import Final

PHONES: Final = frozenset(
    (
        *("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"),
        *("B", "CH", "D", "DH", "F", "G", "HH", "JH", "K", "L", "M", "N", "NG", "P", "R", "S", "SH"),
        *("T", "TH", "V", "W", "Y", "Z", "ZH"),
    )
)

Word = tuple[str, ...]
"""The phones of one word, as it is spoken: espeak-ng writes some words together."""
Saying = tuple[Word, ...]
"""One way of saying a phrase."""

_TABLE: Final = """
a AA|aː AA|ɐ AH|ɑ AA|ɑː AA|ɒ AA|æ AE|ʌ AH|ə AH|ɚ ER|ɜ ER|ɝ ER|ɘ AH|ɞ ER|ɵ UH|e EH|eː EY|ɛ EH|ɛː EH
i IY|ɪ IH|ɨ IH|ᵻ IH|y IY|ʏ IH|ʉ UW|ɯ UH|ɤ AH|o AO|oː OW|ɔ AO|ɔː AO|ø ER|œ EH|øː ER|œː ER|u UW|ʊ UH|ɶ AA
aɪ AY|ai AY|aɛ AY|ɑɪ AY|æi AY|aʊ AW|au AW|ɑʊ AW|æʊ AW|eɪ EY|ei EY|ɛɪ EY|ɛi EY|oʊ OW|ou OW|əʊ OW|ɔʊ OW
ɔɪ OY|ɔø OY|ɔʏ OY|oɪ OY|oi OY|ɔi OY|ɔy OY|œy OY|ʊɪ UH IY|uɪ UW IY
aɪə AY ER|aʊə AW ER|iə IY AH|ɪə IH R|eə EH R|ʊə UH R|ɔə AO R|ɑːɹ AA R|ɔːɹ AO R|oːɹ AO R|ɛɹ EH R|ɪɹ IH R|ʊɹ UH R
b B|ɓ B|β V|c K|ç SH|d D|ɖ D|ɗ D|ð DH|f F|ɸ F|g G|ɡ G|ɢ G|ɠ G|ɣ G|ʛ G|h HH|ɦ HH|ħ HH|ʜ HH|ɧ SH|j Y|ʝ Y|ɟ JH
k K|l L|ɫ L|ɭ L|ɬ L|ɮ L|ʎ L Y|ʟ L|m M|ɱ M|n N|ɲ N Y|ɳ N|ŋ NG|ɴ NG|p P|q K|r R|ɹ R|ɾ R|ʀ R|ʁ R|ɻ R|ɺ R|ɽ R|ʙ B
s S|ʂ SH|ʃ SH|ɕ SH|t T|ʈ T|θ TH|v V|ʋ V|w W|ʍ W|ɥ Y|ɰ W|x HH|χ HH|z Z|ʐ ZH|ʒ ZH|ʑ ZH
ʦ T S|ε EH|Φ F|X HH|A AA|I IH|S SH|Z ZH
ts T S|tʃ CH|tɕ CH|tʂ CH|dʒ JH|dʑ JH|dʐ JH|dz D Z|pf P F|kx K|tɬ T L
ɑ̃ AA NG|ã AA NG|ɛ̃ EH NG|æ̃ AE NG|ɔ̃ AO NG|õ OW NG|œ̃ AH NG|ẽ EY NG|ĩ IY NG|ũ UW NG|ɐ̃ AH NG|ɪ̃ IH NG|ʊ̃ UH NG
"""

_IGNORED: Final = frozenset("ˈˌːˑ'’‿|‖ˤʰʲʷˠ˞ʼˀʔʕˡⁿʱ̩̯͡˥˦˧˨˩↑↓↗↘→ꜛꜜ-_.,;:!?¡¿^~*+=#()[]`\"/\\ᵝ0123456789")


_SWITCH: Final = re.compile(r"\([a-z][a-z0-9-]*\)")
"""The voice changes to that of another language, for a foreign word."""


def unknown(ipa: str) -> str:
    """The signs of an espeak-ng transcription that stand for no sound known here, each once."""
    left: list[str] = []
    for word in _SWITCH.sub(" ", ipa).split():
        for sound in word.split("_"):
            _map(_bare(sound), left)
    return "".join(dict.fromkeys(left))


def saying(ipa: str) -> Saying:
    """The phones of a transcription made with ``--ipa --sep=_``: words parted by spaces, sounds by underscores.

    Sounds that are not known are left out; so are words of which nothing is left.
    """
    words = (tuple(_phones(word)) for word in _SWITCH.sub(" ", ipa).split())
    return tuple(word for word in words if word)


def _phones(word: str) -> Iterator[str]:
    for sound in word.split("_"):
        yield from _map(_bare(sound), None)


def _bare(sound: str) -> str:
    """Without stress and the marks that change nothing here; length and the tilde of nasal vowels stay."""
    # Composed: the cedilla of ç is no mark on a c.
    composed = unicodedata.normalize("NFC", sound)
    return "".join(c for c in composed if c in "ː\u0303" or not (c in _IGNORED or unicodedata.combining(c)))


def _map(sound: str, left: list[str] | None) -> list[str]:
    """The longest parts of a sound that the table has, one after the other."""
    table = _table()
    found: list[str] = []
    at = 0
    while at < len(sound):
        for end in range(min(len(sound), at + 4), at, -1):
            phones = table.get(sound[at:end])
            if phones is not None:
                found += phones
                at = end
                break
        else:
            plain = unicodedata.normalize("NFD", sound[at])[0]
            if plain != sound[at] and plain in table:
                found += table[plain]
            elif left is not None and sound[at] not in "ː\u0303":
                left.append(sound[at])
            at += 1
    return found


@cache
def _table() -> dict[str, tuple[str, ...]]:
    rows = (row.partition(" ") for line in _TABLE.strip().splitlines() for row in line.split("|"))
    return {unicodedata.normalize("NFC", sound): tuple(phones.split()) for sound, _, phones in rows}


def sayings(words: Sequence[Sequence[Word]], most: int) -> tuple[Saying, ...]:
    """Every way of saying a phrase whose words can each be said in several ways, ``most`` of them at most."""
    found: list[Saying] = []
    for chosen in product(*words):
        if len(found) == most:
            break
        found.append(tuple(chosen))
    return tuple(dict.fromkeys(found))


def alike(sayings_of: Sequence[tuple[int, Saying]]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Pairs of numbers whose sayings have the same phones, and pairs that differ by one phone.

    Sayings of one number are not compared with each other. Linear in the phones: what differs by one phone becomes the
    same when that phone is left out of both, or of the longer one.
    """
    same: dict[tuple[int, int], None] = {}
    near: dict[tuple[int, int], None] = {}
    seen: dict[Word, set[int]] = {}
    without: dict[tuple[Word, int], set[int]] = {}
    for number, said in sayings_of:
        phones = tuple(phone for word in said for phone in word)
        for other in seen.get(phones, ()):
            if other != number:
                same[_pair(number, other)] = None
        seen.setdefault(phones, set()).add(number)
    for number, said in sayings_of:
        phones = tuple(phone for word in said for phone in word)
        for at in range(len(phones)):
            shorter = phones[:at] + phones[at + 1 :]
            for other in seen.get(shorter, ()):
                if other != number:
                    near[_pair(number, other)] = None
            others = without.setdefault((shorter, at), set())
            for other in others:
                if other != number:
                    near[_pair(number, other)] = None
            others.add(number)
    return list(same), [pair for pair in near if pair not in same]


def _pair(one: int, other: int) -> tuple[int, int]:
    return (one, other) if one < other else (other, one)
