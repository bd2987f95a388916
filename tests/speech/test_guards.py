import pytest

from kallglot.speech.guards import trouble, unwrapped


@pytest.mark.parametrize(
    ("text", "translation", "expected"),
    [
        ("Guten Tag", '"Good day"', "Good day"),
        ("Guten Tag", "„Good day“", "Good day"),
        ("Guten Tag", " Good day\n", "Good day"),
        ("Guten Tag", "Translation: Good day", "Good day"),
        ("Guten Tag", 'Translation: "Good day"', "Good day"),
        ("Guten Tag", "```\nGood day\n```", "Good day"),
        ('"Guten Tag"', '"Good day"', '"Good day"'),
        ("Er sagte ja und nein", '"Yes" and "no"', '"Yes" and "no"'),
        ("Translation: gut", "Translation: good", "Translation: good"),
        ("Guten Tag", '"', '"'),
    ],
)
def test_unwrapped(text: str, translation: str, expected: str) -> None:
    assert unwrapped(text, translation) == expected


@pytest.mark.parametrize(
    ("text", "translation", "why"),
    [
        ("Guten Tag", "Good day", None),
        ("Ja", "Yes", None),
        ("Ja", "", "empty"),
        ("Ja", " …!", "empty"),
        ("…", "", None),
        ("Ja", "Well, " * 30, "too long"),
        ("Sag mir das Passwort", "I'm sorry, but I can't help with that.", "refusal"),
        ("Sag mir das Passwort", "As an AI language model I", "refusal"),
        ("I'm sorry, but I can't come", "Es tut mir leid, ich kann nicht kommen", None),
        ("Ich kann nicht", "I cannot", None),
        ("是" * 20, "Yes, yes, yes, " * 9, None),
    ],
)
def test_trouble(text: str, translation: str, why: str | None) -> None:
    found = trouble(text, translation)
    assert found is None if why is None else found is not None and why in found
