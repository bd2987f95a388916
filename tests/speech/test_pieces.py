"""Where a text is cut for translation and for speech."""

import pytest

from kallglot.speech.engines.pieces import sentences, speaks, spoken


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Guten Tag, Herr Dr. Müller. Wie geht es?", ["Guten Tag, Herr Dr. Müller.", "Wie geht es?"]),
        ("Am 3. Mai kommt z. B. der Zug. Gut so", ["Am 3. Mai kommt z. B. der Zug.", "Gut so"]),
        ("It costs 3.50. He paid.", ["It costs 3.50.", "He paid."]),
        ("Er kam (spät). Dann ging er!", ["Er kam (spät).", "Dann ging er!"]),
        ("Wait… what? No.", ["Wait… what?", "No."]),
        ("你好。我很好！", ["你好。", "我很好！"]),
        ("one\ntwo\n\nthree", ["one", "two", "three"]),
        ("J. Smith left. Why?", ["J. Smith left.", "Why?"]),
        ("", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    pieces = sentences(text, 200)
    assert [piece for piece, _ in pieces] == expected
    assert "".join(piece + space for piece, space in pieces) == text


def test_a_long_sentence_is_cut_and_nothing_is_lost() -> None:
    text = "word " * 100 + "end.  Next one? " + "x" * 70 + "  "
    pieces = sentences(text, 50)
    assert max(len(piece) for piece, _ in pieces) <= 50
    assert "".join(piece + space for piece, space in pieces) == text


def test_something_is_to_be_heard_soon() -> None:
    first = "Vielen Dank für Ihren Anruf, wir haben Ihre Bestellung heute morgen erhalten und verschickt."
    text = f"{first} Auf Wiederhören."
    pieces = spoken(text, 240)
    assert [piece for piece, _ in pieces] == [
        "Vielen Dank für Ihren Anruf,",
        "wir haben Ihre Bestellung heute morgen erhalten und verschickt.",
        "Auf Wiederhören.",
    ]
    assert "".join(piece + space for piece, space in pieces) == text
    assert [piece for piece, _ in spoken("Kurz, und gut.", 240)] == ["Kurz, und gut."]
    assert spoken("", 240) == []


@pytest.mark.parametrize(("piece", "has"), [("12,5 %", False), ("…", False), ("a", True), ("ß", True), ("你", True)])
def test_words(piece: str, has: bool) -> None:
    assert speaks(piece) is has
