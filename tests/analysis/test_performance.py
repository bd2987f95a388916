from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.analysis.conversations import turn

from kallglot.analysis.performance import performance
from kallglot.analysis.spoken import Spoken

TURNS = st.lists(
    st.builds(
        lambda speaker, second, start, length, number: turn(
            speaker, start, start + length, participant_id=f"part_{speaker}{second}", number=number
        ),
        st.sampled_from(["customer", "agent"]),
        st.booleans(),
        st.integers(0, 60_000),
        st.integers(-10, 20_000),
        st.integers(1, 10_000),
    ),
    max_size=30,
)


def test_a_conversation_measured_by_hand() -> None:
    found = performance(
        [
            turn("agent", 0, 2000, "Guten Tag, was kann ich tun"),
            turn("customer", 3000, 9000, "Mein Sofa ist nicht da"),
            turn("agent", 11_000, 12_000, "Oh"),
            turn("agent", 12_500, 15_000, "das tut mir leid"),
            turn("customer", 14_000, 16_000, "Ja"),
            turn("agent", 20_000, 21_000, "Moment"),
        ]
    )
    assert found["talk_seconds"] == {"customer": 8.0, "agent": 6.5}
    assert found["talk_ratio"] == {"customer": 0.552, "agent": 0.448}
    assert found["turns"] == {"customer": 2, "agent": 4}
    assert found["words_per_minute"] == {"customer": 45.0, "agent": 110.8}
    assert found["interruptions"] == {"customer": 1, "agent": 0}, "one second into the agent's turn"
    assert found["silence"] == {
        "total_seconds": 7.5,
        "share": 0.357,
        "longest_seconds": 4.0,
        "longest_start_ms": 16_000,
        "gaps_over_3s": 1,
    }
    assert found["response_times"] == {
        "customer": {"count": 1, "median_seconds": 1.0, "p95_seconds": 1.0},
        "agent": {"count": 2, "median_seconds": 3.0, "p95_seconds": 4.0},
    }
    assert found["score_parts"] == {"response": 1.0, "interruptions": 1.0, "silence": 0.358, "balance": 1.0}
    assert found["score"] == pytest.approx(0.3 + 0.25 + 0.25 * 0.357 + 0.2, abs=0.005)


def test_nobody_said_anything() -> None:
    found = performance([])
    assert found["score"] is None
    assert found["talk_ratio"] == {"customer": None, "agent": None}
    assert found["silence"]["share"] is None


def test_one_side_only() -> None:
    found = performance([turn("customer", 0, 5000), turn("customer", 20_000, 25_000)])
    assert found["talk_ratio"] == {"customer": 1.0, "agent": 0.0}
    parts = found["score_parts"]
    assert (parts["response"], parts["interruptions"], parts["balance"]) == (None, None, None)
    assert (parts["silence"], found["score"]) == (0.0, 0.0), "sixty of a hundred is more than half"


def test_typed_turns_take_no_time() -> None:
    found = performance([turn("customer", 1000, 1000), turn("agent", 3000, 3000)])
    assert (found["turns"], found["score"]) == ({"customer": 1, "agent": 1}, None)
    assert found["response_times"]["agent"]["count"] == 0


@pytest.mark.parametrize(
    ("start_ms", "end_ms", "expected"),
    [
        (4500, 9000, 1),
        (4501, 9000, 0),
        (2000, 2499, 0),
        (2000, 2500, 1),
        (0, 5000, 0),
        (5000, 9000, 0),
    ],
)
def test_what_an_interruption_is(start_ms: int, end_ms: int, expected: int) -> None:
    """Half a second of overlap, begun after the other."""
    found = performance([turn("customer", 0, 5000), turn("agent", start_ms, end_ms)])
    assert found["interruptions"] == {"customer": 0, "agent": expected}


def test_an_answer_after_a_word_in_between_is_not_the_others_own() -> None:
    """The customer goes on after the agent's "mhm"."""
    found = performance([turn("customer", 0, 10_000), turn("agent", 4000, 4300), turn("customer", 10_500, 12_000)])
    assert found["response_times"]["customer"]["count"] == 0


def test_words_are_not_counted_where_they_are_written_without_spaces() -> None:
    found = performance([turn("customer", 0, 5000, "注文を変更したいです"), turn("agent", 6000, 9000, "はい")])
    assert found["words_per_minute"] == {"customer": None, "agent": None}


@given(TURNS)
def test_figures_are_what_they_are_called(turns: list[Spoken]) -> None:
    found = performance(turns)
    assert performance(list(reversed(turns))) == found or len({one.start_ms for one in turns}) < len(turns)
    ratios = [one for one in found["talk_ratio"].values() if one is not None]
    assert not ratios or sum(ratios) == pytest.approx(1, abs=0.002)
    assert all(0 <= one <= 1 for one in ratios)
    spoken = [one for one in turns if one.end_ms > one.start_ms]
    span = (max(one.end_ms for one in spoken) - min(one.start_ms for one in spoken)) / 1000 if spoken else 0
    silence = found["silence"]
    assert 0 <= silence["longest_seconds"] <= silence["total_seconds"] <= span
    assert max(found["talk_seconds"].values()) + silence["total_seconds"] <= span + 0.001
    assert silence["total_seconds"] + sum(found["talk_seconds"].values()) >= span - 0.001
    for role in ("customer", "agent"):
        assert 0 <= found["interruptions"][role] <= found["turns"][role]
        times = found["response_times"][role]
        assert times["count"] <= found["turns"][role]
        assert times["count"] == 0 or 0 <= times["median_seconds"] <= times["p95_seconds"] <= span
    parts = [one for one in found["score_parts"].values() if one is not None]
    assert (found["score"] is None) == (not parts)
    assert not parts or min(parts) - 0.01 <= found["score"] <= max(parts) + 0.01


@given(TURNS, st.integers(1, 10_000_000))
def test_it_does_not_matter_when_it_was(turns: list[Spoken], later_ms: int) -> None:
    def shifted(one: Spoken) -> Spoken:
        return turn(
            one.speaker,
            one.start_ms + later_ms,
            one.end_ms + later_ms,
            one.text,
            participant_id=one.participant_id,
            number=one.sequence,
        )

    def timeless(found: dict[str, Any]) -> dict[str, Any]:
        found["silence"].pop("longest_start_ms")
        return found

    assert timeless(performance([shifted(one) for one in turns])) == timeless(performance(turns))
