"""The search over texts that grow together, on chances that are written down here."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from kallglot.speech.engines.beam import Beam, Text

END = 0
A, B, C = 1, 2, 3

Language = Mapping[tuple[int, ...], tuple[float, ...]]
"""What follows a text: the probabilities of END, A, B and C."""

GARDEN_PATH: Language = {
    (): (0.0, 0.6, 0.4, 0.0),
    (A,): (0.1, 0.3, 0.3, 0.3),
    (B,): (0.05, 0.0, 0.0, 0.95),
    (B, C): (1.0, 0.0, 0.0, 0.0),
}
"""A begins better and B ends better."""


def searched(language: Language, width: int, most: int = 8) -> tuple[Text, list[int]]:
    """What was found, and with how many rows each step was made."""
    beam = Beam(width, END, most)
    rows: list[int] = []
    state = np.zeros(1, object)
    state[0] = ()
    while not beam.over:
        state = state[beam.rows]
        for at, text in enumerate(beam.texts):
            if text.tokens:
                state[at] = (*state[at], text.tokens[-1])
            assert state[at] == text.tokens
        rows.append(len(beam.texts))
        told = [language.get(text.tokens, (0.7, 0.1, 0.1, 0.1)) for text in beam.texts]
        beam.take(np.log(np.maximum(told, 1e-30)).astype(np.float32))
    return beam.best, rows


def test_the_narrowest_takes_the_likeliest_token_each_time() -> None:
    best, rows = searched(GARDEN_PATH, 1)
    assert best.tokens[0] == A
    assert set(rows) == {1}


def test_a_wider_one_does_not_stay_on_the_garden_path() -> None:
    best, _ = searched(GARDEN_PATH, 3)
    assert best.tokens == (B, C)
    assert best.chance == pytest.approx(np.log(0.4 * 0.95), abs=1e-5)
    assert best.mean == pytest.approx(np.log(0.4 * 0.95) / 3, abs=1e-5)


def test_what_is_not_near_the_best_costs_no_row() -> None:
    sure: Language = {tuple([A] * count): (0.001, 0.997, 0.001, 0.001) for count in range(5)}
    best, rows = searched({**sure, (A,) * 5: (1.0, 0.0, 0.0, 0.0)}, 4)
    assert best.tokens == (A,) * 5
    assert rows == [1] * 6


def test_rows_say_which_text_each_goes_on_from() -> None:
    beam = Beam(2, END, 8)
    beam.take(np.log(np.array([[0.02, 0.5, 0.4, 0.08]], np.float32)))
    assert [text.tokens for text in beam.texts] == [(A,), (B,)]
    assert beam.rows == [0, 0]
    beam.take(np.log(np.array([[0.1, 0.1, 0.1, 0.1], [0.02, 0.48, 0.02, 0.48]], np.float32)))
    assert {text.tokens for text in beam.texts} == {(B, A), (B, C)}
    assert beam.rows == [1, 1]


def test_a_text_that_ended_early_does_not_win_by_being_short() -> None:
    language: Language = {(): (0.3, 0.7, 0.0, 0.0), (A,): (0.0, 0.0, 0.9, 0.1), (A, B): (0.9, 0.0, 0.0, 0.1)}
    assert searched(language, 4)[0].tokens == (A, B)


def test_those_that_ended_take_nobodys_place() -> None:
    beam = Beam(2, END, 20)
    for _ in range(9):
        beam.take(np.log(np.array([[0.4, 0.45, 0.1, 0.05]] * len(beam.texts), np.float32)))
        assert len(beam.texts) == 2


def test_what_does_not_end_is_ended() -> None:
    forever: Language = {tuple([A] * count): (0.0, 1.0, 0.0, 0.0) for count in range(50)}
    best, rows = searched(forever, 4, most=12)
    assert best.tokens == (A,) * 12
    assert len(rows) == 12


def test_nothing_is_a_text() -> None:
    assert searched({(): (0.99, 0.01, 0.0, 0.0)}, 4)[0].tokens == ()


@pytest.mark.parametrize("width", [1, 4])
def test_what_is_no_number_is_an_error_and_no_endless_search(width: int) -> None:
    beam = Beam(width, END, 8)
    beam.take(np.full((1, 4), np.nan, np.float32))
    assert beam.over
    with pytest.raises(ValueError, match="empty"):
        _ = beam.best


def test_wide_enough_it_finds_the_best_there_is() -> None:
    """Against trying all texts of up to four tokens, on chances that were drawn."""
    draw = np.random.default_rng(7)
    for _ in range(30):
        language = {
            text: tuple(draw.dirichlet((0.3, 1.0, 1.0, 1.0)).tolist())
            for length in range(4)
            for text in np.ndindex(*(3,) * length)
        }
        told = {tuple(token + 1 for token in text): chances for text, chances in language.items()}
        means = {
            text: (sum(np.log(told[text[:at]][token]) for at, token in enumerate(text)) + np.log(chances[0]))
            / (len(text) + 1)
            for text, chances in told.items()
        }
        means |= {
            (*text, token): sum(np.log(told[(*text, token)[:at]][one]) for at, one in enumerate((*text, token))) / 4
            for text in told
            if len(text) == 3
            for token in (A, B, C)
        }
        best, _ = searched(told, 64, most=4)
        assert best.mean == pytest.approx(means[best.tokens], abs=1e-4)
        assert best.mean == pytest.approx(max(means.values()), abs=1e-4)
