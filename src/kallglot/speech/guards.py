"""What an answer must be to pass for a translation. Pure."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

ROOM: Final = 80
"""Characters that a translation may have beside ``TIMES`` its original: short words may become long ones."""
TIMES: Final = 4
_QUOTES: Final = {
    '"': '"',
    "“": "”",
    "„": "“",
    "«": "»",
    "»": "«",
    "‘": "’",
    "'": "'",
    "「": "」",
    "『": "』",
    "`": "`",
}
_LABEL: Final = re.compile(
    r"(?:translation|übersetzung|traducción|traduction|traduzione|tradução)\s*:\s*", re.IGNORECASE
)
_REFUSALS: Final = re.compile(
    r"(?:i['’]?m sorry,? (?:but )?i (?:can['’]?t|cannot)"
    r"|i (?:can['’]?t|cannot|am unable to) (?:help|assist|translate|comply)"
    r"|as an ai\b|sorry,? (?:but )?i (?:can['’]?t|cannot)|es tut mir leid,? (?:aber )?(?:ich kann|dabei kann ich)"
    r"|als ki[- ]|lo siento,? (?:pero )?no puedo (?:ayudar|traducir)|je suis désolée?,? (?:mais )?je ne peux pas)",
    re.IGNORECASE,
)


def too_long(text: str, translation: str) -> bool:
    return len(translation) > TIMES * len(text) + ROOM


def says_something(text: str) -> bool:
    """Whether there is a letter or a digit, of any script."""
    return any(unicodedata.category(character)[0] in "LN" for character in text)


def is_refusal(text: str, translation: str) -> bool:
    """The model speaks for itself, and the speaker did not say the like."""
    return bool(_REFUSALS.match(translation.strip())) and not _REFUSALS.match(text.strip())


def unwrapped(text: str, translation: str) -> str:
    """Without the label and the quotes that models put around an answer, where the original has none of its own."""
    translation = translation.strip()
    if not _LABEL.match(text.strip()) and (label := _LABEL.match(translation)):
        translation = translation[label.end() :].strip()
    if translation.startswith("```") and translation.endswith("```") and len(translation) > 6 and "```" not in text:
        translation = translation[3:-3].partition("\n")[2].strip() or translation[3:-3].strip()
    closing = _QUOTES.get(translation[:1])
    if closing is None or len(translation) < 3 or not translation.endswith(closing):
        return translation
    inside = translation[1:-1]
    if text.strip().startswith(tuple(_QUOTES)) or translation[0] in inside or closing in inside:
        return translation
    return inside.strip()


def trouble(text: str, translation: str) -> str | None:
    """Why it cannot be the translation of ``text``, in words; None where it may be."""
    if says_something(text) and not says_something(translation):
        return "the answer is empty"
    if too_long(text, translation):
        return "the answer is much too long for a translation"
    if is_refusal(text, translation):
        return "the answer is a refusal, no translation"
    return None
