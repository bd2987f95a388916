from hypothesis import given
from hypothesis import strategies as st

from kallglot.speech.stable import StablePrefix


def stable(prefix: StablePrefix, text: str) -> str:
    return prefix.step(text)[1]


def test_what_three_hypotheses_agree_on_is_stable() -> None:
    prefix = StablePrefix()
    assert stable(prefix, "It was") == ""
    assert stable(prefix, "It was the best") == ""
    assert stable(prefix, "It was the best, of times.") == "It was"
    assert stable(prefix, "It was the best of times,") == "It was the best"


def test_a_word_that_was_wrong_twice_is_not_stable() -> None:
    prefix = StablePrefix()
    for text in ("due to the slug", "due to the slug,", "due to the slow"):
        assert "slug" not in stable(prefix, text)


def test_what_was_stable_stands_when_it_is_taken_back() -> None:
    prefix = StablePrefix()
    prefix.step("one two three")
    prefix.step("one two three four")
    assert prefix.step("one two three four") == ("one two three four", "one two three")
    assert prefix.step("won too") == ("one two three", "one two three")
    assert prefix.step("won too free five") == ("one two three five", "one two three")


@given(st.lists(st.text("ab ,", max_size=12), max_size=12))
def test_it_only_grows_and_what_is_shown_begins_with_it(hypotheses: list[str]) -> None:
    prefix, before = StablePrefix(), ""
    for text in hypotheses:
        shown, now = prefix.step(text)
        assert shown.split()[: len(now.split())] == now.split()
        assert now.split()[: len(before.split())] == before.split()
        before = now
