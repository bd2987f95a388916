from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from kallglot.speech.remote.codec import Heard
from kallglot.speech.remote.ledger import Ledger
from kallglot.speech.remote.telling import Telling
from kallglot.speech.types import Final, Partial, RecognizerEvent, SpeechStarted, SpeechStopped


class Case:
    def __init__(self, *, partials: bool = True) -> None:
        self.ledger = Ledger(8000, keep_ms=10**6, wait_ms=10**6)
        self.ledger.push(bytes(16 * 60_000))
        while self.ledger.take(8000):
            pass
        self.telling = Telling(self.ledger, partials=partials)

    def hear(self, *heard: Heard) -> list[RecognizerEvent]:
        return [event for one in heard for event in self.telling.hear(one)]


def test_the_beginning_and_the_end_of_speech_are_told_where_the_vendor_does_not() -> None:
    case = Case()
    assert case.hear(Partial("ja", "", 100), Partial("ja bitte", "ja", 100)) == [
        SpeechStarted(100), Partial("ja", "", 100), Partial("ja bitte", "ja", 100)
    ]  # fmt: skip
    assert case.telling.pending
    assert case.hear(Final("Ja, bitte.", 100, 900)) == [SpeechStopped(900), Final("Ja, bitte.", 100, 900)]
    assert not case.telling.pending
    assert case.hear(Final("Gut.", 1000, 1500)) == [SpeechStarted(1000), SpeechStopped(1500), Final("Gut.", 1000, 1500)]


def test_vendors_that_tell_them_are_not_told_over() -> None:
    case = Case()
    heard = [SpeechStarted(90), SpeechStarted(95), Partial("ja", "", 100), SpeechStopped(800), SpeechStopped(810)]
    assert case.hear(*heard) == [SpeechStarted(90), Partial("ja", "", 100), SpeechStopped(800)]
    assert case.hear(Final("Ja", 100, 780)) == [Final("Ja", 100, 780)]


def test_nothing_is_told_twice_or_late() -> None:
    case = Case()
    final = Final("Ja", 100, 800)
    assert len(case.hear(final)) == 3
    assert case.hear(final, Partial("Ja", "", 100), SpeechStarted(100), Final("Ja", 120, 800)) == []
    assert case.hear(Final("Gut", 2000, 2500)) != []
    assert case.hear(final, Partial("Ja", "", 100)) == []


def test_rounded_times_do_not_cost_an_utterance() -> None:
    case = Case()
    case.hear(Final("Ja", 100, 800))
    assert case.hear(Partial("gut", "", 780), Final("Gut", 780, 1200)) == [
        SpeechStarted(800), Partial("gut", "", 800), SpeechStopped(1200), Final("Gut", 800, 1200)
    ]  # fmt: skip


def test_no_partials_where_none_are_wanted() -> None:
    case = Case(partials=False)
    assert case.hear(Partial("ja", "", 100)) == [SpeechStarted(100)]


def test_empty_texts_are_none() -> None:
    assert Case().hear(Partial(" ", "", 100), Final("", 100, 200)) == []


def test_speech_without_words_ends_when_it_is_passed() -> None:
    case = Case()
    case.hear(SpeechStarted(100))
    case.ledger.commit(50 * 8)
    assert list(case.telling.passed()) == []
    case.ledger.commit(500 * 8)
    assert list(case.telling.passed()) == [SpeechStopped(500)]
    assert not case.telling.pending


heard = st.one_of(
    st.builds(SpeechStarted, st.integers(0, 3000)),
    st.builds(SpeechStopped, st.integers(0, 3000)),
    st.builds(Partial, st.just("x"), st.just(""), st.integers(0, 3000)),
    st.builds(lambda start, length: Final("x", start, start + length), st.integers(0, 3000), st.integers(-50, 900)),
)  # fmt: skip


@given(st.lists(heard))
def test_whatever_is_heard_times_only_grow(events: Sequence[Heard]) -> None:
    speaking = stopped = False
    end_ms = 0
    for event in Case().hear(*events):
        match event:
            case SpeechStarted(at_ms):
                assert not speaking
                assert at_ms >= end_ms
                speaking, stopped = True, False
            case SpeechStopped(at_ms):
                assert speaking
                assert not stopped
                stopped = True
            case Partial(_, _, start_ms, _):
                assert speaking
                assert start_ms >= end_ms
            case Final(_, start, end):
                assert speaking
                assert stopped
                assert end_ms <= start <= end
                speaking, end_ms = False, end
            case _:
                raise AssertionError(event)
