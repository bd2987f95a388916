import pytest

from kallglot.speech.engines.decoding import without_loops


@pytest.mark.parametrize(
    ("heard", "said"),
    [
        (
            "even in the middle of the middle of the middle of the middle of the middle of a",
            "even in the middle of a",
        ),
        ("However,, do", "However, do"),
        ("a b a b a b a b c", "a b c"),
    ],
)
def test_a_phrase_that_the_decoder_loops_on_is_said_once(heard: str, said: str) -> None:
    assert without_loops(heard) == said


@pytest.mark.parametrize(
    "text",
    [
        "five five five five five five",
        "5 5 5 5 5 5 5 5 5",
        "no no no no no no no no",
        "bye bye, bye bye, bye bye",
        "one two one two one two",
        "",
    ],
)
def test_what_people_repeat_is_kept(text: str) -> None:
    assert without_loops(text) == text
