"""What text may hold that is kept: every database takes it, and nobody's terminal or page stumbles over it."""

from __future__ import annotations

import re
from typing import Final

_UNSTORABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def storable(text: str) -> bool:
    """Whether every database keeps it: no NUL, no half of a surrogate pair."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def cleaned(text: str) -> str:
    """Without control characters and halves of surrogate pairs."""
    return _UNSTORABLE.sub("", text)
