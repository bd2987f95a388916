import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kallglot.speech.terms import Terms

LISTED = [
    "Kallglot",
    "Müller GmbH",
    "Twilio",
    "Siemens",
    "Anna",
    "iPhone",
    "New York",
    "Deutsche Bahn",
    "H&M",
    "García",
]
TERMS = Terms(LISTED)

ORDINARY = """
I call a lot, and I call you back. Can a new worker phone me at work? I phone my mother every day; my phone is new.
If one comes, I phone.
An a is a letter, and a banana is not. The new yoke was heavy. We sat in a new fork of the road until twilight.
Seamen's tales, semesters and seasons. Call Lot and his wife. It will you know, till you owe me. The call got dropped.
She called Glenn and Hannah. Ana and Hanna are friends. A siren means danger. Well, I owe twenty dollars to Will.
Please cancel my order, because the parcel never came. The garage is closed. Grass is green. What is a guard seeing?
Sie meinen es gut. Wir fahren mit der Deutschen Bank nicht, sie ist eine Bank. Die deutsche Bahnhofsuhr geht nach.
Die Mühle mahlt. Der Müll ist weg, und die Mühle kommt mit. Sieben Männer, sieben Samen, sie mein's. Kann er kommen?
Ich rufe an, na ja, an einem neuen Tag. Neu war das nicht. Am Telefon sagte er, er habe kein Phon gehört. Kalt, glatt.
Das Kalb glotzt. Kahl, klug und glücklich. Ein neuer Jork. Wie viel, wie oft? Zwilling und Zwilich. Hm, ja.
"""


@pytest.mark.parametrize(
    ("heard", "meant"),
    [
        ("call glot is great", "Kallglot is great"),
        ("kallglot", "Kallglot"),
        ("I use Call Glott.", "I use Kallglot."),
        ("(twillio), CALLGLOT's", "(Twilio), Kallglot's"),
        ("Is it twilio? Tvilio!", "Is it Twilio? Twilio!"),
        ("mueller gmbh, Muller  GMBH; miller gmbh", "Müller GmbH, Müller GmbH; Müller GmbH"),
        ("Mu\u0308ller gmbh", "Müller GmbH"),
        ("in new york, by  simens", "in New York, by  Siemens"),
        ("die deutsche bahn und h & m", "die Deutsche Bahn und H&M"),
        ("anna, ana and an na", "Anna, ana and an na"),
        ("my iphone and I-phone garcia", "my iPhone and I-phone García"),
        ("info@kallglot.com or https://kallglot.com", "info@kallglot.com or https://kallglot.com"),
        ("call. glot and new, york", "call. glot and new, york"),
    ],
)
def test_what_sounds_like_a_term_becomes_it(heard: str, meant: str) -> None:
    assert TERMS.correct(heard) == meant


def test_ordinary_text_stays() -> None:
    assert TERMS.correct(ORDINARY) == ORDINARY


def test_the_longest_term_wins_and_none_overlap() -> None:
    terms = Terms(["York", "New York", "New York Times", "Times Square"])
    assert terms.correct("the new york times square in new york") == "the New York Times square in New York"


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        (["iPhone 15"], "iphone 16"),
        (["Deutsche Bahn"], "Deutsche Bank"),
        (["Maria"], "Marie and Mario"),
        (["Rosa"], "rose rows"),
        (["C++", "?", "", "  ", "x"], "c++ and x?"),
        ([], "anything"),
    ],
)
def test_what_is_something_else_stays(terms: list[str], text: str) -> None:
    assert Terms(terms).correct(text) == text


def test_a_growing_text_changes_only_where_the_term_is() -> None:
    words = "well i want to talk to mueller gmbh about the call glot account please".split()
    partials = [TERMS.correct(" ".join(words[:count])) for count in range(len(words) + 1)]
    assert partials[-1] == "well i want to talk to Müller GmbH about the Kallglot account please"
    assert partials[7] == "well i want to talk to mueller"
    assert partials[11] == "well i want to talk to Müller GmbH about the call"
    assert partials[12] == "well i want to talk to Müller GmbH about the Kallglot"


PIECES = st.sampled_from(
    "call glot kallglot New york YORK yorc twilio müller gmbh h & m anna . , - ' ’ a I phone 1 ß ü u\u0308 _ \n".split(
        " "
    )
)


@given(st.lists(st.one_of(PIECES, st.text(max_size=6)), max_size=20), st.sampled_from(["", " ", "-"]))
def test_twice_is_once(pieces: list[str], between: str) -> None:
    once = TERMS.correct(between.join(pieces))
    assert TERMS.correct(once) == once


@given(st.lists(st.text("anNeä 1-&'", max_size=8), max_size=6), st.text("anNeäw 1-&',.", max_size=40))
def test_twice_is_once_whatever_the_terms(terms: list[str], text: str) -> None:
    corrected = Terms(terms)
    once = corrected.correct(text)
    assert corrected.correct(once) == once


def test_an_utterance_takes_little_time() -> None:
    terms = Terms(
        [*LISTED, *"Salesforce Zendesk Kubernetes Grafana Postgres Vodafone Lufthansa Stripe Klarna Adyen".split()]
    )
    text = "hello this is anna from call glot and i would like to ask about the simens invoice of last month please"
    began = time.perf_counter()
    terms.correct(text)
    assert time.perf_counter() - began < 0.02
    large = Terms([f"Kall{chr(97 + n % 26)}gl{chr(97 + n // 26)}t Ltd" for n in range(100)])
    began = time.perf_counter()
    large.correct(("call a glot of things, kalligraphy and kaleidoscopes " * 80)[:4000])
    large.correct("k" * 4000)
    assert time.perf_counter() - began < 1
