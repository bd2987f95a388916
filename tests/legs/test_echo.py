from kallglot.legs.echo import MARK_EVERY_MS, MOST_LATE_MS, PlayoutEcho


def play(echo: PlayoutEcho, from_ms: float, ms: int, late_ms: float, lead_ms: float = 400) -> None:
    """Sends as playout does, and returns each mark when a carrier that is ``late_ms`` behind has played so far."""
    marks: list[tuple[float, str]] = []
    for n in range(ms // 20):
        now = from_ms + max(0.0, n * 20 - lead_ms)
        for due, name in [mark for mark in marks if mark[0] <= now]:
            marks.remove((due, name))
            echo.returned(name, due)
        name = echo.sent(now, 20)
        if name is not None:
            marks.append((from_ms + n * 20 + 20 + late_ms, name))
    for due, name in marks:
        echo.returned(name, due)


def test_how_late_the_other_side_hears_is_learned() -> None:
    echo = PlayoutEcho()
    assert echo.late_ms == 0
    play(echo, 0, 20_000, 180)
    assert 170 < echo.late_ms <= 180
    play(echo, 100_000, 20_000, 60)
    assert 60 <= echo.late_ms < 70


def test_marks_follow_half_a_second_of_audio_each() -> None:
    echo = PlayoutEcho()
    names = [name for n in range(100) if (name := echo.sent(n * 20.0, 20)) is not None]
    assert len(names) == len(set(names)) == 2000 / MARK_EVERY_MS


def test_marks_of_what_was_cleared_say_nothing() -> None:
    echo = PlayoutEcho()
    names = [name for n in range(50) if (name := echo.sent(n * 20.0, 20)) is not None]
    echo.cleared(1000)
    assert [echo.returned(name, 1100) for name in names] == [False, False]
    assert echo.late_ms == 0
    assert echo.waiting_ms == 1000


def test_marks_that_are_none_of_ours_or_very_late() -> None:
    echo = PlayoutEcho()
    assert not echo.returned("customer's own", 5)
    for _ in range(30):
        name = next(name for n in range(25) if (name := echo.sent(n * 20.0, 20)) is not None)
        echo.returned(name, 1e9)
    assert echo.late_ms <= MOST_LATE_MS


def test_marks_that_never_come_back_are_not_kept() -> None:
    echo = PlayoutEcho()
    for n in range(50 * 600):
        echo.sent(n * 20.0, 20)
    assert len(echo._out) < 50  # pyright: ignore[reportPrivateUsage]
