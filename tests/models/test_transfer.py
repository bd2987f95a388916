"""What answers of servers mean, without a server."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kallglot.models.transfer import (
    Answer,
    Changed,
    Journal,
    Later,
    Manners,
    Never,
    Pace,
    Patience,
    Span,
    Take,
    headers_for,
    judge,
    seconds_to_wait,
)

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
URL = "https://example.com/a.bin"


def journal(**more: object) -> Journal:
    made = Journal(URL, 1000, '"v1"', True, [Span(0, 500, 100), Span(500, 1000)])
    for name, value in more.items():
        setattr(made, name, value)
    return made


def part(first: int = 100, total: int | str = 1000, **headers: str) -> Answer:
    end = total if isinstance(total, int) else 1000
    return Answer.of(206, {"content-range": f"bytes {first}-{end - 1}/{total}", "etag": '"v1"', **headers})


def test_a_part_as_asked_for() -> None:
    assert judge(part(), journal(), 100, size=1000, now=NOW) == Take(100, 1000, True)
    assert judge(part(total="*"), journal(), 100, size=None, now=NOW) == Take(100, 1000, True)


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (part(first=0), Changed),
        (part(total=999), Never),
        (part(etag='"v2"'), Changed),
        (Answer.of(206, {}), Changed),
        (Answer.of(206, {"content-range": "bytes a-b/c"}), Changed),
        (Answer.of(206, {"content-range": f"bytes 100-999/{'9' * 5000}"}), Changed),
        (Answer.of(416, {}), Changed),
        (Answer.of(200, {"content-length": "1000", "etag": '"v1"'}), Changed),
        (Answer.of(200, {"content-length": "1000", "etag": '"v2"'}), Changed),
        (Answer.of(304, {}), Never),
        (Answer.of(404, {}), Never),
        (Answer.of(408, {}), Later),
        (Answer.of(429, {}), Later),
        (Answer.of(599, {}), Later),
        (part(**{"content-encoding": "br"}), Never),
    ],
)
def test_what_else_comes_of_asking_for_a_part(answer: Answer, verdict: type) -> None:
    assert isinstance(judge(answer, journal(), 100, size=1000, now=NOW), verdict)


def test_a_file_that_changed_may_still_come_in_parts_and_one_that_did_not_may_not() -> None:
    same = judge(Answer.of(200, {"etag": '"v1"'}), journal(), 100, size=1000, now=NOW)
    other = judge(Answer.of(200, {"etag": '"v2"'}), journal(), 100, size=1000, now=NOW)
    assert isinstance(same, Changed)
    assert not same.ranges
    assert isinstance(other, Changed)
    assert other.ranges


def test_everything() -> None:
    fresh = Journal(URL)
    assert judge(Answer.of(200, {"content-length": "1000"}), fresh, 0, size=1000, now=NOW) == Take(0, 1000, False)
    assert judge(Answer.of(200, {"content-length": "7"}), fresh, None, size=None, now=NOW) == Take(0, 7, False)
    chunked = Answer.of(200, {"transfer-encoding": "chunked"})
    assert judge(chunked, fresh, None, size=None, now=NOW) == Take(0, None, False)
    assert isinstance(judge(Answer.of(200, {"content-length": "7"}), fresh, None, size=8, now=NOW), Never)
    assert isinstance(judge(Answer.of(200, {"content-length": "-7"}), fresh, None, size=None, now=NOW), Never)
    assert isinstance(judge(part(first=0), fresh, None, size=1000, now=NOW), Never)


def test_nothing_to_ask_for_parts_of() -> None:
    refused = judge(Answer.of(416, {}), Journal(URL), 0, size=None, now=NOW)
    assert isinstance(refused, Changed)
    assert not refused.ranges


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        (None, None),
        ("120", 120),
        (" 5 ", 5),
        ("-5", None),
        ("soon", None),
        ("9" * 5000, None),
        ("Sat, 21 Nov 2026 12:01:30 GMT", 90),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0),
        ("Sat, 99 Nov 2026 11:00:00 GMT", None),
        ("²", None),
    ],
)
def test_retry_after(told: str | None, seconds: float | None) -> None:
    assert seconds_to_wait(told, NOW) == seconds


def test_what_is_asked_for() -> None:
    assert headers_for(journal(), 100, 500) == {"Range": "bytes=100-499", "If-Range": '"v1"'}
    assert headers_for(journal(validator=None), 100, None) == {"Range": "bytes=100-"}
    assert headers_for(journal(ranges=False), 100, 500) == {}
    assert headers_for(journal(), None, None) == {}


@given(st.integers(0, 10**6), st.integers(1, 16), st.integers(1, 10**5))
def test_spans_cover_the_file(total: int, parts: int, smallest: int) -> None:
    made = Journal(URL)
    made.split(total, parts, smallest)
    assert made.spans[0].start == 0
    assert made.spans[-1].end == total
    assert all(a.end == b.start for a, b in zip(made.spans, made.spans[1:], strict=False))
    assert len(made.spans) <= parts
    if len(made.spans) > 1:
        assert all(one.end is not None and one.end - one.start > 0 for one in made.spans)


def test_a_journal_survives() -> None:
    again = Journal.from_json(journal().to_json(), URL, 100)
    assert again == journal()
    assert again is not None
    assert again.resumable(False)


@pytest.mark.parametrize(
    ("data", "length"),
    [
        (b"", 1000),
        (b"{}", 1000),
        (b"[" * 100_000, 1000),
        (b"null", 1000),
        (journal().to_json(), 99),
        (journal(url="https://example.com/b.bin").to_json(), 1000),
        (journal(total=2000).to_json(), 1000),
        (journal(spans=[Span(0, 400, 1), Span(500, 1000)]).to_json(), 1000),
        (journal(spans=[Span(0, 1000, 2000)]).to_json(), 5000),
        (journal(spans=[Span(0, None, 20)]).to_json(), 5000),
        (journal(validator=7).to_json(), 1000),
    ],
)
def test_a_journal_that_cannot_be_true_is_none(data: bytes, length: int) -> None:
    assert Journal.from_json(data, URL, length) is None


def test_going_on_needs_a_way_to_tell_versions_apart() -> None:
    assert journal().resumable(False)
    assert not journal(validator=None).resumable(False)
    assert journal(validator=None).resumable(True)
    assert not journal(ranges=False).resumable(True)
    assert not Journal(URL).resumable(True)


def test_patience() -> None:
    patience = Patience(Manners(first_wait=1, longest_wait=5, tries=3, longest_retry_after=60))
    first = patience.failed()
    assert first.wait(1.0) == 1
    assert first.wait(0.0) == 0.5
    assert first.failed().wait(1.0) == 2
    assert first.failed().failed().wait(1.0) == 4
    assert first.failed().failed().exhausted
    assert not first.failed().got_on().failed().exhausted
    assert first.wait(1.0, asked=60) == 60
    assert first.wait(1.0, asked=61) is None


def test_pace() -> None:
    pace = Pace(Manners(slowest=100, slow_after=10), since=0)
    assert not pace.too_slow(500, 9.9)
    assert not pace.too_slow(500, 10)
    assert not pace.too_slow(10, 19)
    assert pace.too_slow(10, 20)
