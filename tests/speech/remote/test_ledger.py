from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.remote.words import say

from kallglot.speech.remote.ledger import Audio, Gap, Ledger, Mark

RATE = 8000


def ledger(keep_ms: int = 5000, wait_ms: int = 10_000) -> Ledger:
    return Ledger(RATE, keep_ms=keep_ms, wait_ms=wait_ms)


def quiet(ms: int) -> bytes:
    return bytes(ms * 16)


def loud(ms: int, value: int = 5) -> bytes:
    return bytes((0, value)) * (ms * 8)


def take_all(book: Ledger, most_ms: int = 100) -> list[Audio | Gap | Mark]:
    taken = []
    while (entry := book.take(most_ms * 8)) is not None:
        taken.append(entry)
    return taken


def test_audio_is_taken_in_pieces_and_kept_until_it_is_acknowledged() -> None:
    book = ledger()
    book.push(loud(250))
    assert not book.ready(300 * 8)
    assert book.ready(250 * 8)
    taken = take_all(book)
    assert [(one.start, one.end) for one in taken] == [(0, 800), (800, 1600), (1600, 2000)]
    assert book.take(800) is None
    assert (book.backlog_ms, book.lag_ms, book.sent_ms) == (250, 250, 250)
    book.commit(1000)
    assert book.backlog_ms == 125
    book.commit(500)
    assert book.committed == 1000
    assert book.rewind() == 0
    assert b"".join(one.pcm for one in take_all(book) if isinstance(one, Audio)) == loud(125)
    book.commit(2000)
    assert (book.backlog_ms, book.entries) == (0, 1)


def test_half_samples_wait_for_the_other_half() -> None:
    book = ledger()
    book.push(b"\1")
    assert not book.ready(1)
    book.push(b"\2\3")
    assert [entry.pcm for entry in take_all(book) if isinstance(entry, Audio)] == [b"\1\2"]


def test_a_gap_is_left_out_of_the_connection_and_not_of_the_stream() -> None:
    book = ledger()
    book.push(loud(1000))
    book.skip(5000)
    book.skip(1000)
    book.push(loud(500))
    taken = take_all(book, 2000)
    assert [type(one) for one in taken] == [Audio, Mark, Gap, Audio]
    assert book.sent_ms == 1500
    assert book.ms(book.place(900)) == 900
    assert book.ms(book.place(1000, ending=True)) == 1000
    assert book.ms(book.place(1000)) == 7000
    assert book.ms(book.place(1400)) == 7400
    assert book.ms(book.place(99_999)) == 7500
    assert book.ms(book.place(-5)) == 0
    assert book.flushed()
    assert book.ms(book.committed) == 7000
    assert not book.flushed()


def test_silence_for_a_gap_is_part_of_the_connection() -> None:
    book = ledger()
    book.push(loud(1000))
    book.skip(5000)
    take_all(book)
    book.filled(500 * 8)
    book.push(loud(500))
    take_all(book)
    assert book.ms(book.place(1500, ending=True)) == 1500
    assert book.ms(book.place(1600)) == 6100


def test_marks_wait_for_answers() -> None:
    book = ledger()
    book.finish()
    assert book.take(1) is None
    book.push(loud(100))
    book.finish()
    book.finish()
    assert not book.dealt_with(book.end)
    assert [type(one) for one in take_all(book)] == [Audio, Mark]
    assert book.asking
    book.commit(book.end)
    assert not book.dealt_with(book.end)
    assert book.asking
    assert book.flushed()
    assert book.dealt_with(book.end)
    assert not book.asking


def test_what_is_sent_and_too_old_is_forgotten_and_said_to_be_lost() -> None:
    book = ledger(keep_ms=1000)
    book.push(loud(1500))
    take_all(book)
    assert book.lag_ms == 1000
    assert book.ms(book.rewind()) == 500
    book.push(loud(700))
    take_all(book)
    assert book.backlog_ms == 1000


def test_what_cannot_be_sent_is_given_up_oldest_first() -> None:
    book = ledger(wait_ms=1000)
    for value in range(1, 5):
        book.push(loud(500, value))
        book.finish()
    assert book.ms(book.dropped) == 1000
    taken = take_all(book, 500)
    assert [one.pcm[1] for one in taken if isinstance(one, Audio)] == [3, 4]
    assert sum(isinstance(one, Mark) for one in taken) == 4
    assert book.ms(book.place(0)) == 1000


def test_old_silence_is_dealt_with_unless_something_is_open_before_it() -> None:
    book = ledger()
    book.push(quiet(2000))
    take_all(book)
    book.settle(1000)
    assert book.ms(book.committed) == 1000
    book.push(loud(100) + quiet(3000))
    take_all(book)
    book.settle(1000)
    assert book.ms(book.committed) == 2000
    assert book.loud
    book.commit(2100 * 8)
    book.settle(1000)
    assert book.ms(book.committed) == 4100
    assert not book.loud


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["push", "skip", "finish", "take", "commit", "rewind", "flushed"]), st.integers(1, 700)
        )
    )
)
def test_nothing_is_lost_and_everything_is_bounded(steps: list[tuple[str, int]]) -> None:
    """Whatever happens: what was not committed is sent, in order, once on each connection."""
    book = ledger(keep_ms=10_000_000, wait_ms=10_000_000)
    said: dict[int, int] = {}
    sent: list[Audio] = []
    value = 0
    for what, number in steps:
        if what == "push":
            value = value % 120 + 1
            said.update(dict.fromkeys(range(book.end, book.end + number), value))
            book.push(bytes((value, value)) * number)
        elif what == "skip":
            book.skip(number)
        elif what == "finish":
            book.finish()
        elif what == "take":
            entry = book.take(number)
            if isinstance(entry, Audio):
                sent.append(Audio(entry.start, entry.end, entry.pcm))
        elif what == "commit":
            book.commit(min(number * 10, book.sent))
        elif what == "flushed":
            book.flushed()
        else:
            book.rewind()
            sent.clear()
    book.rewind()
    committed = book.committed
    sent = [one for one in take_all(book) if isinstance(one, Audio)]
    heard = {at: one.pcm[2 * (at - one.start)] for one in sent for at in range(one.start, one.end)}
    assert heard == {at: value for at, value in said.items() if at >= committed}
    assert all(one.end <= other.start for one, other in pairwise(sent))
    book.commit(book.end)
    while book.flushed():
        pass
    assert (book.backlog_ms, book.lag_ms) == (0, 0)


def test_half_an_hour_with_gaps_keeps_little() -> None:
    book = ledger()
    for _ in range(600):
        book.push(say([1, 2], RATE))
        take_all(book, 500)
        book.commit(book.end)
        book.skip(2000)
        take_all(book)
        book.flushed()
        assert book.entries < 20


def test_a_new_connection_is_not_asked_about_what_is_dealt_with() -> None:
    """A server that has heard nothing need not answer."""
    book = ledger()
    for _ in range(2):
        book.push(loud(100))
        book.finish()
    take_all(book)
    book.commit(book.end)
    assert not book.dealt_with(book.end)
    book.rewind()
    assert book.dealt_with(book.end)
    assert take_all(book) == []
    book.push(loud(100))
    book.finish()
    assert [type(one) for one in take_all(book)] == [Audio, Mark]
