"""What a comparison of systems says of itself."""

from __future__ import annotations

import pytest
from benchmarks.media import report
from benchmarks.media.report import Visit
from benchmarks.media.runs import Outcome


def tried(legs: int, p99: float) -> Outcome:
    figures = {
        "round_trip_ms": {"p50": 1.0, "p95": 2.0, "p99": p99, "max": p99},
        "arrival_late_ms": {"p99": 0.0},
        "frames": {"sent": 100, "came_back": 100},
        "legs": {"got_nothing": 0},
    }
    return Outcome(legs, figures, cpu_cores=0.5, rss_before=0, rss_after=0)


def visit(system: str, legs: int, *, cut_short: bool) -> Visit:
    tries = [tried(legs, 5.0)] if cut_short else [tried(legs, 5.0), tried(legs + 2, 100.0)]
    return Visit(system, 1, tries, cut_short=set(report.LIMITS) if cut_short else set())


def cells(text: str, first: str) -> list[str]:
    row = next(line for line in text.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in row.strip("|").split("|")]


@pytest.mark.parametrize(
    ("ours_short", "theirs_short", "ratio"),
    [(False, False, "8.00"), (True, False, "≥ 8.00"), (False, True, "≤ 8.00"), (True, True, "~ 8.00")],
)
def test_a_search_cut_short_found_a_bound_and_says_so(ours_short: bool, theirs_short: bool, ratio: str) -> None:
    visits = [visit("kallglot", 400, cut_short=ours_short), visit("pipecat", 50, cut_short=theirs_short)]
    text = report.markdown(visits, {"kallglot": "ours", "pipecat": "theirs"}, {}, {})
    assert cells(text, "kallglot")[2] == ("≥ 400" if ours_short else "400")
    assert cells(text, "pipecat")[2] == ("≥ 50" if theirs_short else "50")
    assert cells(text, "kallglot to pipecat")[1:] == [ratio, ratio]


def test_only_the_limit_whose_search_was_cut_short_is_a_bound() -> None:
    half = Visit("kallglot", 1, [tried(400, 5.0), tried(402, 30.0)], cut_short={60.0})
    text = report.markdown([half], {"kallglot": "ours"}, {}, {})
    assert cells(text, "kallglot")[2:4] == ["400", "≥ 402"]
