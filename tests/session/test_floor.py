from kallglot.session.floor import Floor


def test_a_speaker_who_stopped_has_the_floor_until_everyone_has_heard() -> None:
    floor = Floor()
    assert floor.speaks("c", True) == []
    assert floor.begin("c", "t1", "a") == []
    assert floor.begin("c", "t1", "b") == []
    assert floor.speaks("c", False) == ["c"]
    assert floor.taken("c")
    assert floor.listeners("c") == {"a", "b"}
    assert floor.end("t1", "a") == []
    assert floor.end("t1", "b") == ["c"]
    assert not floor.taken("c")


def test_speaking_on_gives_no_signal() -> None:
    floor = Floor()
    floor.begin("c", "t1", "a")
    assert floor.speaks("c", True) == ["c"]
    assert floor.speaks("c", False) == ["c"]


def test_what_ends_twice_or_never_began_is_nothing() -> None:
    floor = Floor()
    assert floor.end("t1", "a") == []
    floor.begin("c", "t1", "a")
    assert floor.end("t1", "a") == ["c"]
    assert floor.end("t1", "a") == []
