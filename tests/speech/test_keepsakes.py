import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.speech.steps import counted

from kallglot.speech import keepsakes as module
from kallglot.speech.keepsakes import keepsakes, missing, spans


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Write to Bob.Smith+x@example.org, thanks.", ["Bob.Smith+x@example.org"]),
        (
            "See https://example.org/a/b?c=1&d=2. Or www.kallglot.com!",
            ["https://example.org/a/b?c=1&d=2", "www.kallglot.com"],
        ),
        ("It is on my.kallglot.com/help, e.g. here.", ["my.kallglot.com/help"]),
        ("It costs $1,234.50 or 1.234,50 € plus 19 %.", ["$1,234.50", "1.234,50 €", "19 %"]),
        ("At 10:30 on 2024-05-03, the 3rd of May, 5/3/24.", ["10:30", "2024-05-03", "3rd", "5/3/24"]),
        ("Call +49 30 1234567. 12 of us, (030) 123-4567.", ["+49 30 1234567", "12", "(030) 123-4567"]),
        ("1 234 567 people, 5kg, at 10am, 555 1234", ["1 234 567", "5kg", "10am", "555", "1234"]),
        ("Order AB-1234, code 4F7 K2, ref x9z, ab-77.", ["AB-1234", "4F7 K2", "x9z", "ab-77"]),
        ("Flight LH 400 for USD 500 with a 3-year plan", ["LH 400", "500", "3"]),
        ("COVID-19 v1.2.3", ["COVID-19", "v1.2.3"]),
        ("My name is Anna Kowalski and I called.", ["Anna Kowalski"]),
        ("my name is Anna I need help", ["Anna"]),
        ("This is John Smith speaking. This is Great.", ["John Smith"]),
        ("Mr. Smith, Mrs O'Neil's dog, Dr Who; I miss London.", ["Smith", "O'Neil", "Who"]),
        (
            "Mein Name ist Schmidt, ich heiße Anna von Berg, Herr Müller Ihre Rechnung",
            ["Schmidt", "Anna von Berg", "Müller"],
        ),
        ("me llamo María de la Cruz y la señora García López", ["María de la Cruz", "García López"]),
        ("Mi nombre es Ana. Je m'appelle Jean-Pierre.", ["Ana", "Jean-Pierre"]),
        ("Nothing to keep here, my name is secret and Mr is a title.", []),
        ("", []),
    ],
)
def test_what_is_kept(text: str, kept: list[str]) -> None:
    assert keepsakes(text) == kept
    assert missing(kept, text) == []


def test_given_names() -> None:
    names = ["Kallglot", "Mark", "Anna", "Anna Maria", " ", "C++"]
    text = "mark my words, Mark: KALLGLOT knows Anna Maria, Annabel and Anna. C++!"
    assert keepsakes(text, names) == ["Mark", "KALLGLOT", "Anna Maria", "Anna", "C++"]
    assert keepsakes("Mail anna@kallglot.com", ["Kallglot"]) == ["anna@kallglot.com"]


@pytest.mark.parametrize(
    ("piece", "translation"),
    [
        ("1,234.50", "Son 1.234,50."),
        ("1,000", "1000 euros"),
        ("$50", "50 dólares"),
        ("50 %", "el 50% de"),
        ("10am", "a las 10"),
        ("3rd", "el 3 de mayo"),
        ("+49 30 1234567", "+49301234567"),
        ("AB-1234", "pedido ab 1234."),
        ("4F7 K2", "(4F7K2)"),
        ("bob@example.org", "BOB@example.org."),
        ("Anna Kowalski", "anna  kowalski's"),
        ("Müller", "Señor MÜLLER,"),
        ("?", ""),
    ],
)
def test_what_survived(piece: str, translation: str) -> None:
    assert missing([piece], translation) == []


@pytest.mark.parametrize(
    ("piece", "translation"),
    [
        ("1,234.50", "1.234,51"),
        ("1000", "10000 or 11,000 or 1,000.5"),
        ("234", "1,234"),
        ("AB-1234", "AB-1235, AB-12345"),
        ("bob@example.org", "bob @ example.org, abob@example.org.uk-x, jim-bob@example.org"),
        ("Anna", "Annabel, Hanna"),
        ("https://a.de/x", "https://a.de/"),
        ("5", ""),
    ],
)
def test_what_did_not(piece: str, translation: str) -> None:
    assert missing([piece], translation) == [piece]


def test_what_is_said_twice_is_kept_twice() -> None:
    assert missing(["2", "tea", "2", "2"], "2 coffees and tea for 2") == ["2"]


PIECES = st.sampled_from("1 23 456 7890 + - . , : / ( ) ' € % AB a1 Mr Anna kg @ x.de www. LH https:// é".split(" "))


@given(st.lists(st.one_of(PIECES, st.just(" "), st.text(max_size=3)), max_size=20).map("".join))
def test_everything_is_in_the_text_itself(text: str) -> None:
    assert missing(keepsakes(text, ["Anna", "LH", "1"]), text) == []
    places = [0, *(place for span in spans(text) for place in span), len(text)]
    assert places == sorted(places)


@pytest.mark.parametrize("piece", ["a.", "1 ", "1-", "a@", "www.", "A1", "Mr A ", "a-", "(", "+1 (", "_"])
def test_hostile_text_is_no_more_work_than_it_is_long(piece: str) -> None:
    def work(length: int) -> int:
        text = (piece * length)[:length]
        with counted(module) as steps:
            missing(keepsakes(text)[:50], text)
        return steps.taken

    assert work(800) < 2.2 * work(400), "what grows with the square is four times as much"


def test_a_text_of_digits_takes_no_time_and_keeps_nothing() -> None:
    assert keepsakes("1" * 4000) == []
    assert missing(["1" * 4000], "nothing") == []
