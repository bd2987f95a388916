from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from kallglot.session.clauses import (
    CLAUSE_AFTER_MS,
    FEWEST_WORDS,
    LONGEST_MS,
    Clauses,
    Segment,
    Tentative,
    behind,
)

SENTENCE = "I would like to change my order, because the address is wrong and nobody answered the phone yesterday"


def grown(text: str, per_word_ms: int = 350, lag: int = 2) -> list[tuple[str, str, int]]:
    """Hypotheses of a sentence that grows word by word: text, stable prefix, time."""
    words = text.split()
    return [
        (" ".join(words[:n]), " ".join(words[: max(0, n - lag)]), n * per_word_ms) for n in range(1, len(words) + 1)
    ]


def test_partials_and_final_of_an_utterance_share_a_turn() -> None:
    clauses = Clauses()
    segment, first = clauses.partial("guten", "", 100, 500)
    _, second = clauses.partial("guten Tag", "guten", 100, 900)
    final = clauses.final("Guten Tag.", 100, 1000)
    assert segment is None
    assert (second.text, second.stable_text) == ("guten Tag", "guten")
    assert isinstance(final, Segment)
    assert first.turn_id == second.turn_id == final.turn_id


def test_a_final_whose_start_moved_a_little_still_has_the_turn() -> None:
    clauses = Clauses()
    _, shown = clauses.partial("ja", "", 1000, 1400)
    final = clauses.final("Ja.", 900, 1500)
    assert isinstance(final, Segment)
    assert final.turn_id == shown.turn_id


def test_a_final_without_partials_has_a_turn_of_its_own() -> None:
    clauses = Clauses()
    _, shown = clauses.partial("later", "", 5000, 5400)
    early = clauses.final("Early.", 1000, 2000)
    late = clauses.final("Later.", 5000, 6000)
    assert isinstance(early, Segment)
    assert isinstance(late, Segment)
    assert late.turn_id == shown.turn_id != early.turn_id


def test_a_short_utterance_is_committed_whole() -> None:
    clauses = Clauses()
    for text, stable, now in grown(" ".join(SENTENCE.split()[:10]), per_word_ms=300):
        assert clauses.partial(text, stable, 0, now)[0] is None


def test_somebody_who_talks_on_is_committed_clause_by_clause() -> None:
    clauses = Clauses()
    segments: list[Segment] = []
    shown: list[Tentative] = []
    for text, stable, now in grown(SENTENCE):
        segment, tentative = clauses.partial(text, stable, 0, now)
        segments += [segment] if segment else []
        shown.append(tentative)
    final = clauses.final(SENTENCE + ".", 0, 6500)
    assert isinstance(final, Segment)
    assert segments[0].text == "I would like to change my order,"
    assert " ".join([*(one.text for one in segments), final.text]) == SENTENCE + "."
    assert len({one.turn_id for one in [*segments, final]}) == len(segments) + 1
    assert shown[-1].turn_id == final.turn_id
    times = [(one.start_ms, one.end_ms) for one in [*segments, final]]
    assert all(start < end for start, end in times)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(times))


def test_without_any_clause_time_decides_and_cuts_before_a_joining_word() -> None:
    clauses = Clauses()
    words = [f"word{n}" for n in range(40)]
    words[16] = "because"
    made = [clauses.partial(text, stable, 0, now)[0] for text, stable, now in grown(" ".join(words), 400)]
    segments = [one for one in made if one]
    assert segments[0].text.split()[-1] == "word15"
    assert segments[0].end_ms <= LONGEST_MS + 400
    assert all(len(one.text.split()) >= FEWEST_WORDS for one in segments)


def test_the_full_stop_at_the_end_of_a_hypothesis_is_not_believed() -> None:
    clauses = Clauses()
    text = "I would like to change my order."
    assert clauses.partial(text, text, 0, CLAUSE_AFTER_MS + 500)[0] is None


def test_a_final_that_changed_its_mind_keeps_what_was_committed() -> None:
    clauses = Clauses()
    clauses.partial(SENTENCE, "", 0, 3000)
    committed, _ = clauses.partial(SENTENCE, SENTENCE, 0, 6000)
    assert committed is not None
    final = clauses.final("I'd like to change my border, because your address is long.", 0, 6500)
    assert isinstance(final, Segment)
    assert final.text == "because your address is long."


def test_nothing_left_takes_back_what_was_shown() -> None:
    clauses = Clauses()
    clauses.partial("one two three four five six", "", 0, 3000)
    committed, shown = clauses.partial("one two three four five six, and so on", "one two", 0, 5000)
    assert committed is not None
    assert shown.text == "and so on"
    assert clauses.final("One two three four five six.", 0, 5200) == Tentative(shown.turn_id, "", "", committed.end_ms)


