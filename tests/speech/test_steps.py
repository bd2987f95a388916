from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.speech.steps import Steps


def work(pattern: str, text: str) -> int:
    steps = Steps()
    list(steps.pattern(re.compile(pattern)).finditer(text))
    return steps.taken


@pytest.mark.parametrize(
    ("pattern", "times"), [("a+b", 4), (r"(?<!a)a+b", 2), (r"[^b]*\db|c", 4), ("(?:a|aa)", 2), ("(?:a{2}){3}", 2)]
)
def test_how_work_grows_when_the_text_is_twice_as_long(pattern: str, times: int) -> None:
    assert work(pattern, "a" * 800) / work(pattern, "a" * 400) == pytest.approx(times, rel=0.05)


def test_what_grows_without_bounds() -> None:
    assert work("(?:a+)+b", "a" * 12) > 3.5 * work("(?:a+)+b", "a" * 10)


PATTERNS = ("(?i:a|B+)c?", r"(?<=a)[^\W_]+(?!-)", r"(?:\d{1,3}(?:[ .]\d)*|b)+", r"(?<!\w)\s*[a-c]{2,}", r"a.?\S")


@given(st.sampled_from(PATTERNS), st.text("aAbBc1 .-_\n", max_size=30))
def test_what_is_counted_is_what_the_library_finds(pattern: str, text: str) -> None:
    real = re.compile(pattern)
    steps = Steps().pattern(real)
    found = [one.span() for one in steps.finditer(text)]
    assert found == [one.span() for one in real.finditer(text)]
    steps.match(text)
    steps.fullmatch(text)
