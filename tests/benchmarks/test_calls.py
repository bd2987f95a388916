"""What the benchmark of whole calls counts with."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from benchmarks.calls import stages, words
from benchmarks.calls.calls import matched
from benchmarks.calls.conversation import TURN_NEEDS, Conversation
from benchmarks.calls.engines import Latencies, Recognition
from benchmarks.calls.legs import SILENCE, SPEECH, Heard
from benchmarks.calls.soak import Sample, verdict

from kallglot.audio.g711 import audioop


def pcm(mulaw: bytes) -> bytes:
    return audioop.ulaw2lin(mulaw, 2)


@pytest.mark.parametrize("utterance", range(10))
def test_a_turn_is_known_by_its_words_and_by_its_sound_in_either_language(utterance: int) -> None:
    said = words.sentence(words.recognised("de", utterance, 5))
    other = words.translated(said, "DE")
    assert other != said
    assert words.translated(other, "EN") == said
    family = utterance % len(words.FAMILIES)
    assert words.family_of(said) == words.family_of(other) == family
    sound = audioop.lin2ulaw(words.spoken(other, 8000), 2)
    assert len(sound) == len(other) * 480
    assert {words.family_of_sound(sound[at : at + 160]) for at in range(37, 1600, 160)} == {family}


def test_speech_and_silence_are_no_turns_sound() -> None:
    assert words.family_of_sound(SILENCE) is None
    assert {words.family_of_sound(frame) for frame in SPEECH} == {None}


def test_an_utterance_is_told_word_by_word_and_ends_with_silence() -> None:
    recognition = Recognition("de", 8000, Latencies(final=250))
    told = [
        (after, json.loads(message))
        for frame in [SILENCE] * 10 + SPEECH * 2 + [SILENCE] * 20
        for after, message in recognition.feed(pcm(frame))
    ]
    partials = [message for _, message in told if not message["is_final"]]
    finals = [(after, message) for after, message in told if message["speech_final"]]
    assert [len(one["channel"]["alternatives"][0]["words"]) for one in partials] == [1, 2, 3, 4, 5, 6]
    [(after, final)] = finals
    assert after == 250
    assert final["channel"]["alternatives"][0]["transcript"] == "Apfel Birne Kirsche Traube Apfel Birne."
    assert final["start"] + final["duration"] == pytest.approx(2.2)


def test_what_is_asked_to_end_ends_at_once() -> None:
    recognition = Recognition("en", 8000, Latencies())
    for frame in SPEECH:
        list(recognition.feed(pcm(frame)))
    [(_, said)] = recognition.finalize()
    [(_, nothing)] = recognition.finalize()
    assert json.loads(said)["channel"]["alternatives"][0]["transcript"].startswith("apple pear")
    assert json.loads(nothing)["from_finalize"]
    assert json.loads(nothing)["channel"]["alternatives"][0]["transcript"] == ""


def test_frames_are_late_from_the_moment_at_which_they_are_missed() -> None:
    heard = Heard()
    sound = audioop.lin2ulaw(words.spoken("Apfel", 8000), 2)
    for at, moment in enumerate((10.0, 10.0, 10.04, 10.09, 11.0)):
        heard.audio(sound[at * 160 : (at + 1) * 160], moment, True)
    # Two at once, one just in time, one 30 ms late; the last begins another spurt.
    assert heard.late_ms == pytest.approx([0, 0, 0, 30, 0], abs=1e-6)
    assert [family for family, _ in heard.turns] == [0, 0]


def test_turns_are_matched_to_those_who_said_them() -> None:
    stops = [10.0, 24.0, 38.0]
    heard = [(0, 10.9), (2, 39.0)]
    assert matched(stops, heard) == [pytest.approx(0.9), None, pytest.approx(1.0)]


@pytest.mark.parametrize("number", range(12))
def test_everybody_says_what_can_still_be_heard(number: int) -> None:
    conversation = Conversation(number, 3000)
    for side in ("customer", "agent"):
        said = conversation.of(side)
        assert said
        assert all(one.ends + TURN_NEEDS <= 3000 for one in said)
        assert all(before.ends < after.begins for before, after in pairwise(said))
        assert sum(conversation.speaks(side, frame) for frame in range(3000)) == sum(
            one.ends - one.begins for one in said
        )


@pytest.mark.parametrize(
    ("stack", "stage"),
    [
        (["serve (/x/kallglot/app.py:364)", "run (/x/uvloop/__init__.py:92)"], stages.LOOP),
        (["tick (/x/kallglot/session/live.py:9)", "rms (/x/kallglot/audio/levels.py:3)"], "playout tick"),
        (
            ["audio (/x/kallglot/session/live.py:9)", "Ledger.push (/x/kallglot/speech/remote/ledger.py:1)"],
            "recogniser send",
        ),
        (["page (/x/kallglot/metrics/exposition.py:4)", "execute (/x/sqlalchemy/engine/base.py:1)"], stages.LOOKS),
        (["_insert (/x/kallglot/store/journal.py:4)", "execute (/x/sqlalchemy/engine/base.py:1)"], "events and store"),
        (
            ["_speak (/x/kallglot/speech/remote/synthesizer.py:4)", "read (/x/site-packages/aiohttp/streams.py:1)"],
            "synthesizer",
        ),
        ([], "other"),
    ],
)
def test_a_stack_belongs_to_a_stage(stack: list[str], stage: str) -> None:
    assert stages.stage_of(stack) == stage
    assert stages.counted(";".join(["MainThread", *stack]) + " 3\n") == {stage: 3}


def sample(number: int, memory: int, late: float | None = 0.0) -> Sample:
    return Sample(number * 10.0, memory, memory, 50, 20, 1, None, 4, 8, 1.0, late, 0.1)


def test_memory_that_grows_is_not_flat_and_memory_that_has_grown_is() -> None:
    grows = verdict([sample(n, 200_000_000 + n * 1_000_000) for n in range(30)])
    grew = verdict([sample(n, 100_000_000 + min(n, 10) * 10_000_000) for n in range(30)])
    assert not grows["memory"]["flat"]
    assert grows["memory"]["slope_an_hour"] == pytest.approx(360_000_000)
    assert grew["memory"]["flat"]
    assert all(one["flat"] for one in grew.values())
    assert "tasks" not in grew


def test_calls_that_get_later_are_not_flat() -> None:
    found = verdict([sample(n, 1, None if n < 3 else float(n)) for n in range(30)])
    assert not found["late_p99_ms"]["flat"]
