from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.session.fakes import CLOCK_START

from kallglot.session.model import Translation, Turn
from kallglot.session.numerals import numerals
from kallglot.session.patterns import compiled
from kallglot.session.redaction import CARD, KEPT_DIGITS, RESUMED_MS, luhn, redaction

CARDS = {"card_numbers": True, "patterns": []}
VISA = "4111111111111111"
UNITS = {
    "en": "zero one two three four five six seven eight nine".split(),
    "de": "null eins zwei drei vier fünf sechs sieben acht neun".split(),
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve".split(),
    "fr": "zéro un deux trois quatre cinq six sept huit neuf".split(),
    "it": "zero uno due tre quattro cinque sei sette otto nove".split(),
    "pt": "zero um dois três quatro cinco seis sete oito nove".split(),
}
DOUBLE = {"en": "double", "de": "doppel", "es": "doble", "fr": "double", "it": "doppio", "pt": "duplo"}


def turn(text: str, language: str | None = "en", *translations: Translation, at: int = 0, who: str = "c") -> Turn:
    return Turn("t", "sess_1", 1, who, "customer", language, text, at, at + 500, CLOCK_START, None, translations)


def masked(text: str, language: str | None = "en", policy: dict[str, Any] = CARDS) -> str:
    return redaction(policy).digits(turn(text, language)).text


def digits_in(text: str, language: str | None) -> str:
    """Every digit that a reader gets out of a text."""
    known = numerals(language)
    found, times = "", 1
    words = "".join(one if one.isalnum() else " " for one in text.replace(CARD, " ").lower()).split()
    for word in words:
        found += (word if word.isdecimal() else known.digits.get((word,), "")) * times
        times = known.times.get(word, 1)
    return found


@st.composite
def pans(draw: st.DrawFn) -> str:
    length = draw(st.integers(13, 19))
    body = draw(st.sampled_from("23456")) + "".join(
        draw(st.lists(st.sampled_from("0123456789"), min_size=length - 2, max_size=length - 2))
    )
    return next(body + last for last in "0123456789" if luhn(body + last))


@st.composite
def worded(draw: st.DrawFn) -> tuple[str, list[str], str]:
    """A card number, the groups in which it is said, in words or digits, and the language."""
    pan = draw(pans())
    language = draw(st.sampled_from(sorted(UNITS)))
    groups: list[str] = []
    at = 0
    while at < len(pan):
        size = draw(st.integers(1, 6))
        group, at = pan[at : at + size], at + size
        style = draw(st.sampled_from(["digits", "words", "doubles"]))
        if style == "digits":
            groups.append(group)
            continue
        said: list[str] = []
        n = 0
        while n < len(group):
            if style == "doubles" and group[n : n + 2] == group[n] * 2:
                said.append(f"{DOUBLE[language]} {UNITS[language][int(group[n])]}")
                n += 2
            else:
                said.append(UNITS[language][int(group[n])])
                n += 1
        groups.append(" ".join(said))
    return pan, groups, language


@given(worded(), st.sampled_from([" ", ", ", "-", " - ", ". "]), st.booleans(), st.booleans())
@example((VISA, ["4111", "1111", "1111", "1111"], "en"), " ", False, False)
def test_a_card_number_in_one_turn_leaves_no_digit(
    said: tuple[str, list[str], str], between: str, before: bool, behind: bool
) -> None:
    _, groups, language = said
    text = ("Hallo: " if before else "") + between.join(groups) + (" – merci" if behind else "")
    found = masked(text, language)
    assert digits_in(found, language) == ""
    assert found == ("Hallo: " if before else "") + CARD + (" – merci" if behind else "")


@given(worded(), st.data())
def test_over_several_turns_at_most_eight_digits_are_kept(
    said: tuple[str, list[str], str], data: st.DataObject
) -> None:
    pan, groups, language = said
    one = redaction(CARDS)
    kept, at = "", 0
    while groups:
        size = data.draw(st.integers(1, len(groups)))
        some, groups = groups[:size], groups[size:]
        kept += digits_in(one.digits(turn(" ".join(some) + ".", language, at=at)).text, language)
        # The other side says something in between.
        one.digits(turn("okay, go on", "en", at=at, who="a"))
        at += data.draw(st.integers(0, RESUMED_MS))
    assert len(kept) <= KEPT_DIGITS
    assert pan.startswith(kept)


@given(worded(), st.integers(1, 40))
def test_a_partial_shows_no_more_than_the_turns(said: tuple[str, list[str], str], cut: int) -> None:
    _, groups, language = said
    shown = redaction(CARDS).partial("c", " ".join(groups)[:cut], language, 0)
    assert shown is not None
    assert len(digits_in(shown, language)) <= KEPT_DIGITS


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Sie erreichen mich unter 030 901820.", "de"),
        ("My number is 415-555-1234", "en"),
        ("My number is (415) 555-1234.", "en"),
        ("+49 30 901820 123", "de"),
        ("0049 30 901820 123", "de"),
        ("Call 4155550199 tomorrow.", "en"),
        ("It was on 2026-03-26 at 11:00.", "en"),
        ("Es war am 26.03.2026, um 14:30 Uhr.", "de"),
        ("The total is 4,500,000.00", "en"),
        ("Das macht 2.349,90 Euro", "de"),
        ("Two of the five were there at six, three at seven.", "en"),
        ("Ich hätte gern ein Zimmer für zwei Personen, drei Nächte", "de"),
        ("uno o dos, no más de tres", "es"),
        ("Order 48213377", "en"),
        ("The tracking number is 4111111111111112 as I said.", "en"),
        ("", "en"),
    ],
)
def test_ordinary_text_stays(text: str, language: str) -> None:
    assert masked(text, language) == text


