from __future__ import annotations

from kallglot.session.detection import UNDETECTED_AFTER, Doubt, LanguageTracker, Learned, Undetected
from kallglot.speech.types import Detection


def de(confidence: float = 0.9) -> Detection:
    return Detection("de", confidence)


def es(confidence: float = 0.9) -> Detection:
    return Detection("es", confidence)


def test_a_few_sure_words_tell_the_language() -> None:
    tracker = LanguageTracker(None)
    assert tracker.heard(de(), 4) == Learned("de", None, 0.9)
    assert tracker.language == "de"


def test_one_word_is_not_enough_and_two_utterances_add_up() -> None:
    tracker = LanguageTracker(None)
    assert tracker.heard(de(), 1) is None
    assert tracker.heard(de(), 2) == Learned("de", None, 0.9)


def test_rivals_are_outweighed_first() -> None:
    tracker = LanguageTracker(None)
    assert tracker.heard(es(), 2) is None
    assert tracker.heard(de(), 3) is None
    assert tracker.heard(de(), 3) == Learned("de", None, 0.9)


def test_no_telling_is_said_every_so_often() -> None:
    tracker = LanguageTracker(None)
    told = [tracker.heard(de(0.55), 5) for _ in range(2 * UNDETECTED_AFTER)]
    assert [one for one in told if one] == [Undetected(3), Undetected(6)]
    assert tracker.language is None


def test_a_single_foreign_sentence_changes_nothing() -> None:
    tracker = LanguageTracker(None)
    tracker.heard(de(), 5)
    for _ in range(10):
        assert tracker.heard(es(), 8) is None
        assert tracker.heard(de(), 3) is None
    assert tracker.language == "de"


def test_somebody_who_goes_on_in_another_language_is_followed() -> None:
    tracker = LanguageTracker(None)
    tracker.heard(de(), 5)
    assert tracker.heard(es(), 4) is None
    assert tracker.heard(None, 1) is None
    assert tracker.heard(es(), 4) == Learned("es", "de", 0.9)


def test_a_named_language_is_doubted_and_kept() -> None:
    tracker = LanguageTracker("de-AT")
    assert tracker.heard(de(), 5) is None
    assert tracker.heard(es(), 8) is None
    assert tracker.heard(es(), 8) == Doubt("de-AT", "es")
    assert tracker.heard(es(), 8) is None
    assert tracker.language == "de-AT"


def test_what_a_participant_declares_later_holds() -> None:
    tracker = LanguageTracker(None)
    tracker.declare("fr")
    assert tracker.heard(es(), 8) is None
    assert tracker.heard(es(), 8) == Doubt("fr", "es")
