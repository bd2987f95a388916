from kallglot.session.turns import TurnIds


def test_partials_and_final_of_an_utterance_share_an_id() -> None:
    ids = TurnIds()
    first = ids.of_partial(1000)
    assert ids.of_partial(1000) == first
    assert ids.of_final(1000, 2500) == first


def test_a_start_moved_by_the_final_pass_still_finds_its_partials() -> None:
    ids = TurnIds()
    first = ids.of_partial(1000)
    assert ids.of_final(940, 2500) == first


def test_an_utterance_that_began_before_the_last_one_was_final_keeps_its_own_id() -> None:
    ids = TurnIds()
    first, second = ids.of_partial(1000), ids.of_partial(3000)
    assert first != second
    assert ids.of_final(1000, 2500) == first
    assert ids.of_final(3000, 4000) == second


def test_finals_without_partials_get_ids_of_their_own() -> None:
    ids = TurnIds()
    assert ids.of_final(0, 10) != ids.of_final(20, 30)


def test_partials_that_never_became_final_are_forgotten() -> None:
    ids = TurnIds()
    lost = ids.of_partial(1000)
    ids.of_final(5000, 6000)
    assert ids.of_final(1000, 2000) != lost
