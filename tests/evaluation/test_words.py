"""Texts made comparable."""

import pytest

from kallglot.evaluation.words import normalise


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Well, hello—World!", "well hello world"),
        ("It's 25 to 30 years", "it's twenty five to thirty years"),
        ("In 1961, 20,345 people", "in nineteen sixty one twenty thousand three hundred forty five people"),
        ("agent 007: OK?", "agent zero zero seven okay"),
        ("3.5% of the 2nd", "three point five per cent of the second"),
        ("", ""),
        ("🙂 …", ""),
    ],
)
def test_english(text: str, words: str) -> None:
    assert normalise(text) == words


@pytest.mark.parametrize(
    ("text", "language", "words"),
    [
        ("Grüße, aus STRASSE!", "de", "grüsse aus strasse"),
        ("Straße", "de-AT", "strasse"),
        ("¿Qué tal? 20 años", "es", "qué tal 20 años"),
        ("l’Amérique, c'est 'ça'", "fr", "l'amérique c'est ça"),
        ("привет, мир", "ru", "привет мир"),
        ("नमस्ते दुनिया", "hi", "नमस्ते दुनिया"),
        ("今日は、雨。", "ja", "今 日 は 雨"),
    ],
)
def test_other_languages(text: str, language: str, words: str) -> None:
    assert normalise(text, language) == words


def test_both_ways_of_writing_an_accent_are_the_same() -> None:
    assert normalise("cafe\u0301", "fr") == normalise("café", "fr")
