from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.carriers.fakehttp import Waits

from kallglot.carriers.attempts import Failed, attempted, presentable, refusal, retry_after
from kallglot.carriers.client import CarrierError

NOW = datetime(2026, 3, 26, 11, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3),
        ("0.5", 0.5),
        ("-1", 0),
        ("Thu, 26 Mar 2026 11:00:07 GMT", 7),
        ("Thu, 26 Mar 2026 10:00:00 GMT", 0),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after({"RETRY-AFTER": value}, NOW) == seconds


def test_no_retry_after() -> None:
    assert retry_after({}) is None


@given(st.text(max_size=30))
def test_any_retry_after(value: str) -> None:
    seconds = retry_after({"Retry-After": value}, NOW)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    ("status", "unclear", "passing"),
    [(400, False, False), (404, False, False), (408, True, True), (429, False, True), (500, True, True)],
)
def test_what_an_answer_means(status: int, unclear: bool, passing: bool) -> None:
    failed = refusal("No.", status, {}, code=None)
    assert (failed.unclear, failed.passing, failed.status) == (unclear, passing, status)


def test_presentable() -> None:
    secrets = ["KEY12345678_abcdefgh", {"id": "shared-secret"}, 7, None, "short"]
    told = "KEY12345678 said\n\x00abcdefgh shared-secret short kst_live_x sk_test_1 " + "x" * 400
    assert presentable(told, secrets).startswith("… said … … short … … xxx")
    assert len(presentable(told, secrets)) == 300


@pytest.mark.parametrize(("repeatable", "runs"), [(True, 3), (False, 1)])
async def test_unclear_failures(repeatable: bool, runs: int) -> None:
    ran = 0

    async def once() -> None:
        nonlocal ran
        ran += 1
        raise Failed("No.", unclear=True, passing=True)

    waits = Waits()
    with pytest.raises(Failed):
        await attempted(once, repeatable=repeatable, sleep=waits)
    assert (ran, len(waits.seconds)) == (runs, runs - 1)


async def test_what_is_no_failure_of_the_network() -> None:
    async def once() -> None:
        raise CarrierError("No.")

    with pytest.raises(CarrierError):
        await attempted(once, repeatable=True, sleep=Waits())
