"""Which phrase some scores are most like. Pure, but for the names in pocketsphinx's own model."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from kallglot.audio.levels import Floats
from kallglot.speech.engines.alignment import SILENCE, STATES, Verdict, compiled, durations, judged, looped, traced
from kallglot.speech.engines.evidence import ENOUGH, confidence, evidence
from kallglot.speech.engines.phones import Saying
from kallglot.speech.engines.phrase_model import Line, phone_names, read, read_scores, written

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


def believed(verdict: Verdict) -> bool:
    return evidence(verdict, native=False) >= ENOUGH


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
    verdict = judge(speech(*"ABCDABCD"), (0, said("ABCD", "ABCD")))
    assert verdict.margin == np.inf
    assert believed(verdict)
    assert not believed(judge(speech(*"DBDBDBDB"), (0, said("ABCD", "ABCD"))))


def test_audio_too_short_for_a_phrase_is_not_believed() -> None:
    assert not believed(judge(speech("A", frames=1), (0, said("ABCD")), (1, said("DCBA"))))


def test_the_loop_is_the_best_of_all_phones() -> None:
    assert looped(speech("A")) == 0.0
    assert -400 < looped(speech("A", "D", "B")) < 0


def test_frames_are_traced_to_phones_with_or_without_silence_between_words() -> None:
    grammar = compiled([(0, said("D")), (1, said("AB", "C"))], PHONES)
    scores = np.concatenate((speech(SILENCE), speech("A", frames=2), speech("B"), speech("C", frames=5)))
    assert durations(scores, grammar, 1).tolist() == [6, 9, 15]
    broken = np.concatenate((speech("A", "B"), speech(SILENCE, frames=4), speech("C", SILENCE)))
    assert durations(broken, grammar, 1).tolist() == [9, 9, 9]
    # Silence, A, B, silence, C, silence: three states each.
    assert np.unique(traced(broken, grammar, 1)).tolist() == list(range(3, 18))
    assert durations(speech("D"), grammar, 0).tolist() == [9]


def test_what_was_not_said_is_hurried_through() -> None:
    whole = judge(speech("A", "B", "C", "D"), (0, said("ABCD")))
    assert (whole.hurried, whole.sounds) == (0.0, 4)
    half = judge(speech("A", "B", frames=6), (0, said("ABCD")))
    assert half.hurried == 0.5
    assert half.saying == 0


def test_audio_too_short_for_a_phrase_is_still_traced() -> None:
    grammar = compiled([(0, said("ABCD", "AB"))], PHONES)
    scores = speech("A", frames=1)
    assert len(traced(scores, grammar, 0)) == len(scores)
    assert judged(scores, grammar).hurried == 1.0


SURE = Verdict(0, -3.0, 10.0, 0, 20, 0.1)


@pytest.mark.parametrize(
    ("less", "native"),
    [
        (SURE._replace(likeness=-30.0), False),
        (SURE._replace(margin=0.1), False),
        (SURE._replace(hurried=0.6), False),
        (SURE._replace(sounds=2), False),
        (SURE, True),
    ],
)
def test_everything_that_is_known_of_an_alignment_counts(less: Verdict, native: bool) -> None:
    assert evidence(SURE, native=False) > evidence(less, native=native)
    assert believed(SURE)


def test_a_list_of_one_has_as_much_margin_as_there_can_be() -> None:
    alone = SURE._replace(margin=np.inf)
    assert evidence(alone, native=False) == evidence(SURE._replace(margin=500.0), native=False)


def test_confidence_grows_with_the_evidence() -> None:
    found = [confidence(above) for above in (-1e9, 0.0, ENOUGH, ENOUGH + 2, 1e9)]
    assert found == sorted(found)
    assert (found[0], found[2], found[-1]) == (0.0, 0.5, 1.0)


def test_sayings_survive_the_way_to_the_child() -> None:
    for native in (True, False):
        line = Line(17, native, (("HH", "AH"), ("W",)))
        assert read(written(line)) == line


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
