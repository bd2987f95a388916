from datetime import UTC, datetime, timedelta

from kallglot.session.model import Translation, Turn, Usage
from kallglot.session.usage import used

START = datetime(2026, 3, 26, 11, 0, tzinfo=UTC)


def turn(start_ms: int, end_ms: int, *languages: str) -> Turn:
    return Turn(
        id=f"t{start_ms}",
        session_id="s",
        sequence=1,
        participant_id="p",
        speaker="customer",
        language="de",
        text="x",
        start_ms=start_ms,
        end_ms=end_ms,
        created_at=START,
        translations=tuple(Translation(language, "y") for language in languages),
    )


def test_a_session_without_audio_used_nothing() -> None:
    assert used(None, START, []) == Usage(0.0, 0.0, 0.0)


def test_session_seconds_run_to_the_last_connected_moment() -> None:
    assert used(START, START + timedelta(seconds=90), []).session_seconds == 90


def test_translated_speech_is_counted_once_however_many_languages_and_speakers() -> None:
    turns = [turn(0, 2000, "en", "fr"), turn(1000, 3000, "de"), turn(5000, 6000), turn(7000, 7500, "en")]
    assert used(START, START + timedelta(seconds=10), turns).translation_seconds == 3.5


def test_a_clock_set_back_never_gives_negative_seconds() -> None:
    assert used(START, START - timedelta(seconds=5), []).session_seconds == 0
