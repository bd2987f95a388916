from hypothesis import given
from hypothesis import strategies as st

from kallglot.audio.endpointing import (
    END_WINDOWS,
    MAX_WINDOWS,
    PAUSE_WINDOWS,
    START_WINDOWS,
    START_WITHIN,
    Endpointer,
    Step,
)


def run(endpointer: Endpointer, *spans: tuple[float, int]) -> list[tuple[int, Step]]:
    probabilities = [probability for probability, count in spans for _ in range(count)]
    found = [(n, endpointer.step(probability)) for n, probability in enumerate(probabilities)]
    return [(n, step) for n, step in found if step is not Step.NOTHING]


def test_an_utterance_starts_pauses_and_ends() -> None:
    endpointer = Endpointer()
    steps = run(endpointer, (0.0, 10), (0.9, 30), (0.0, 40))
    assert steps == [
        (10 + START_WINDOWS - 1, Step.STARTED),
        (39 + PAUSE_WINDOWS, Step.PAUSED),
        (39 + END_WINDOWS, Step.ENDED),
    ]
    assert (endpointer.first, endpointer.last) == (10, 39)


def test_a_click_is_no_utterance() -> None:
    assert run(Endpointer(), (0.0, 5), (0.9, START_WINDOWS - 1), (0.0, 50)) == []


def test_a_short_pause_is_part_of_it() -> None:
    steps = [step for _, step in run(Endpointer(), (0.9, 20), (0.0, PAUSE_WINDOWS + 2), (0.9, 20), (0.0, 30))]
    assert steps == [Step.STARTED, Step.PAUSED, Step.RESUMED, Step.PAUSED, Step.ENDED]


def test_weak_speech_keeps_an_utterance_going_but_does_not_begin_one() -> None:
    assert run(Endpointer(), (0.4, 100)) == []
    assert [step for _, step in run(Endpointer(), (0.9, 10), (0.4, 100))] == [Step.STARTED]


def test_who_never_pauses_is_cut_and_goes_on() -> None:
    endpointer = Endpointer()
    cuts = 0
    for window in range(MAX_WINDOWS * 3):
        if endpointer.step(0.9) is Step.CUT:
            cuts += 1
            endpointer.go_on_after_cut(window - 20)
    assert cuts == 3
    assert endpointer.speaking


def test_stopping_ends_it_once() -> None:
    endpointer = Endpointer()
    run(endpointer, (0.9, 10))
    assert endpointer.stop()
    assert not endpointer.stop()


@given(st.lists(st.floats(0, 1), max_size=800))
def test_starts_and_ends_alternate_whatever_comes(probabilities: list[float]) -> None:
    endpointer = Endpointer()
    steps = [endpointer.step(probability) for probability in probabilities]
    borders = [step for step in steps if step in (Step.STARTED, Step.ENDED)]
    assert borders == [Step.STARTED, Step.ENDED] * (len(borders) // 2) + [Step.STARTED] * (len(borders) % 2)


def test_an_utterance_cut_in_a_pause_that_then_ends_has_no_speech_in_its_rest() -> None:
    endpointer = Endpointer()
    assert [step for _, step in run(endpointer, (0.9, MAX_WINDOWS - 3), (0.0, 4))] == [Step.STARTED, Step.CUT]
    endpointer.go_on_after_cut(MAX_WINDOWS - 1)
    assert endpointer.speech_windows == 0
    assert Step.ENDED in [endpointer.step(0.0) for _ in range(END_WINDOWS)]


@given(st.lists(st.floats(0, 1), max_size=400))
def test_a_beginning_is_never_far_back(probabilities: list[float]) -> None:
    endpointer = Endpointer()
    for window, probability in enumerate(probabilities):
        if endpointer.step(probability) is Step.STARTED:
            assert window - endpointer.first < START_WITHIN
