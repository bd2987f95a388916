"""Which phrase some scores are most like. Pure, but for the names in pocketsphinx's own model."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from kallglot.audio.levels import Floats
from kallglot.speech.engines.alignment import SILENCE, STATES, Verdict, compiled, judged, looped
from kallglot.speech.engines.phones import Saying
from kallglot.speech.engines.phrase_model import (
    LEAST_LIKE,
    LEAST_MARGIN,
    LIKE,
    believed,
    confidence,
    phone_names,
    read,
    read_scores,
    written,
)

NAMES = [SILENCE, "A", "B", "C", "D"]
PHONES = {name: number for number, name in enumerate(NAMES)}


def speech(*phones: str, frames: int = 3, worse: float = -300.0) -> Floats:
    """Scores of audio that is clearly these phones."""
    rows: list[Floats] = []
    for phone in phones:
        for state in range(STATES):
            row = np.full(len(NAMES) * STATES, worse, np.float32)
            row[PHONES[phone] * STATES + state] = 0.0
            rows += [row] * frames
    return np.stack(rows)


def said(*words: str) -> Saying:
    return tuple(tuple(word) for word in words)


def judge(scores: Floats, *sayings: tuple[int, Saying]) -> Verdict:
    return judged(scores, compiled(list(sayings), PHONES))


def test_the_phrase_that_was_said_is_found_with_or_without_silence() -> None:
    listed = (0, said("AB", "C")), (1, said("CD")), (2, said("BA"))
    for scores in (
        speech("A", "B", "C"),
        speech(SILENCE, "A", "B", SILENCE, "C", SILENCE),
        speech("A", "B", SILENCE, "C"),
    ):
        verdict = judge(scores, *listed)
        assert verdict.choice == 0
        # A loop pays for each of its phones and a phrase does not.
        assert verdict.likeness > 0
        assert verdict.margin > 20
        assert believed(verdict)


def test_silence_within_a_word_is_no_part_of_it() -> None:
    whole = judge(speech("A", "B", "C"), (0, said("ABC")), (1, said("D")))
    broken = judge(speech("A", SILENCE, "B", "C"), (0, said("ABC")), (1, said("D")))
    assert broken.likeness < whole.likeness


def test_what_is_on_no_list_is_not_believed() -> None:
    verdict = judge(speech("D", "C", "D", "D"), (0, said("AB")), (1, said("BA")))
    assert not believed(verdict)
    assert verdict.likeness < -50


def test_two_ways_of_saying_one_thing_do_not_rival_each_other() -> None:
    verdict = judge(speech("A", "B"), (5, said("AB")), (5, said("A", "B")), (6, said("C")))
    assert verdict.choice == 5
    assert verdict.margin > 20


def test_a_list_of_one_has_no_rival() -> None:
    verdict = judge(speech("A"), (0, said("A")))
    assert verdict.margin == np.inf
    assert believed(verdict)
    assert not believed(judge(speech("D", "B"), (0, said("A"))))


def test_audio_too_short_for_a_phrase_is_not_believed() -> None:
    assert not believed(judge(speech("A", frames=1), (0, said("ABCD")), (1, said("DCBA"))))


def test_the_loop_is_the_best_of_all_phones() -> None:
    assert looped(speech("A")) == 0.0
    assert -400 < looped(speech("A", "D", "B")) < 0


@pytest.mark.parametrize(
    ("likeness", "margin", "yes"),
    [
        (LIKE, LEAST_MARGIN, True),
        (LIKE - 1, 0.9, False),
        (LIKE - 1, 1.0, True),
        (0.0, LEAST_MARGIN / 2, False),
        (LEAST_LIKE, 100.0, False),
        (LEAST_LIKE - 1, 100.0, False),
    ],
)
def test_a_clear_margin_makes_up_for_likeness(likeness: float, margin: float, yes: bool) -> None:
    assert believed(Verdict(0, likeness, margin)) is yes


def test_confidence_grows_with_what_it_stands_for() -> None:
    found = [confidence(Verdict(0, likeness, margin)) for likeness, margin in ((LIKE, 0.3), (-4, 2), (0, np.inf))]
    assert found == sorted(found)
    assert 0.5 <= found[0] < found[-1] <= 1


def test_sayings_survive_the_way_to_the_child() -> None:
    one = (("HH", "AH"), ("W",))
    assert read(written(17, one)) == (17, one)


def test_scores_are_read_from_a_log() -> None:
    full = struct.pack("<h3B3h", 3, 0, 1, 1, 5, 2, 9)
    some = struct.pack("<h1B1h", 1, 2, 7)
    log = b"s3\nversion 0.1\nendhdr\n" + b"\x44\x33\x22\x11" + some + full
    assert read_scores(log, 3).tolist() == [[0, 0, 0], [-3, 0, -7]]
    # A child that was killed leaves half a frame.
    assert read_scores(log[:-9], 3).tolist() == [[0, 0, 0]]


def test_the_names_of_the_phones() -> None:
    about = b"BEGIN FILE FORMAT DESCRIPTION"
    head = b"BMDF" + struct.pack("<ii", 1, len(about)) + about
    numbers = struct.pack("<10i", 2, 2, 3, 6, 6, 2, 2, 0, 0, 0)
    assert phone_names(head + numbers + b"AA\0SIL\0\0rest") == ["AA", "SIL"]
    with pytest.raises(ValueError, match="expected 3 states"):
        phone_names(head + struct.pack("<10i", 2, 2, 5, 10, 6, 2, 2, 0, 0, 0) + b"AA\0SIL\0")
    with pytest.raises(ValueError, match="binary"):
        phone_names(b"0.3\n")
