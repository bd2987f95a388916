from __future__ import annotations

import asyncio
import sys
from itertools import count
from types import FrameType
from typing import Any

import pytest
from pydantic import ValidationError
from tests.session.calls import Call
from tests.session.fakes import AGENT, CUSTOMER, a_session, settle
from tests.session.test_redaction import turn
from tests.waiting import until

from kallglot.api.privacy_models import RedactionPolicy
from kallglot.session import events, numerals, redaction
from kallglot.session.model import Translation
from kallglot.session.patterns import KNOWN, REDACTED, SOON_WORK, Patterns, _pattern, compiled, patterns
from kallglot.speech.types import Partial

GREEDY = "(?:a|b| ){0,99}(?:[ab ]{0,99}a[ab ]{0,99}){1,8}[Q0]"
"""Of 5070 instructions, most of which are at work at each letter."""
LARGE = "(?:a|b| ){0,90}(?:[ab ]{0,90}a[ab ]{0,90}){1,8}[Q0]|K-[0-9]{6}"
LONG = ("ab " * 1334)[:4000]


def some(*found: str) -> Patterns:
    return patterns({"pattern": one, "replacement": "[-]"} for one in found)


def policy(*found: str) -> dict[str, Any]:
    return {"card_numbers": True, "patterns": [{"pattern": one, "replacement": "[-]"} for one in found]}


@pytest.mark.parametrize("pattern", [GREEDY, r"\pL{2,20}", "((a{100}){10}){10}"])
def test_what_grows_large_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"pattern too large|repetition"):
        compiled(pattern)
    with pytest.raises(ValidationError, match="RE2 does not take it"):
        RedactionPolicy.model_validate({"patterns": [{"name": "p", "pattern": pattern}]})


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"(?i)\bK-\d{6}\b", "xK-123456, k-123456 K-1234567", "xK-123456, [-] K-1234567"),
        (r"^a", "aaa", "[-]aa"),
        (r"a$", "aaa", "aa[-]"),
        (r"ö|\b", "aöa", "a[-]a"),
        (r"\pL+straße \d+", "in Grünstraße 12, Köln", "in [-], Köln"),
        (r"x", "x" * 20_000, "[-]" * 20_000),
        (r"\C", "ö", "[-][-]"),
    ],
)
async def test_what_is_masked(pattern: str, text: str, found: str) -> None:
    assert await some(pattern).masked(text) == some(pattern).patiently(text) == found


def test_the_event_loop_does_no_more_than_it_can_spare() -> None:
    hostile = some(LARGE)
    assert hostile.patterns[0].size * len(LONG) > SOON_WORK
    assert hostile.soon(LONG) is None
    assert hostile.soon("ab K-123456") == "ab [-]"
    # Each match is short, and looks for the far end first.
    assert some("a[^Q]*Q|a").soon("a" * 4000) is None
    assert some(r"\pL+").soon("Ein Satz wie dieser") == "[-] [-] [-] [-]"


async def test_what_takes_longer_is_done_beside_it() -> None:
    found = asyncio.create_task(some(LARGE).masked(LONG + "K-123456"))
    await asyncio.sleep(0)
    assert not found.done()
    assert await found == LONG + "[-]"


def test_a_text_that_takes_too_long_is_masked_as_a_whole() -> None:
    ticks = count()
    assert some("a[^Q]*Q|a").patiently("a" * 4000, lambda: next(ticks) / 100) == REDACTED
    assert some("b", "a[^Q]*Q|a").patiently("a" * 40, lambda: 0.0) == "[-]" * 40


async def test_a_partial_that_takes_longer_is_not_told_and_the_turn_is() -> None:
    call = Call(a_session(redaction=policy(LARGE)))
    live, [customer, agent] = await call.joined(CUSTOMER, AGENT)
    stream = await call.hear(live, customer)
    stream.on_event(Partial("ab K-123456", "ab", 0))
    stream.on_event(Partial(f"{LONG}K-123456", "ab", 0))
    await settle()
    assert [one.text for one in agent.events if isinstance(one, events.TranscriptPartial)] == ["ab [-]"]
    live.text(CUSTOMER.id, f"{LONG[:3900]}K-123456")
    live.text(CUSTOMER.id, "K-123456")
    await until(lambda: len(call.journal.kept) == 2)
    assert [one.text for one in call.journal.kept] == [f"{LONG[:3900]}[-]", "[-]"], "one after the other"
    assert "K-1" not in repr([*customer.events, *agent.events, *call.journal.kept])


async def test_what_was_kept_is_not_looked_through_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def looked(*_: object) -> str:
        raise AssertionError

    one = redaction.redaction(policy("4"))
    kept = turn("4111 1111 1", "en", Translation("de", "4111 1111 1"))
    monkeypatch.setattr(Patterns, "_masked", looked)
    one.resume([kept])
    monkeypatch.undo()
    after = await one.turn(turn("111", "en", Translation("de", "111")))
    assert (after.text, after.translations[0].text) == (redaction.CARD, redaction.CARD)


def test_only_so_many_patterns_and_languages_are_known() -> None:
    for n in range(KNOWN + 9):
        some(f"K{n}")
    assert _pattern.cache_info().currsize <= KNOWN
    assert numerals.numerals("x-1") is numerals.numerals("x-2") is numerals.numerals(None)
    assert numerals.numerals("de-AT") is numerals.numerals("DE-x-123")


@pytest.mark.parametrize("text", [("4" * 119 + "x ") * 33, "4" * 4000, "4 " * 2000, "four " * 800])
def test_the_search_for_cards_grows_with_the_text(text: str) -> None:
    """Counted in lines of code that are gone through."""
    lines = 0

    def trace(_frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        redaction.redaction({"card_numbers": True}).digits(turn(text))
    finally:
        sys.settrace(before)
    assert 0 < lines < 60 * len(text)


@pytest.mark.parametrize(
    ("text", "start"),
    [("", None), ("ab", 0), ("ab cd", 3), ("ab cd. ", 3), ("1ab", 1), ("ab1", None), ("ab_", None), ("...", None)],
)
def test_the_last_word(text: str, start: int | None) -> None:
    assert redaction._last_word(text) == start
