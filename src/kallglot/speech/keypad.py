"""Which phrase the keys of a telephone choose. Pure: the caller brings the time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kallglot.speech.phrases import Chosen, NoneOfThese

BETWEEN_KEYS_MS: Final = 2_500
"""After which no further key is expected."""
_KEYS: Final = frozenset("0123456789*#")


class Keypad:
    """``choices`` are digits and the phrase that they choose.

    A choice that is also the beginning of a longer one is made when no further key comes in time; # ends what was
    typed at once where no choice goes on with it.
    """

    def __init__(self, choices: Mapping[str, str]) -> None:
        self._choices = choices
        self._typed = ""
        self._began_ms = 0
        self._last_ms = 0

    @property
    def waiting(self) -> bool:
        """Keys were pressed that may still become something else."""
        return bool(self._typed)

    def press(self, key: str, at_ms: int) -> Chosen | NoneOfThese | None:
        if key not in _KEYS or not self._choices:
            return None
        if not self._typed:
            self._began_ms = at_ms
        self._last_ms = at_ms
        typed = self._typed + key
        going_on = any(digits.startswith(typed) for digits in self._choices)
        if not going_on and key == "#" and self._typed:
            return self._end()
        self._typed = typed
        if not going_on or not any(digits != typed and digits.startswith(typed) for digits in self._choices):
            return self._end()
        return None

    def pass_time(self, now_ms: int) -> Chosen | NoneOfThese | None:
        """What was typed, once no further key came for :data:`BETWEEN_KEYS_MS`."""
        return self._end() if self._typed and now_ms - self._last_ms >= BETWEEN_KEYS_MS else None

    def finish(self) -> Chosen | NoneOfThese | None:
        """What was typed, now."""
        return self._end() if self._typed else None

    def _end(self) -> Chosen | NoneOfThese:
        typed, self._typed = self._typed, ""
        chosen = self._choices.get(typed)
        if chosen is None:
            return NoneOfThese(self._began_ms, self._last_ms, "keypad")
        return Chosen(chosen, 1.0, self._began_ms, self._last_ms, "keypad")
