"""What an organisation's own patterns match, taken out of what was said; whatever they are, no call waits for them.

RE2 takes time that grows with text times pattern, but many matches that each look far ahead make it grow with the
square of the text. So a pattern's size has a bound; work is counted before it is done, and what may be more than the
event loop can spare is done beside it (RE2 lets go of the interpreter's lock), up to a bound of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, cast

import re2 as untyped_re2  # pyright: ignore[reportMissingTypeStubs]

re2 = cast(Any, untyped_re2)

REDACTED: Final = "[redacted]"
"""What stands for a text that could not be looked through."""
LARGEST_PROGRAM: Final = 5000
"""Instructions that RE2 makes of a pattern; ``\\pL`` is 1200 of them."""
MOST_CHARACTERS: Final = 8000
"""Of a text that is looked through at once; a longer one is taken in pieces."""
SOON_WORK: Final = 1_000_000
"""Instructions times bytes that the event loop can spare: 7 ms at 6.4 ns, the most that was measured."""
MOST_SECONDS: Final = 0.5
"""Processor time that one text may take beside the event loop, before it is masked as a whole."""
PATTERN_MEMORY: Final = 1 << 19
"""Bytes for a pattern and what it makes of itself while it runs."""
KNOWN: Final = 512

# Of its own and only one: what hostile patterns take, they take from each other.
_beside: Final = ThreadPoolExecutor(1, "patterns")


def compiled(pattern: str) -> Any:
    """As RE2 has it. Raises ``ValueError`` with the reason."""
    options = re2.Options()
    options.max_mem = PATTERN_MEMORY
    options.log_errors = False
    try:
        regex = re2.compile(pattern, options)
    except re2.error as error:
        reason: Any = error.args[0] if error.args else "not understood"
        raise ValueError(reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)) from None
    if regex.programsize > LARGEST_PROGRAM:
        sizes = f"{regex.programsize} instructions, {LARGEST_PROGRAM} at most"
        raise ValueError(f"pattern too large ({sizes}); repeat less, + instead of {{1,99}}")
    return regex


@dataclass(frozen=True, slots=True)
class Pattern:
    regex: Any
    replacement: bytes
    size: int

    def masked(self, text: bytes, may: Callable[[int], bool]) -> bytes | None:
        """None once ``may`` denies the work of one more search."""
        pieces: list[bytes] = []
        at = kept = 0
        while at < len(text):
            if not may(self.size * (len(text) - at)):
                return None
            match = self.regex.search(text, at)
            if match is None:
                break
            start, at = match.span()
            if at > start:
                pieces += text[kept:start], self.replacement
                kept = at
            else:
                at += 1
        return b"".join([*pieces, text[kept:]])


@dataclass(frozen=True, slots=True)
class Patterns:
    patterns: tuple[Pattern, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.patterns)

    def soon(self, text: str) -> str | None:
        """What the event loop can spare the time for; None for what takes longer."""
        work = 0

        def may(more: int) -> bool:
            nonlocal work
            work += more
            return work <= SOON_WORK

        return self._masked(text, may)

    def patiently(self, text: str, spent: Callable[[], float] = time.thread_time) -> str:
        """``spent``: seconds that this thread has worked."""
        until = spent() + MOST_SECONDS
        masked = self._masked(text, lambda _: spent() < until)
        return REDACTED if masked is None else masked

    async def masked(self, text: str) -> str:
        found = self.soon(text)
        if found is None:
            found = await asyncio.get_running_loop().run_in_executor(_beside, self.patiently, text)
        return found

    def _masked(self, text: str, may: Callable[[int], bool]) -> str | None:
        for pattern in self.patterns:
            pieces: list[str] = []
            for at in range(0, len(text), MOST_CHARACTERS):
                piece = pattern.masked(text[at : at + MOST_CHARACTERS].encode(), may)
                if piece is None:
                    return None
                pieces.append(piece.decode(errors="replace"))
            text = "".join(pieces)
        return text


def patterns(some: Iterable[Mapping[str, str]]) -> Patterns:
    """``{"pattern", "replacement"}`` each, of which ``compiled`` has taken the pattern."""
    return Patterns(tuple(_pattern(one["pattern"], one["replacement"]) for one in some))


@lru_cache(KNOWN)
def _pattern(pattern: str, replacement: str) -> Pattern:
    regex = compiled(pattern)
    return Pattern(regex, replacement.encode(), max(regex.programsize, regex.reverseprogramsize))
