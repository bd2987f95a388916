from hypothesis import given
from hypothesis import strategies as st

from kallglot.speech.stable import StablePrefix


def test_what_two_hypotheses_agree_on_is_stable() -> None:
    prefix = StablePrefix()
    assert prefix.step("It was") == ""
    assert prefix.step("It was the best") == "It was"
    assert prefix.step("It was the best, of times.") == "It was the best,"


def test_what_was_stable_stays() -> None:
    prefix = StablePrefix()
    prefix.step("one two three")
    assert prefix.step("one two three four") == "one two three"
    assert prefix.step("won too") == "one two three"


@given(st.lists(st.text("ab ,", max_size=12), max_size=12))
def test_it_never_shrinks(hypotheses: list[str]) -> None:
    prefix = StablePrefix()
    lengths = [len(prefix.step(text).split()) for text in hypotheses]
    assert lengths == sorted(lengths)
