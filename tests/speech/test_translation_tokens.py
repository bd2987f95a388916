"""What each family wants around a text, and answers that go on for ever."""

import pytest

from kallglot.speech.engines.translation_tokens import (
    LONGEST_SOURCE,
    Prompt,
    answered,
    family_of,
    longest_answer,
    unlooped,
)


@pytest.mark.parametrize(
    ("name", "options", "shared", "adds_end", "source", "prefix"),
    [
        ("opus-mt", {}, False, False, ["▁a", "</s>"], []),
        ("opus-mt", {}, False, True, ["▁a"], []),
        ("opus-mt", {}, True, False, ["▁a"], []),
        ("opus-mt", {"source_end": True}, True, False, ["▁a", "</s>"], []),
        ("opus-mt", {"target_tokens": {"pt": ">>por<<"}}, False, False, [">>por<<", "▁a", "</s>"], []),
        ("madlad", {}, True, False, ["<2pt>", "▁a", "</s>"], []),
        ("madlad", {"codes": {"pt-BR": "pt_BR"}}, True, False, ["<2pt_BR>", "▁a", "</s>"], []),
        ("m2m100", {}, True, False, ["__de__", "▁a", "</s>"], ["__pt__"]),
    ],
)
def test_prompts(
    name: str, options: dict[str, object], shared: bool, adds_end: bool, source: list[str], prefix: list[str]
) -> None:
    family = family_of(name, options, shared=shared, adds_end=adds_end)
    assert family.prompt(["▁a"], "de-AT", "pt-BR") == Prompt(source, prefix)


def test_a_prompt_is_bounded() -> None:
    family = family_of("m2m100", {}, shared=True, adds_end=False)
    assert len(family.prompt(["▁a"] * 1000, "de", "en").source) == LONGEST_SOURCE + 2


def test_an_answer_is_bounded_by_its_source() -> None:
    assert longest_answer(1) < 30
    assert longest_answer(20) == 76
    assert longest_answer(10_000) == 512


def test_marks_are_no_words() -> None:
    prompt = Prompt(["__de__", "▁a"], ["__en__"])
    assert answered(["__en__", "▁b", "</s>"], prompt) == ["▁b"]
    assert answered(["▁b", "<unk>", "<pad>"], prompt) == ["▁b"]


@pytest.mark.parametrize(
    ("tokens", "source", "expected"),
    [
        ("a b c", "x", "a b c"),
        ("no no no", "nein", "no no no"),
        ("no no no no", "nein", "no"),
        ("no no no no no", "nein nein nein nein nein", "no no no no no"),
        ("w a b a b a b a b c", "x y", "w a b c"),
        ("a a a a b b b b", "x", "a b"),
        ("a b c d e f a b c d e f a b c d e f a b c d e f a b", "x", "a b c d e f a b"),
        ("", "x", ""),
    ],
)
def test_what_is_said_over_and_over_is_said_once(tokens: str, source: str, expected: str) -> None:
    assert unlooped(tokens.split(), source.split()) == expected.split()
