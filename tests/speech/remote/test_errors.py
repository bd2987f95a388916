from datetime import UTC, datetime

import pytest

from kallglot.speech.remote.errors import of_status, retry_after

NOW = datetime(2026, 3, 26, 11, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "blame", "passing"),
    [(401, "key", False), (403, "key", False), (402, "key", False), (429, "engine", True), (500, "engine", True),
     (503, "engine", True), (408, "engine", True), (404, "engine", False), (400, "request", False),
     (413, "request", False), (302, "engine", False)],
)  # fmt: skip
def test_whose_fault_a_status_is(status: int, blame: str, passing: bool) -> None:
    error = of_status("acme", status, {}, NOW)
    assert (error.blame, error.passing) == (blame, passing)
    assert str(status) in str(error)
    assert "acme" in str(error)


def test_only_codes_are_quoted() -> None:
    assert str(of_status("acme", 400, {}, NOW, "model_not_found")).endswith("400 (model_not_found)")
    assert str(of_status("acme", 400, {}, NOW, "the key sk-123 is wrong")).endswith("400")
    assert str(of_status("acme", 400, {}, NOW, "x" * 65)).endswith("400")


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("30", 30), ("0.5", 0.5), ("0", 0), ("Thu, 26 Mar 2026 11:01:00 GMT", 60), ("Thu, 26 Mar 2026 10:00:00 GMT", 0),
     ("soon", None), ("", None), ("-5", None), ("1e999", None), ("5x", None)],
)  # fmt: skip
def test_retry_after(given: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": given}, NOW) == seconds
    assert retry_after({}, NOW) is None


def test_a_date_to_wait_for_is_by_the_clock_of_who_names_it() -> None:
    headers = {"retry-after": "Sat, 21 Nov 2026 09:00:30 GMT", "date": "Sat, 21 Nov 2026 09:00:00 GMT"}
    for hours in (-1, 0, 1):
        assert retry_after(headers, datetime(2026, 11, 21, 9 + hours, tzinfo=UTC)) == 30
    headers["date"] = "yesterday"
    assert retry_after(headers, datetime(2026, 11, 21, 9, 0, 10, tzinfo=UTC)) == 20
