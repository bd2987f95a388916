"""How much work a regular expression is: its matching, step by step, as the standard library's backtracking goes.

What the library does is not to be seen from outside, and how long it takes depends on the machine. So each match is
made twice: by the library, and here from the library's own parse tree, with every step counted. Both have to find the
same.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import pytest

Then = Callable[[int], int | None]
"""What has to match from there on: where it ends, None where it does not match."""
Part = Callable[[str, int, Then], int | None]
One = Callable[[str], bool]

_CATEGORIES: dict[Any, One] = {
    op.CATEGORY_DIGIT: str.isdecimal,
    op.CATEGORY_NOT_DIGIT: lambda one: not one.isdecimal(),
    op.CATEGORY_SPACE: str.isspace,
    op.CATEGORY_NOT_SPACE: lambda one: not one.isspace(),
    op.CATEGORY_WORD: lambda one: one.isalnum() or one == "_",
    op.CATEGORY_NOT_WORD: lambda one: not (one.isalnum() or one == "_"),
}


class Steps:
    """Counts, over all patterns of :meth:`pattern`."""

    def __init__(self) -> None:
        self.taken = 0

    def pattern(self, real: re.Pattern[str]) -> Counted:
        parsed = parser.parse(real.pattern, real.flags & (re.IGNORECASE | re.VERBOSE))
        return Counted(real, self._all(parsed, real.flags))

    def _all(self, parsed: Any, flags: int) -> Part:
        parts = [self._part(kind, given, flags) for kind, given in parsed]

        def matched(text: str, at: int, then: Then, n: int = 0) -> int | None:
            if n == len(parts):
                return then(at)
            return parts[n](text, at, lambda end: matched(text, end, then, n + 1))

        return matched

    def _part(self, kind: Any, given: Any, flags: int) -> Part:
        one = _one(kind, given, flags)
        if one is not None:
            return self._character(one)
        if kind is op.SUBPATTERN:
            _, added, removed, inner = given
            return self._all(inner, (flags | added) & ~removed)
        if kind is op.BRANCH:
            return self._branch([self._all(inner, flags) for inner in given[1]])
        if kind is op.MAX_REPEAT:
            least, most, inner = given
            single = _one(*inner[0], flags) if len(inner) == 1 else None
            if single is not None:
                return self._run(single, least, most)
            return self._repeat(self._all(inner, flags), least, most)
        if kind in (op.ASSERT, op.ASSERT_NOT):
            direction, inner = given
            back = inner.getwidth()[0] if direction < 0 else 0
            return self._look(self._all(inner, flags), back, wanted=kind is op.ASSERT)
        raise NotImplementedError(kind)

    def _character(self, one: One) -> Part:
        def matched(text: str, at: int, then: Then) -> int | None:
            self.taken += 1
            return then(at + 1) if at < len(text) and one(text[at]) else None

        return matched

    def _branch(self, ways: list[Part]) -> Part:
        def matched(text: str, at: int, then: Then) -> int | None:
            for way in ways:
                self.taken += 1
                end = way(text, at, then)
                if end is not None:
                    return end
            return None

        return matched

    def _run(self, one: One, least: int, most: int) -> Part:
        """Of single characters: all that there are, then one less, and so on."""

        def matched(text: str, at: int, then: Then) -> int | None:
            end = at
            while end < len(text) and end - at < most and one(text[end]):
                self.taken += 1
                end += 1
            while end >= at + least:
                self.taken += 1
                found = then(end)
                if found is not None:
                    return found
                end -= 1
            return None

        return matched

    def _repeat(self, inner: Part, least: int, most: int) -> Part:
        def matched(text: str, at: int, then: Then, n: int = 0) -> int | None:
            self.taken += 1
            if n < most:
                end = inner(text, at, lambda end: matched(text, end, then, n + 1) if end > at or n < least else None)
                if end is not None:
                    return end
            return then(at) if n >= least else None

        return matched

    def _look(self, inner: Part, back: int, *, wanted: bool) -> Part:
        def matched(text: str, at: int, then: Then) -> int | None:
            self.taken += 1
            there = at >= back and inner(text, at - back, lambda end: end) is not None
            return then(at) if there is wanted else None

        return matched


class Counted:
    """A pattern of the library, whose matches are counted."""

    def __init__(self, real: re.Pattern[str], matched: Part) -> None:
        self._real = real
        self._matched = matched

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        found = list(self._real.finditer(text))
        spans: list[tuple[int, int]] = []
        start = 0
        while start <= len(text):
            end = self._matched(text, start, lambda end: end)
            if end is None:
                start += 1
            else:
                spans.append((start, end))
                start = max(end, start + 1)
        assert spans == [one.span() for one in found], self._real.pattern
        return iter(found)

    def match(self, text: str, at: int = 0) -> re.Match[str] | None:
        return self._same(self._real.match(text, at), self._matched(text, at, lambda end: end))

    def fullmatch(self, text: str) -> re.Match[str] | None:
        whole = self._matched(text, 0, lambda end: end if end == len(text) else None)
        return self._same(self._real.fullmatch(text), whole)

    def _same(self, found: re.Match[str] | None, end: int | None) -> re.Match[str] | None:
        assert end == (None if found is None else found.end()), self._real.pattern
        return found


def _one(kind: Any, given: Any, flags: int) -> One | None:
    """Whether a character is the one that the part matches; None for parts that match no single character."""
    if kind is op.LITERAL or kind is op.NOT_LITERAL:
        return _folded(lambda one: one == chr(given), flags, negated=kind is op.NOT_LITERAL)
    if kind is op.ANY:
        return lambda one: one != "\n"
    if kind is not op.IN:
        return None
    negated = given[0][0] is op.NEGATE
    members = [_member(*one) for one in given[negated:]]
    return _folded(lambda one: any(member(one) for member in members), flags, negated=negated)


def _member(kind: Any, given: Any) -> One:
    if kind is op.LITERAL:
        return lambda one: one == chr(given)
    if kind is op.RANGE:
        return lambda one: given[0] <= ord(one) <= given[1]
    return _CATEGORIES[given]


def _folded(one: One, flags: int, *, negated: bool) -> One:
    if not flags & re.IGNORECASE:
        return (lambda given: not one(given)) if negated else one
    return lambda given: (one(given) or one(given.lower()) or one(given.upper())) is not negated


@contextmanager
def counted(module: Any) -> Iterator[Steps]:
    """The steps of whatever the module matches with patterns, its own and those that it makes as it goes."""
    steps = Steps()

    class Library:
        def __getattr__(self, name: str) -> Any:
            return getattr(re, name)

        def finditer(self, pattern: str, text: str, flags: int = 0) -> Iterator[re.Match[str]]:
            return steps.pattern(re.compile(pattern, flags)).finditer(text)

    deepest = sys.getrecursionlimit()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern):
                patch.setattr(module, name, steps.pattern(value))
        patch.setattr(module, "re", Library())
        sys.setrecursionlimit(1_000_000)
        try:
            yield steps
        finally:
            sys.setrecursionlimit(deepest)
