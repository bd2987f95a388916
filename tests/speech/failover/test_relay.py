"""One speaker's audio between engines: pure, at 8 kHz."""

from __future__ import annotations

from kallglot.speech.failover.relay import DEAF_S, FINAL_S, KEEP_MS, MOST_KEPT, STALL_S, Entry, Relay
from kallglot.speech.types import Final, Partial, Restarted, SpeechStarted, SpeechStopped
from kallglot.speech.used import Heard

LOUD = b"\x00\x10"
QUIET = b"\x00\x00"


def audio(ms: int, sample: bytes = LOUD) -> bytes:
    return sample * (8 * ms)


def a_relay(engine: str = "a", *, keeps: bool = True) -> Relay:
    relay = Relay(8000, keeps=keeps)
    relay.adopt(engine, 0.0, failure=False)
    return relay


def push(relay: Relay, ms: int, sample: bytes = LOUD) -> None:
    for _ in range(ms // 20):
        relay.push(audio(20, sample))


def ms_of(entries: list[Entry]) -> int:
    return sum(len(entry.pcm) for entry in entries) // 16


def test_the_next_engine_gets_what_came_since_the_last_final_on_one_timeline() -> None:
    relay = a_relay()
    push(relay, 2000)
    (first,) = relay.tell(Final("one", 100, 1500, 0.9), 2.0)
    assert first == Heard("one", 100, 1500, 0.9, given=(("a", 2000),))
    push(relay, 500)
    relay.lost()
    push(relay, 300)
    again, told = relay.adopt("b", 3.0, failure=True)
    assert ms_of(again) == 500 + 500 + 300
    assert told == [Restarted(0)]
    # The new engine's time begins at 1,500 ms.
    (second,) = relay.tell(Final("two", 50, 1200), 4.0)
    assert second == Heard("two", 1550, 2700, given=(("a", 500), ("b", 1300)))
    assert relay.kept_ms == 100


def test_an_utterance_that_had_begun_keeps_its_beginning_and_is_begun_once() -> None:
    relay = a_relay()
    push(relay, 3000)
    assert relay.tell(SpeechStarted(900), 1.0) == [SpeechStarted(900)]
    assert relay.tell(Partial("hello", "", 1000), 1.5) == [Partial("hello", "", 1000)]
    assert not relay.between
    relay.lost()
    assert not relay.between
    relay.adopt("b", 3.0, failure=True)
    assert relay.tell(SpeechStarted(1100), 3.2) == []
    assert relay.tell(Partial("hello", "", 1200), 3.3) == [Partial("hello", "", 1000)]
    assert relay.tell(SpeechStopped(2800), 3.9) == [SpeechStopped(2800)]
    assert relay.tell(Final("hello you", 1200, 2800), 4.0)[0].start_ms == 1000  # type: ignore[union-attr]
    assert relay.between
    push(relay, 1000)
    assert relay.tell(Partial("next", "", 3100), 5.0) == [Partial("next", "", 3100)]


def test_speech_that_ends_without_a_word_of_it_is_ended_with_the_final() -> None:
    relay = a_relay()
    push(relay, 1000)
    relay.tell(SpeechStarted(0), 1.0)
    told = relay.tell(Final("hm", 0, 700), 1.5)
    assert [type(one) for one in told] == [SpeechStopped, Heard]


def test_the_next_utterance_may_begin_before_the_last_is_told() -> None:
    relay = a_relay()
    push(relay, 3000)
    relay.tell(SpeechStarted(0), 1.0)
    relay.tell(SpeechStopped(1000), 1.2)
    relay.tell(SpeechStarted(2000), 2.2)
    told = relay.tell(Final("one", 0, 1000), 2.4)
    assert [type(one) for one in told] == [Heard]
    assert not relay.between


def test_silence_is_not_kept_and_speech_is_up_to_a_bound() -> None:
    relay = a_relay()
    push(relay, 60_000, QUIET)
    assert relay.kept_ms <= 2_020
    assert relay.dropped_ms == 0
    relay.lost()
    push(relay, KEEP_MS + 5_000)
    assert relay.kept_ms == KEEP_MS
    assert relay.dropped_ms == 5_000
    again, told = relay.adopt("b", 9.0, failure=True)
    assert ms_of(again) == KEEP_MS
    assert told == [Restarted(5_000)]
    (final,) = relay.tell(Final("x", 0, 100), 9.5)
    assert isinstance(final, Heard)
    assert final.start_ms == 60_000 + 5_000


def test_gaps_and_ends_are_given_again_in_their_places() -> None:
    relay = a_relay()
    push(relay, 100)
    relay.skip(200)
    relay.skip(300)
    push(relay, 100)
    relay.finish(1.0)
    relay.finish(1.0)
    relay.lost()
    again, _ = relay.adopt("b", 2.0, failure=True)
    assert [(one.kind, (one.end - one.start) // 8) for one in again if one.kind != "audio"] == [
        ("skip", 500),
        ("finish", 0),
    ]
    assert relay.tell(Final("x", 600, 700), 3.0)[0].start_ms == 600  # type: ignore[union-attr]


def test_half_samples_are_put_together() -> None:
    relay = a_relay()
    assert relay.push(b"\x01\x02\x03") == b"\x01\x02"
    assert relay.push(b"\x04") == b"\x03\x04"
    assert relay.push(b"") == b""


def test_a_stall_in_the_middle_of_an_utterance() -> None:
    relay = a_relay()
    push(relay, 1000)
    relay.tell(Partial("so", "", 0), 1.0)
    push(relay, 2000)
    assert relay.stalled(1.0 + STALL_S, 3000) is None
    assert relay.stalled(1.1 + STALL_S, 3000) == "it has fallen silent in the middle of an utterance"
    # A speaker whose audio stops has not been let down by the engine.
    quiet = a_relay()
    push(quiet, 1000)
    quiet.tell(Partial("so", "", 0), 1.0)
    assert quiet.stalled(60.0, 1000) is None


def test_an_engine_without_partials_has_more_time() -> None:
    relay = a_relay()
    relay.tell(SpeechStarted(0), 0.0)
    push(relay, 10_000)
    assert relay.stalled(10.0, 10_000) is None
    assert relay.stalled(15.1, 10_000) is not None


def test_a_final_that_does_not_come() -> None:
    relay = a_relay()
    push(relay, 2000)
    relay.tell(SpeechStarted(0), 1.0)
    relay.tell(SpeechStopped(1500), 2.0)
    assert relay.stalled(2.1 + FINAL_S, 2000) == "it does not say what an utterance was"
    # An engine that is through with the audio found nothing in it.
    push(relay, 1000, QUIET)
    assert relay.stalled(2.1 + FINAL_S, 500) is None
    relay.settled(500)
    assert relay.between


def test_an_engine_that_says_nothing_of_loud_audio_is_suspected_once() -> None:
    relay = a_relay()
    push(relay, 5000)
    assert relay.stalled(DEAF_S, 5000) is None
    assert relay.stalled(DEAF_S + 0.1, 5000) == "it says nothing of what it is given"
    relay.lost(deaf=True)
    relay.adopt("b", 9.0, failure=True)
    push(relay, 5000)
    assert relay.stalled(30.0, 5000) is None
    relay.tell(Partial("ah", "", 0), 31.0)
    relay.tell(Final("ah", 0, 9000), 32.0)
    push(relay, 5000)
    assert relay.stalled(50.0, 5000) is not None


def test_an_engine_on_trial_has_less_time_to_say_something() -> None:
    relay = a_relay()
    push(relay, 1000)
    relay.tell(Final("one", 0, 900), 1.0)
    relay.lost()
    relay.adopt("a", 2.0, trial=True)
    push(relay, 60_000, QUIET)
    push(relay, 2_480)
    assert relay.stalled(3.0, 2_480) is None
    push(relay, 20)
    assert relay.stalled(3.0, 2_500) == "it says nothing of what it is given"
    relay.tell(SpeechStarted(60_000), 4.0)
    relay.tell(Final("two", 60_000, 62_000), 5.0)
    push(relay, 4_000)
    assert relay.stalled(6.0, 4_000) is None


def test_speech_of_which_the_next_engine_finds_nothing_is_over() -> None:
    relay = a_relay()
    push(relay, 1000)
    relay.tell(SpeechStarted(0), 1.0)
    relay.lost()
    relay.adopt("b", 2.0, failure=True)
    push(relay, 1000, QUIET)
    assert relay.no_speech(2.1 + STALL_S, 2000) == []
    assert relay.no_speech(2.1 + STALL_S, 100) == [SpeechStopped(2000)]
    assert relay.between


def test_a_second_engine_that_does_not_deal_with_what_it_was_given_again_is_replaced_too() -> None:
    relay = a_relay()
    push(relay, 1000)
    relay.tell(Partial("so", "", 0), 1.0)
    relay.lost()
    relay.adopt("b", 2.0, failure=True)
    push(relay, 200, QUIET)
    assert relay.stalled(2.0 + FINAL_S, 1200) is None
    assert relay.stalled(2.1 + FINAL_S, 1200) == "it says nothing of what it was given again"
    assert relay.stalled(2.1 + FINAL_S, 100) is None


def test_without_keeping_nothing_is_kept() -> None:
    relay = a_relay(keeps=False)
    push(relay, 5000)
    assert relay.kept_ms == 0
    assert relay.tell(Final("x", 0, 5000), 1.0) == [Heard("x", 0, 5000, given=(("a", 5000),))]


def test_times_of_an_engine_that_are_ahead_of_its_audio_are_put_right() -> None:
    relay = a_relay()
    push(relay, 1000)
    (final,) = relay.tell(Final("x", 500, 2500), 1.0)
    assert isinstance(final, Heard)
    assert (final.start_ms, final.end_ms) == (500, 1000)


def test_what_is_kept_is_bounded_in_pieces_too() -> None:
    for gaps in (False, True):
        relay = a_relay()
        relay.tell(SpeechStarted(0), 0.0)
        for n in range(30_000):
            relay.push(LOUD)
            if gaps and n % 2:
                relay.skip(1)
        again, _ = relay.adopt("b", 1.0, failure=True)
        assert len(again) <= MOST_KEPT
        assert gaps or ms_of(again) == 30_000 // 8
