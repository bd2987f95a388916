import pytest

from kallglot.clock import FakeClock
from kallglot.speech.remote.breaker import Breaker
from kallglot.speech.remote.config import BreakerLimits
from kallglot.speech.remote.errors import RemoteError
from kallglot.speech.types import EngineError

LIMITS = BreakerLimits(failures_in_a_row=3, window=10, failure_rate=0.5, open_s=10, longest_s=30, refused_s=300)
FAILED = RemoteError("acme failed: 500")


class Case:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.breaker = Breaker("acme", LIMITS, self.clock.monotonic)

    def fail(self, error: EngineError = FAILED, times: int = 1) -> None:
        for _ in range(times):
            with pytest.raises(EngineError), self.breaker.attempt():
                raise error

    def succeed(self) -> None:
        with self.breaker.attempt():
            pass

    def refused(self) -> EngineError:
        with pytest.raises(EngineError) as caught:
            self.breaker.attempt()
        return caught.value


@pytest.fixture
def case() -> Case:
    return Case()


def test_opens_after_failures_in_a_row(case: Case) -> None:
    case.fail(times=2)
    case.succeed()
    case.fail(times=2)
    assert case.breaker.state == "closed"
    case.fail()
    assert case.breaker.state == "open"
    assert not case.breaker.healthy
    refused = case.refused()
    assert str(refused) == "acme is not asked for now: acme failed: 500"
    assert refused.passing
    assert refused.retry_after_s == 10


def test_opens_when_too_many_fail(case: Case) -> None:
    for _ in range(4):
        case.fail(times=1)
        case.succeed()
    assert case.breaker.state == "closed"
    case.fail(times=2)
    assert case.breaker.state == "open"


def test_one_on_trial_decides(case: Case) -> None:
    case.fail(times=3)
    case.clock.advance(10)
    assert case.breaker.state == "half-open"
    assert case.breaker.healthy
    with case.breaker.attempt():
        case.refused()
    assert case.breaker.state == "closed"


def test_a_failed_trial_waits_longer_up_to_a_bound(case: Case) -> None:
    case.fail(times=3)
    for wait_s in (10, 20, 30, 30):
        case.clock.advance(wait_s - 0.1)
        assert case.breaker.state == "open"
        case.clock.advance(0.1)
        case.fail()
    case.clock.advance(30)
    case.succeed()
    case.fail(times=3)
    assert case.refused().retry_after_s == 10


def test_a_trial_that_is_cut_off_lets_another_try(case: Case) -> None:
    case.fail(times=3)
    case.clock.advance(10)
    with pytest.raises(KeyboardInterrupt), case.breaker.attempt():
        raise KeyboardInterrupt
    case.succeed()
    assert case.breaker.state == "closed"


def test_retry_after_is_kept_to(case: Case) -> None:
    case.fail(RemoteError("429", retry_after_s=25.0))
    assert case.refused().retry_after_s == 25
    case.clock.advance(25)
    case.fail(RemoteError("429", retry_after_s=3600.0))
    assert case.refused().retry_after_s == LIMITS.longest_s


def test_a_refused_key_opens_for_long_and_is_not_passing(case: Case) -> None:
    case.fail(RemoteError("401", blame="key"))
    assert not case.refused().passing
    case.clock.advance(299)
    assert not case.breaker.healthy
    case.clock.advance(1)
    assert case.breaker.healthy


def test_a_bad_request_says_nothing_about_the_next(case: Case) -> None:
    case.fail(RemoteError("400", blame="request"), times=20)
    assert case.breaker.state == "closed"
    case.fail(times=3)
    case.clock.advance(10)
    case.fail(RemoteError("400", blame="request"))
    assert case.breaker.state == "half-open"
    case.succeed()


def test_what_worked_and_then_broke_counts(case: Case) -> None:
    def begin_and_break() -> None:
        with case.breaker.attempt() as attempt:
            attempt.well()
            raise FAILED

    for _ in range(3):
        with pytest.raises(EngineError):
            begin_and_break()
    assert case.breaker.state == "closed"
    for _ in range(7):
        with pytest.raises(EngineError):
            begin_and_break()
    assert case.breaker.state == "open"


def test_a_failure_beside_the_trial_lets_no_second_one_try(case: Case) -> None:
    case.fail(times=3)
    case.clock.advance(10)
    with case.breaker.attempt():
        with pytest.raises(EngineError), case.breaker.anyway():
            raise FAILED
        case.clock.advance(30)
        assert case.breaker.state == "half-open"
        case.refused()


def test_a_success_from_before_it_opened_does_not_close_it(case: Case) -> None:
    with case.breaker.attempt():
        case.fail(RemoteError("401", blame="key"))
    assert case.breaker.state == "open"
    case.clock.advance(300)
    case.succeed()
    assert case.breaker.state == "closed"