@pytest.mark.parametrize(
    ("text", "language", "found"),
    [
        ("My card is 4111 1111 1111 1111, thanks", "en", f"My card is {CARD}, thanks"),
        ("forty-one eleven, eleven eleven eleven eleven eleven eleven", "en", CARD),
        ("einundvierzig elf elf elf elf elf elf elf", "de", CARD),
        ("cuarenta y uno once once once once once once once por favor", "es", f"{CARD} por favor"),
        ("four triple one, um, double one double one and then 1111 uh 1111.", "en", f"{CARD}."),
        ("4111 1111 1111 1111 12 27 123", "en", CARD),
        ("٤١١١ ١١١١ ١١١١ ١١١١", "ar", CARD),
        ("4111\u00a01111\u20131111\u200b1111", None, CARD),
        ("4155550199", "en", f"41555501{CARD}"),
        ("4155550199 double", "en", f"41555501{CARD} double"),
        ("either 4111111111111111 or 5500005555555559?", "en", f"either {CARD} or {CARD}?"),
    ],
)
def test_what_becomes_of(text: str, language: str | None, found: str) -> None:
    assert masked(text, language) == found


def test_groups_over_turns() -> None:
    one = redaction(CARDS)
    said = [
        "My number is 4111",
        "1111",
        "mhm",
        "11 11",
        "okay",
        "1111",
        "12 27",
        "and I live at 5 Main Street",
        "12 27",
    ]
    found = [one.digits(turn(text, at=1000 * n)).text for n, text in enumerate(said)]
    assert found[:2] == said[:2]
    # „mhm“ is no filler that is known: the run ends, as with any other word.
    assert found[3:5] == ["11 11", "okay"]
    one = redaction(CARDS)
    said = ["My number is 4111", "1111", "okay", "11 11", "um", "1111", "12 27", "and I live at 5 Main Street", "12 27"]
    found = [one.digits(turn(text, at=1000 * n)).text for n, text in enumerate(said)]
    assert found == [*said[:3], CARD, "um", CARD, CARD, *said[7:]]


def test_digits_that_come_late_begin_anew() -> None:
    one = redaction(CARDS)
    assert one.digits(turn("4111 1111")).text == "4111 1111"
    assert one.digits(turn("1111", at=500 + RESUMED_MS + 1)).text == "1111"


def test_speakers_do_not_mix() -> None:
    one = redaction(CARDS)
    assert one.digits(turn("4111 1111", who="a")).text == "4111 1111"
    assert one.digits(turn("1111 1111", who="b")).text == "1111 1111"


def test_translations_are_masked_with_the_original() -> None:
    garbled = Translation("es", "Mi tarjeta es 4111 1111 1111 1112 gracias")
    found = redaction(CARDS).digits(turn("My card is 4111 1111 1111 1111 thanks", "en", garbled))
    assert found.translations == (Translation("es", f"Mi tarjeta es {CARD} gracias"),)
    own = redaction(CARDS).digits(turn("nothing", "en", Translation("es", "4111 1111 1111 1111")))
    assert own.translations[0].text == CARD


def test_a_session_that_comes_back_goes_on_with_the_run() -> None:
    before = redaction(CARDS)
    kept = [before.digits(turn(text, at=n)) for n, text in enumerate(["It is 4111 1111", "1111"])]
    after = redaction(CARDS)
    after.resume(kept)
    assert after.digits(turn("1111", at=1000)).text == CARD


def test_partials_change_nothing() -> None:
    one = redaction(CARDS)
    for text in ("4111", "4111 1111", "4111 1111 1"):
        one.partial("c", text, "en", 0)
    assert one.partial("c", "4111 1111 11", "en", 0) == f"4111 1111 {CARD}"
    assert one.digits(turn("1111")).text == "1111"


async def test_patterns() -> None:
    policy = {
        "card_numbers": False,
        "patterns": [
            {"name": "customer", "pattern": r"(?i)\bK-\d{6}\b", "replacement": "[customer]"},
            {"name": "street", "pattern": r"\pL+straße \d+", "replacement": r"\1 <&>"},
            {"name": "nothing", "pattern": r"\b", "replacement": "!"},
        ],
    }
    found = await redaction(policy).turn(
        turn("k-123456 wohnt Grünstraße 12", "de", Translation("en", "K-123456 lives"))
    )
    assert found.text == r"[customer] wohnt \1 <&>"
    assert found.translations[0].text == "[customer] lives"
    assert redaction(policy).partial("c", "K-123456", "de", 0) == "[customer]"


@pytest.mark.parametrize("pattern", ["[", "(?=a)b", "(a)\\1", "a{1001}", "((a{100}){100}){100}", "(" * 2000])
def test_patterns_that_are_none(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        compiled(pattern)


@pytest.mark.parametrize("policy", [None, {}, {"card_numbers": False, "patterns": []}])
async def test_without_a_policy_nothing_is_looked_at(policy: dict[str, Any] | None) -> None:
    said = turn(VISA, "en", Translation("de", VISA))
    assert await redaction(policy).turn(said) is said
    assert redaction(policy).partial("c", VISA, "en", 0) is VISA


def test_luhn() -> None:
    assert [luhn(one) for one in (VISA, "5500005555555559", "378282246310005", "4111111111111112")] == [
        True,
        True,
        True,
        False,
    ]
    assert replace(turn("a"), text="b").text == "b"
