"""Lists of phrases, what is wrong with them, and what keys choose. Pure."""

import pytest

from kallglot.speech.keypad import BETWEEN_KEYS_MS, Keypad
from kallglot.speech.phrases import LONGEST_TEXT, MOST_PHRASES, Chosen, NoneOfThese, Phrase, PhraseError, check


def test_the_keypad_of_a_list() -> None:
    phrases = [Phrase("yes", "ja", "de", "1"), Phrase("yes", "genau", "de", "1"), Phrase("no", "nein", "de")]
    assert check(phrases) == {"1": "yes"}


@pytest.mark.parametrize(
    ("phrases", "said"),
    [
        ([], "at least one phrase"),
        ([Phrase("a", "x", "de")] * (MOST_PHRASES + 1), f"at most {MOST_PHRASES} phrases, got {MOST_PHRASES + 1}"),
        ([Phrase("a", "x", "de")] * 1000, "got 1000"),
        ([Phrase("a", "ja", "de"), Phrase("", "ja", "de")], "phrase 2: expected an id"),
        ([Phrase("a", " ", "de")], "phrase 'a': expected a text of 1 to"),
        ([Phrase("a", "x" * (LONGEST_TEXT + 1), "de")], f"expected a text of 1 to {LONGEST_TEXT} characters"),
        ([Phrase("a", "x", "de", "")], "0-9"),
        ([Phrase("a", "x", "de", "1a")], "'1a'"),
        ([Phrase("a", "x", "de", "١")], "0-9"),
        ([Phrase("a", "x", "de", "1"), Phrase("b", "y", "de", "1")], "'a' and 'b' have the same digits 1"),
    ],
)
def test_lists_that_cannot_be_listened_for(phrases: list[Phrase], said: str) -> None:
    with pytest.raises(PhraseError, match=said):
        check(phrases)


def test_a_key_chooses_at_once() -> None:
    keypad = Keypad({"1": "yes", "2": "no"})
    assert keypad.press("2", 700) == Chosen("no", 1.0, 700, 700, "keypad")
    assert keypad.press("3", 900) == NoneOfThese(900, 900, "keypad")
    assert not keypad.waiting


def test_a_choice_that_may_go_on_waits_for_the_next_key() -> None:
    keypad = Keypad({"1": "one", "12": "twelve", "456": "long"})
    assert keypad.press("1", 0) is None
    assert keypad.pass_time(BETWEEN_KEYS_MS - 1) is None
    assert keypad.pass_time(BETWEEN_KEYS_MS) == Chosen("one", 1.0, 0, 0, "keypad")
    assert keypad.pass_time(10 * BETWEEN_KEYS_MS) is None
    assert keypad.press("1", 100) is None
    assert keypad.press("2", 400) == Chosen("twelve", 1.0, 100, 400, "keypad")


def test_the_hash_key_ends_what_was_typed() -> None:
    keypad = Keypad({"1": "one", "12": "twelve", "#": "back"})
    assert keypad.press("1", 0) is None
    assert keypad.press("#", 50) == Chosen("one", 1.0, 0, 50, "keypad")
    assert keypad.press("#", 90) == Chosen("back", 1.0, 90, 90, "keypad")


def test_what_leads_nowhere_is_none_of_these() -> None:
    keypad = Keypad({"456": "long"})
    assert keypad.press("4", 0) is None
    assert keypad.press("7", 20) == NoneOfThese(0, 20, "keypad")
    assert keypad.press("4", 30) is None
    assert keypad.finish() == NoneOfThese(30, 30, "keypad")
    assert keypad.finish() is None


def test_keys_that_mean_nothing_are_passed_over() -> None:
    assert Keypad({"1": "one"}).press("A", 0) is None
    assert Keypad({"1": "one"}).press("", 0) is None
    assert Keypad({}).press("1", 0) is None
