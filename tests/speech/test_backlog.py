import struct

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kallglot.speech.backlog import FLYING_MS, KEEP_MS, STRIKES, Backlog
from kallglot.speech.frames import Frame, FrameReader, Kind

RATE = 8000


def pcm(start: int, samples: int) -> bytes:
    """Samples that say where they are."""
    return struct.pack(f"<{samples}H", *((start + n) & 0xFFFF for n in range(samples)))


def taken(backlog: Backlog) -> list[Frame]:
    reader = FrameReader()
    found: list[Frame] = []
    while (frame := backlog.take()) is not None:
        found.extend(reader.feed(frame))
    return found


def kinds(backlog: Backlog) -> list[Kind]:
    return [frame.kind for frame in taken(backlog)]


def test_a_new_engine_hears_what_the_old_one_had_not_dealt_with_and_not_a_sample_more() -> None:
    backlog = Backlog(1, RATE)
    backlog.push(pcm(0, 12_000))
    backlog.finish()
    taken(backlog)
    backlog.commit(5_000)
    backlog.rewind()
    assert backlog.start == 5_000
    frames = taken(backlog)
    assert b"".join(frame.payload for frame in frames) == pcm(5_000, 7_000)
    assert frames[-1].kind is Kind.FINISH


def test_a_huge_push_goes_in_pieces_and_a_half_sample_waits_for_its_other_half() -> None:
    backlog = Backlog(1, RATE)
    data = pcm(0, 20 * RATE)
    backlog.push(data[:9_999])
    backlog.push(memoryview(data)[9_999:])
    frames = taken(backlog)
    assert b"".join(frame.payload for frame in frames) == data
    assert max(len(frame.payload) for frame in frames) <= RATE


def test_without_an_engine_a_minute_is_kept_and_the_oldest_given_up() -> None:
    backlog = Backlog(1, RATE)
    for second in range(3 * KEEP_MS // 1000):
        backlog.push(pcm(second * RATE, RATE))
        backlog.finish()
    assert backlog.ms(backlog.dropped) == 2 * KEEP_MS
    assert backlog.entries <= 2 + 3 * KEEP_MS // 1000
    gap, *rest = taken(backlog)
    assert (gap.kind, int.from_bytes(gap.payload, "big")) == (Kind.SKIP, 2 * KEEP_MS * RATE // 1000)
    audio = [frame.payload for frame in rest if frame.kind is Kind.AUDIO]
    assert audio[0] == pcm(2 * KEEP_MS * RATE // 1000, RATE // 2)


def test_an_engine_is_not_given_more_than_it_can_hold() -> None:
    backlog = Backlog(1, RATE)
    backlog.push(pcm(0, 40 * RATE))
    sent = sum(len(frame.payload) // 2 for frame in taken(backlog))
    assert sent == FLYING_MS * RATE // 1000
    backlog.commit(sent // 2)
    assert sum(len(frame.payload) // 2 for frame in taken(backlog)) == 10 * RATE


def test_audio_over_which_engine_after_engine_dies_is_given_up() -> None:
    backlog = Backlog(1, RATE)
    backlog.push(pcm(0, RATE))
    for _ in range(STRIKES):
        assert Kind.AUDIO in kinds(backlog)
        backlog.rewind()
    assert backlog.dropped == RATE
    backlog.push(pcm(RATE, RATE))
    assert kinds(backlog) == [Kind.SKIP, Kind.AUDIO, Kind.AUDIO]


def test_an_engine_that_gets_further_is_no_strike() -> None:
    backlog = Backlog(1, RATE)
    for second in range(STRIKES * 3):
        backlog.push(pcm(second * RATE, RATE))
        taken(backlog)
        backlog.commit(second * RATE + RATE // 2)
        backlog.rewind()
    assert backlog.dropped == 0


def test_finishing_again_and_empty_gaps_are_nothing() -> None:
    backlog = Backlog(1, RATE)
    backlog.finish()
    backlog.skip(0)
    backlog.skip(-5)
    assert backlog.entries == 0
    backlog.push(pcm(0, 160))
    for _ in range(1000):
        backlog.finish()
    assert kinds(backlog) == [Kind.AUDIO, Kind.FINISH]


def test_an_hour_of_gaps_takes_no_room_and_counts_as_no_audio() -> None:
    backlog = Backlog(1, RATE)
    backlog.push(pcm(0, RATE))
    for _ in range(3600):
        backlog.skip(1000)
    backlog.push(pcm(0, RATE))
    assert backlog.dropped == 0
    assert backlog.entries == 5


@pytest.mark.parametrize("answered", [True, False])
def test_a_mark_stays_until_it_is_answered(answered: bool) -> None:
    backlog = Backlog(1, RATE)
    backlog.push(pcm(0, 800))
    token = backlog.drain()
    taken(backlog)
    backlog.commit(800)
    if answered:
        backlog.drained(token)
    backlog.rewind()
    assert kinds(backlog) == ([] if answered else [Kind.DRAIN])


class Survival(RuleBasedStateMachine):
    """An engine that hears, commits itself and dies at any moment. It must hear every sample, where it was said."""

    def __init__(self) -> None:
        super().__init__()
        self.backlog = Backlog(1, RATE)
        self.said: dict[int, bytes] = {}
        self.end = 0
        self.open = False
        self.at = 0
        self.told = 0

    @rule(samples=st.integers(0, 9000))
    def push(self, samples: int) -> None:
        data = pcm(self.end, samples)
        for n in range(samples):
            self.said[self.end + n] = data[2 * n : 2 * n + 2]
        self.end += samples
        self.backlog.push(data)

    @rule(ms=st.integers(0, 3000))
    def skip(self, ms: int) -> None:
        self.end += ms * 8
        self.backlog.skip(ms)

    @rule()
    def finish(self) -> None:
        self.backlog.finish()

    @rule(count=st.integers(1, 9))
    def hear(self, count: int) -> None:
        if not self.open:
            self.open, self.at = True, self.backlog.start
            assert self.at >= self.told
            assert not any(self.told <= place < self.at for place in self.said)
        for _ in range(count):
            data = self.backlog.take()
            if data is None:
                return
            (frame,) = FrameReader().feed(data)
            if frame.kind is Kind.SKIP:
                length = int.from_bytes(frame.payload, "big")
                assert not any(place in self.said for place in range(self.at, self.at + length))
                self.at += length
            elif frame.kind is Kind.AUDIO:
                length = len(frame.payload) // 2
                assert frame.payload == b"".join(self.said[self.at + n] for n in range(length))
                self.at += length

    @rule(share=st.floats(0, 1))
    def commit(self, share: float) -> None:
        if self.open:
            self.told += round(share * (self.at - self.told))
            self.backlog.commit(self.told)

    @rule()
    def die(self) -> None:
        # An engine that never commits itself is another matter.
        self.backlog._strikes = 0
        self.open = False
        self.backlog.rewind()

    @invariant()
    def accounts(self) -> None:
        audio = [e for e in (*self.backlog._sent, *self.backlog._waiting) if e.kind is Kind.AUDIO]
        assert sum(e.end - e.start for e in audio) == self.backlog._flying + self.backlog._unsent
        assert self.backlog.dropped == 0 or self.end > KEEP_MS * 8


TestSurvival = Survival.TestCase
