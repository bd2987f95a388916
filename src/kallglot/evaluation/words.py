"""Texts made comparable before word errors are counted: case, punctuation, spelling of numbers."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from kallglot.speech.languages import base

_ONES: Final = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen"
).split()
_TENS: Final = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()
_ORDINALS: Final = {"1st": "first", "2nd": "second", "3rd": "third", "5th": "fifth", "8th": "eighth", "9th": "ninth"}
_SAME: Final = {
    "ok": "okay",
    "mr": "mister",
    "dr": "doctor",
    "goodbye": "good bye",
    "voicemail": "voice mail",
    "login": "log in",
    "percent": "per cent",
    "%": "per cent",
}
_UNSPACED: Final = frozenset(("zh", "yue", "cmn", "ja", "th", "lo", "km", "my"))


def normalise(text: str, language: str = "en") -> str:
    """Lower case words without punctuation; in English with digits written out the way they are said.

    A language that puts no spaces between words is counted by its characters.
    """
    if base(language) == "en":
        return _english(text)
    plain = unicodedata.normalize("NFC", text).casefold().replace("’", "'").replace("-", " ")
    # Marks belong to their letters, but no pattern of letters takes them.
    words = re.sub(
        r"[^\w\s'%]|_", lambda found: found[0] if unicodedata.category(found[0])[0] == "M" else " ", plain
    ).split()
    kept = [stripped for word in words if (stripped := word.strip("'"))]
    return " ".join("".join(kept)) if base(language) in _UNSPACED else " ".join(kept)


def _english(text: str) -> str:
    text = text.lower().replace("’", "'").replace("-", " ").replace("%", " % ")
    text = re.sub(r"(\d),(\d{3})", r"\1\2", text)
    text = re.sub(r"(\d)\.(\d)", r"\1 point \2", text)
    words: list[str] = []
    for token in re.findall(r"[a-z0-9'%áéíóúñüäöß]+", text):
        words.extend(_said(token.strip("'")))
    return " ".join(words)


def _said(token: str) -> list[str]:
    if token in _ORDINALS:
        return [_ORDINALS[token]]
    match = re.fullmatch(r"(\d+)(th|st|nd|rd|s)?", token)
    if match and len(match.group(1)) <= 6:
        return _number(int(match.group(1)), match.group(1))
    return _SAME.get(token, token).split()


def _number(value: int, digits: str) -> list[str]:
    """Codes like 07 and long rows are read out digit by digit; years in pairs."""
    if digits.startswith("0") and len(digits) > 1:
        return [_ONES[int(digit)] for digit in digits]
    if len(digits) == 4 and 1100 <= value < 2000:
        return [
            *_number(value // 100, str(value // 100)),
            *(_number(value % 100, str(value % 100)) if value % 100 else ["hundred"]),
        ]
    if value < 20:
        return [_ONES[value]]
    if value < 100:
        return [_TENS[value // 10], *([_ONES[value % 10]] if value % 10 else [])]
    if value < 1000:
        rest = value % 100
        return [_ONES[value // 100], "hundred", *(_number(rest, str(rest)) if rest else [])]
    rest = value % 1000
    return [*_number(value // 1000, str(value // 1000)), "thousand", *(_number(rest, str(rest)) if rest else [])]
