"""What is made without a model: telling, the same every time, and honest about what it does not know."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.analysis.conversations import ENGLISH, GERMAN, SPANISH, conversation, turn, turns

from kallglot.analysis import words
from kallglot.analysis.extractive import Order, read
from kallglot.analysis.keywords import MOST, keywords
from kallglot.analysis.lexicon import LANGUAGES, lexicon
from kallglot.analysis.model import PARTS
from kallglot.analysis.pieces import LONGEST_TURN, MOST_PIECES, PIECE_CHARACTERS, cut
from kallglot.analysis.sentiment import sentiment
from kallglot.analysis.spoken import Conversation, Version, reading_language
from kallglot.analysis.summary import MOST_CHARACTERS, summary


@pytest.mark.parametrize(
    ("written", "language", "reason", "outcome", "subjects"),
    [
        (
            ENGLISH,
            "en",
            "My internet has been down",
            "I will book a technician",
            {"router", "internet", "street cabinet"},
        ),
        (GERMAN, "de", "ein Sofa bestellt", "die Lieferung für Donnerstag", {"Sofa", "Lieferung", "Lieferkosten"}),
        (SPANISH, "es", "cambiar la fecha de mi vuelo", "treinta euros por el vuelo", {"vuelo", "Lisboa", "viernes"}),
    ],
)
def test_a_summary_has_the_reason_and_the_outcome(
    written: str, language: str, reason: str, outcome: str, subjects: set[str]
) -> None:
    said = turns(written, language)
    made = summary(said, language)
    assert f"Customer ({'0:06' if language == 'es' else '0:08'}): “" in made
    assert reason in made.split("\n")[1], "first what the customer called for"
    assert outcome in made
    assert "picked by counting words" in made.split("\n")[0], "it says what it is"
    found = {one["keyword"] for one in keywords(said, language)}
    assert subjects <= found, found


@pytest.mark.parametrize("written", [ENGLISH, GERMAN, SPANISH])
def test_a_summary_says_only_what_was_said(written: str) -> None:
    language = {ENGLISH: "en", GERMAN: "de", SPANISH: "es"}[written]
    lines = summary(turns(written, language), language).split("\n")[1:]
    assert len(lines) >= 3
    flat = " ".join(written.split())
    assert all(line.partition("“")[2].rstrip("”") in flat for line in lines)


def test_the_same_conversation_gives_the_same_analysis() -> None:
    order = Order(conversation(ENGLISH, "en"), PARTS)
    assert read(order) == read(order)


def test_sentiment_turns_with_the_conversation_and_says_how_it_was_found() -> None:
    found = sentiment(turns(ENGLISH, "en"))
    assert "more positive in the second half" in found["customer"]
    assert "disappointed" in found["customer"]
    assert "word lists" in found["customer"]
    assert found["agent"].startswith("Neutral."), "naming the fault is not being negative"


@pytest.mark.parametrize(
    ("language", "good", "bad", "turned"),
    [
        ("en", "Great, wonderful, I am happy.", "Terrible, I am angry.", "This is not good, not helpful at all."),
        (
            "de",
            "Wunderbar, ich bin sehr zufrieden.",
            "Furchtbar, ich bin wütend.",
            "Das ist nicht gut, nicht hilfreich.",
        ),
        ("es", "Excelente, estoy muy contento.", "Terrible, estoy furioso.", "No es buena, no es útil, nada perfecto."),
        ("fr", "Parfait, je suis ravi.", "Horrible, je suis furieux.", "Ce n'est pas utile, pas parfait."),
    ],
)
def test_words_that_please_and_words_that_do_not(language: str, good: str, bad: str, turned: str) -> None:
    for said, expected in ((good, "Positive."), (bad, "Negative."), (turned, "Negative.")):
        found = sentiment([turn("customer", 0, 900, said, language=language)])["customer"]
        assert found.startswith(expected), (said, found)


def test_greetings_are_not_feelings() -> None:
    for language, said in (("en", "Good morning"), ("de", "Guten Tag"), ("es", "Buenos días"), ("fr", "Bonne journée")):
        found = sentiment([turn("agent", 0, 900, f"{said}. {said}.", language=language)])["agent"]
        assert "0 positive" in found, found


def test_a_language_that_is_not_known_is_not_guessed_at() -> None:
    polish = tuple(
        turn("customer", n * 1000, n * 1000 + 900, "Dzień dobry, mam problem.", language="pl") for n in range(3)
    )
    made = read(Order(Conversation(polish, {"customer": "pl"}), PARTS)).parts
    assert made["sentiment"]["customer"].startswith("Not assessed: the customer spoke Polish")
    assert made["sentiment"]["agent"] == "The agent said nothing."
    assert "No extract" in made["summary"]
    assert made["keywords"] == []
    assert made["performance"]["turns"] == {"customer": 3, "agent": 0}


def test_a_translation_is_read_where_the_language_is_not_known() -> None:
    said = [
        turn(
            "customer",
            n * 2000,
            n * 2000 + 900,
            "Mój router nie działa",
            language="pl",
            translations=(Version("en", f"My router is broken and I am angry, attempt {n}."),),
        )
        for n in range(3)
    ]
    made = read(Order(Conversation(tuple(said), {"agent": "en"}), PARTS)).parts
    assert "My router is broken" in made["summary"]
    assert made["sentiment"]["customer"].startswith("Negative.")
    assert "router" in {one["keyword"] for one in made["keywords"]}


def test_most_is_read_in_the_language_that_most_can_be_read_in_else_the_agents() -> None:
    german = turn("customer", 0, 900, "Guten Tag", translations=(Version("en", "Hello"),))
    english = turn("agent", 1000, 1900, "Hello", language="en-US", translations=(Version("de", "Hallo"),))
    alone = turn("agent", 2000, 2900, "Without a translation", language="en")
    roles = {"customer": "de", "agent": "de-AT"}
    assert reading_language(Conversation((german, english), roles), words.LANGUAGES) == "de"
    assert reading_language(Conversation((german, english, alone), roles), words.LANGUAGES) == "en"
    assert reading_language(Conversation((), roles), words.LANGUAGES) is None


def test_nobody_said_anything() -> None:
    made = read(Order(Conversation(()), PARTS, pieces=True))
    assert made.parts["summary"] == "Nobody said anything."
    assert made.parts["sentiment"] == {"customer": "The customer said nothing.", "agent": "The agent said nothing."}
    assert made.pieces is not None
    assert made.pieces.texts == ()


@given(st.lists(st.text(max_size=300), max_size=12), st.sampled_from(sorted(words.LANGUAGES)))
def test_whatever_is_said_results_are_bounded(said: list[str], language: str) -> None:
    some = tuple(
        turn("agent" if n % 2 else "customer", n * 1000, n * 1000 + 900, text, language=language, number=n + 1)
        for n, text in enumerate(said)
    )
    made = read(Order(Conversation(some, {}), PARTS, pieces=True))
    assert len(made.parts["summary"]) < MOST_CHARACTERS + 600
    assert len(made.parts["keywords"]) <= MOST
    assert all(len(text) < 1000 for text in made.parts["sentiment"].values())
    assert made.pieces is not None
    assert all("\n" not in line or line for text in made.pieces.texts for line in text.split("\n"))


def test_lists_of_words_do_not_contradict_themselves() -> None:
    assert LANGUAGES <= words.LANGUAGES
    for language in LANGUAGES:
        known = lexicon(language)
        both = [word for word in known.positive if known.polarity(word, "customer") != 1]
        assert not both, (language, both)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Eins. Zwei! Drei?", ["Eins.", "Zwei!", "Drei?"]),
        ("ohne Punkt", ["ohne Punkt"]),
        ("Es kostet 4.50 Euro. Gut.", ["Es kostet 4.50 Euro.", "Gut."]),
        ("a\nb   c", ["a b c"]),
        ("...", []),
        ("", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert words.sentences(text) == expected


def test_folding_takes_accents_from_latin_letters_only() -> None:
    assert words.folded("Größe") == "grosse"
    assert words.folded("Él y Ñandú") == "el y nandu"
    assert words.folded("Йод") == "йод"


def test_pieces_are_whole_lines_and_bounded() -> None:
    many = [turn("agent", n * 1000, n * 1000 + 900, f"Satz {n}\n\x00" + "w" * 200) for n in range(500)]
    found = cut(many)
    assert len(found.texts) > 1
    assert found.left_out == 0
    assert max(len(text) for text in found.texts) <= PIECE_CHARACTERS
    lines = [line for text in found.texts for line in text.split("\n")]
    assert len(lines) == 500
    assert lines[61].startswith("[1:01] agent (de): Satz 61 w")
    huge = cut([turn("agent", n, n + 1, "w" * 9000) for n in range(MOST_PIECES * 10)])
    assert len(huge.texts) == MOST_PIECES
    assert huge.left_out > LONGEST_TURN
