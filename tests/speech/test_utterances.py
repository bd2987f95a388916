import math
import struct

import pytest

from kallglot.audio.endpointing import Step
from kallglot.speech.engines.silero import Window
from kallglot.speech.engines.utterances import BEGINNING_MS, POST_ROLL_MS, PRE_ROLL_MS, UtteranceStream, believable

WINDOW = 256


def tone(windows: int, level: int = 3000) -> bytes:
    return struct.pack(f"<{windows * WINDOW}h", *(round(level * math.sin(n / 3)) for n in range(windows * WINDOW)))


def judged(stream: UtteranceStream, probability: float, windows: int) -> list[Step]:
    stream.push(tone(windows) if probability else bytes(windows * WINDOW * 2))
    steps: list[Step] = []
    while stream.next_window() is not None:
        steps.append(stream.judge(probability))
    return [step for step in steps if step is not Step.NOTHING]


def test_the_first_syllable_is_in_the_audio() -> None:
    stream = UtteranceStream(8000, 0)
    judged(stream, 0.0, 40)
    assert judged(stream, 0.9, 20) == [Step.STARTED]
    assert stream.current is not None
    assert stream.current.first == 40 * WINDOW
    assert stream.current.start == 40 * WINDOW - PRE_ROLL_MS * 8
    assert judged(stream, 0.0, 20) == [Step.PAUSED, Step.ENDED]
    ended = stream.finish_utterance()
    assert (ended.first, ended.last) == (40 * WINDOW, 60 * WINDOW)
    assert ended.final_audio is not None
    assert len(ended.final_audio) == ended.last + POST_ROLL_MS * 8 - ended.start


def test_words_that_were_told_are_not_in_the_next_utterance_too() -> None:
    stream = UtteranceStream(8000, 0)
    judged(stream, 0.9, 20)
    assert stream.flush()
    before = stream.finish_utterance()
    judged(stream, 0.0, 3)
    judged(stream, 0.9, 20)
    assert before.final_audio is not None
    assert stream.current is not None
    assert stream.current.start == before.start + len(before.final_audio) == 20 * WINDOW
    assert stream.current.first == 23 * WINDOW


def test_a_gap_moves_time_and_forgets_the_voice() -> None:
    stream = UtteranceStream(8000, 16_000)
    judged(stream, 0.0, 10)
    stream.skip(80_000)
    assert stream.position == stream.received == 16_000 + 10 * WINDOW + 80_000
    judged(stream, 0.9, 5)
    assert stream.current is not None
    assert stream.current.start == stream.current.first == 16_000 + 10 * WINDOW + 80_000


def test_an_hour_of_silence_is_not_kept() -> None:
    stream = UtteranceStream(8000, 0)
    for _ in range(100):
        judged(stream, 0.0, 40)
    assert len(stream._audio) <= (8000 + BEGINNING_MS * 8 + 40 * WINDOW) * 2


def test_a_long_utterance_is_cut_at_its_quietest_moment_and_goes_on_there() -> None:
    stream = UtteranceStream(8000, 0)
    judged(stream, 0.9, 300)
    stream.push(tone(10, level=30))
    for _ in range(10):
        assert stream.next_window() is not None
        stream.judge(0.9)
    assert Step.CUT in judged(stream, 0.9, 66)
    cut = stream.cut_utterance()
    assert 300 * WINDOW <= cut.last < 310 * WINDOW
    assert stream.current is not None
    assert stream.current.start == stream.current.first == cut.last == cut.end


@pytest.mark.parametrize(
    ("text", "windows", "believed"),
    [
        ("Hello there.", 12, True),
        ("Yes.", 6, True),
        ("You", 6, False),
        ("Thank you.", 7, False),
        ("Thank you.", 20, True),
        ("♪♪♪♪♪♪", 90, False),
        (".", 30, False),
        ("", 30, False),
        ("Yes.", 2, False),
        ("a", 30, False),
        ("好。", 6, True),
    ],
)
def test_what_the_model_makes_of_next_to_nothing_is_not_believed(text: str, windows: int, believed: bool) -> None:
    assert believable(text, windows) is believed


def loudest(window: Window) -> float:
    return float(abs(window.samples).max()) * window.gain


def test_what_is_judged_is_raised_for_a_quiet_speaker_and_left_alone_for_a_noisy_line() -> None:
    quiet, loud, noisy = UtteranceStream(8000, 0), UtteranceStream(8000, 0), UtteranceStream(8000, 0)
    levels: list[float] = []
    for stream, level in ((quiet, 160), (loud, 16_000)):
        stream.push(tone(200, level))
        while (window := stream.next_window()) is not None:
            levels.append(loudest(window[0]))
            stream.judge(0.9)
    assert levels[199] == pytest.approx(levels[399], rel=0.3)
    noisy.push(tone(2000, 30))
    raised: list[float] = []
    while (window := noisy.next_window()) is not None:
        raised.append(loudest(window[0]))
        noisy.judge(0.0)
    assert raised[-1] == pytest.approx(raised[1000], rel=0.05)