def test_a_clause_that_was_heard_otherwise_a_moment_ago_waits() -> None:
    clauses = Clauses()
    clauses.partial("i wood lie to chase my elder", "", 0, 3000)
    assert clauses.partial(SENTENCE, "", 0, 5000)[0] is None
    assert clauses.partial(SENTENCE, "", 0, 5400)[0] is not None


def test_what_the_recogniser_thinks_by_now_is_committed_not_what_it_had_shown() -> None:
    clauses = Clauses()
    shown, thought = "the slug communication channels, we will", "the slow communication channels, we will"
    clauses.partial(shown, "the slug", 0, 3600, thought)
    shown, thought = f"{shown} stop here today", f"{thought} stop here today"
    clauses.partial(shown, "the slug", 0, 3900, thought)
    segment, tentative = clauses.partial(f"{shown} and", "the slug communication", 0, 9000, f"{thought} and")
    assert segment is not None
    assert segment.text.startswith("the slow communication channels")
    assert f"{segment.text} {tentative.text}" == f"{thought} and"


def test_dividing_can_be_off() -> None:
    clauses = Clauses()
    clauses.dividing = False
    assert all(clauses.partial(text, stable, 0, now)[0] is None for text, stable, now in grown(SENTENCE * 3))


def test_which_words_say_what_was_committed() -> None:
    assert behind([], ["a"]) == 0
    assert behind(["a", "b"], ["A,", "b", "c"]) == 2
    assert behind(["a", "b", "c"], ["a", "x", "c", "d"]) == 3
    assert behind(["a", "b", "c"], ["a", "b"]) == 2
    assert behind(["a", "b"], ["x", "a", "b", "c"]) == 3
    assert behind(["a", "b"], []) == 0


WORDS = st.sampled_from("a b c d, e. f and but g; h".split())


@given(st.lists(WORDS, min_size=1, max_size=60), st.integers(100, 900))
def test_whatever_is_said_every_word_is_committed_once_and_in_order(words: list[str], per_word_ms: int) -> None:
    clauses = Clauses()
    said: list[str] = []
    numbered = [f"{n}{word}" for n, word in enumerate(words)]
    for text, stable, now in grown(" ".join(numbered), per_word_ms):
        segment, _ = clauses.partial(text, stable, 0, now)
        said += segment.text.split() if segment else []
    final = clauses.final(" ".join(numbered), 0, len(words) * per_word_ms)
    assert isinstance(final, Segment)
    assert said + final.text.split() == numbered


def test_a_start_that_moves_by_a_millisecond_is_the_same_utterance() -> None:
    clauses = Clauses()
    made = [clauses.partial(text, stable, 100 + n % 3, now)[0] for n, (text, stable, now) in enumerate(grown(SENTENCE))]
    assert [one.text for one in made if one] == ["I would like to change my order,"]


LONG = "I would like to change my order, because the blue one came broken, and the box was open when I got it."


def _said_until(clauses: Clauses, words: int) -> list[str]:
    """The words that were committed of so many of ``LONG``, at 300 ms each."""
    text, said = LONG.split()[:words], list[str]()
    for count in range(1, words + 1):
        segment, _ = clauses.partial(" ".join(text[:count]), "", 0, count * 300)
        said += segment.text.split() if segment else []
    return said


def test_another_engine_may_divide_an_utterance_elsewhere() -> None:
    clauses = Clauses()
    said = _said_until(clauses, 20)
    assert len(said) > 7
    # The engine is lost; the one that hears it all again finds a pause after the sixth word.
    words = LONG.split()
    shown = clauses.partial(" ".join(words[:4]), "", 0, 6100)[1]
    assert shown.text == ""
    assert isinstance(clauses.final(" ".join(words[:6]), 0, 1800), Tentative)
    assert clauses.partial(" ".join(words[6:9]), "", 3100, 6200)[1].text == ""
    final = clauses.final(" ".join(words[6:]), 3100, 6600)
    assert isinstance(final, Segment)
    assert said + final.text.split() == words
    # And what comes then is somebody going on.
    after = clauses.final(" ".join(words[6:]), 7000, 9000)
    assert isinstance(after, Segment)
    assert after.text.split() == words[6:]


def test_another_engine_may_hear_an_utterance_begin_later() -> None:
    clauses = Clauses()
    said = _said_until(clauses, 20)
    words = LONG.split()
    clauses.partial(" ".join(words[3:20]), "", 1600, 6100)
    final = clauses.final(" ".join(words[3:]), 1600, 6600)
    assert isinstance(final, Segment)
    assert said + final.text.split() == words
