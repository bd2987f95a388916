from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.analysis.conversations import ENGLISH, GERMAN, SPANISH, conversation, turn

from kallglot.analysis.compliance import MOST_OF_ONE, compliance
from kallglot.analysis.profiles import Profile, ProfilesError, Rule, load
from kallglot.analysis.spoken import Conversation, Spoken, Version

GREETING = Rule("greeting", "required", "No greeting.", {"de": [r"\bgrüß gott\b", r"\bguten tag\b"]}, within_turns=1)
NEVER = Rule("never", "forbidden", "A promise.", {"de": [r"\bverspreche\b"], "en": [r"\bpromise\b"]}, speaker="any")


def check(turns: list[Spoken], *rules: Rule, recorded: bool = False) -> dict[str, Any]:
    return compliance(Conversation(tuple(turns), {}, recorded), rules)


def codes(found: dict[str, Any]) -> list[str]:
    return [flag["code"] for flag in found["flags"]]


def test_what_was_said_is_not_missing() -> None:
    found = check([turn("agent", 0, 900, "Grüß Gott, Meier.")], GREETING, NEVER)
    assert found == {"status": "ok", "flags": [], "unchecked": []}


@pytest.mark.parametrize("said", ["GUTEN TAG", "gruss gott", "Also guten Tag."])
def test_neither_case_nor_accents_matter(said: str) -> None:
    assert check([turn("agent", 0, 900, said)], GREETING)["status"] == "ok"


def test_what_is_said_too_late_is_missing() -> None:
    found = check([turn("agent", 0, 900, "Ja?"), turn("agent", 2000, 3000, "Guten Tag.")], GREETING)
    assert (found["status"], codes(found)) == ("flagged", ["greeting"])
    assert found["flags"][0] == {
        "code": "greeting",
        "message": "No greeting.",
        "turn_id": None,
        "sequence": None,
        "speaker": None,
        "start_ms": None,
    }


def test_seconds_count_from_the_first_word() -> None:
    rule = Rule("notice", "required", "m", {"de": ["aufgezeichnet"]}, within_seconds=10)
    hello, notice = turn("customer", 5000, 6000), turn("agent", 15_000, 16_000, "Es wird aufgezeichnet.")
    assert check([hello, notice], rule)["status"] == "ok"
    late = turn("agent", 15_001, 16_000, "Es wird aufgezeichnet.")
    assert codes(check([hello, late], rule)) == ["notice"]


def test_a_forbidden_word_is_found_where_it_was_said() -> None:
    said = turn("agent", 1500, 3000, "Das verspreche ich Ihnen.")
    [flag] = check([turn("customer", 0, 900), said], NEVER)["flags"]
    assert (flag["turn_id"], flag["speaker"], flag["start_ms"]) == (said.id, "agent", 1500)


def test_a_translation_stands_in_for_a_language_without_rules_only() -> None:
    polish = turn("agent", 0, 900, "Obiecuję.", language="pl", translations=(Version("en", "I promise."),))
    german = turn("agent", 0, 900, "Das wird so sein.", translations=(Version("en", "I promise it will."),))
    assert codes(check([polish], NEVER)) == ["never"]
    assert codes(check([german], NEVER)) == [], "the translator's word"


def test_what_cannot_be_checked_is_said() -> None:
    found = check([turn("agent", 0, 900, "Dzień dobry", language="pl")], GREETING)
    assert found["status"] == "ok"
    assert found["unchecked"] == [
        {"code": "greeting", "reason": "The rule is not written for the languages spoken: pl."}
    ]
    nobody = check([turn("customer", 0, 900)], GREETING)["unchecked"]
    assert nobody == [{"code": "greeting", "reason": "The agent said nothing."}]
    assert check([], NEVER)["unchecked"][0]["reason"] == "Nobody said anything."


def test_what_may_have_been_said_in_a_language_that_cannot_be_read_is_not_missing() -> None:
    polish = turn("agent", 0, 900, "Dzień dobry", language="pl")
    german = turn("agent", 2000, 2900, "Ja, bitte?")
    found = check([polish, german], GREETING)
    assert (found["flags"], [one["code"] for one in found["unchecked"]]) == ([], ["greeting"])
    assert codes(check([german, polish], GREETING)) == ["greeting"], "what could be read was said in time"


def test_where_the_language_is_not_known_all_patterns_are_tried() -> None:
    assert codes(check([turn("agent", 0, 900, "I promise.", language=None)], NEVER)) == ["never"]


@pytest.mark.parametrize(
    ("said", "language", "profile"),
    [
        ("My order number is 4000123456789.", "en", "default"),
        ("I just now saw it.", "en", "sales"),
        ("I promise I will look.", "en", "support"),
        ("You're on a recorded line. Hello, welcome. We record all calls for quality.", "en", "default"),
        ("Dieses Gespräch wird aufgenommen.", "de", "default"),
        ("Cet appel est enregistré.", "fr", "default"),
    ],
)
def test_built_in_rules_leave_the_ordinary_alone(said: str, language: str, profile: str) -> None:
    found = check([turn("agent", 0, 900, said, language=language)], *load()[profile].rules, recorded=True)
    wrong = {"card_number", "pressure", "guarantee_given"} & set(codes(found))
    assert not wrong
    assert "order" in said or "recording_not_announced" not in codes(found)


def test_a_rule_for_recorded_sessions() -> None:
    rule = Rule("notice", "required", "m", {"de": ["aufgezeichnet"]}, when="recorded")
    said = [turn("agent", 0, 900, "Guten Tag")]
    assert codes(check(said, rule)) == []
    assert codes(check(said, rule, recorded=True)) == ["notice"]


def test_flags_are_bounded() -> None:
    many = [turn("agent", n, n + 1, "Ich verspreche es") for n in range(1000)]
    found = check(many, NEVER)
    assert len(found["flags"]) == MOST_OF_ONE
    assert [flag["sequence"] for flag in found["flags"]] == list(range(1, MOST_OF_ONE + 1))


@pytest.mark.parametrize(
    ("said", "language", "profile", "code"),
    [
        ("You are an idiot.", "en", "default", "insult"),
        ("Sie Dummkopf, halten Sie die Klappe!", "de", "default", "insult"),
        ("Es usted un imbecil.", "es", "default", "insult"),
        ("Vous êtes un connard.", "fr", "default", "insult"),
        ("Die Karte ist 4111 1111 1111 1111.", "de", "default", "card_number"),
        ("I guarantee that it works.", "en", "support", "guarantee_given"),
        ("Das garantiere ich Ihnen.", "de", "support", "guarantee_given"),
        ("Das ist Ihre letzte Chance.", "de", "sales", "pressure"),
        ("Es su última oportunidad.", "es", "sales", "pressure"),
        ("Sans aucun risque.", "fr", "sales", "return_promised"),
    ],
)
def test_built_in_rules_find_what_they_are_for(said: str, language: str, profile: str, code: str) -> None:
    found = check([turn("agent", 0, 900, said, language=language)], *load()[profile].rules)
    assert code in codes(found)


@pytest.mark.parametrize(("written", "language"), [(ENGLISH, "en"), (GERMAN, "de"), (SPANISH, "es")])
def test_decent_conversations_pass_the_help_desks_rules(written: str, language: str) -> None:
    found = compliance(conversation(written, language), load()["support"].rules)
    assert found == {"status": "ok", "flags": [], "unchecked": []}


def test_the_recording_notice_of_the_default_profile() -> None:
    rules = load()["default"].rules
    assert compliance(conversation(ENGLISH, "en", recorded=True), rules)["status"] == "ok"
    assert codes(compliance(conversation(GERMAN, "de", recorded=True), rules)) == ["recording_not_announced"]
    assert compliance(conversation(GERMAN, "de"), rules)["status"] == "ok"


def test_a_hostile_text_takes_no_time() -> None:
    """Linear, or this would not come to its end."""
    rule = Rule("slow", "forbidden", "m", {"*": [r"(a+)+$", r"(x*)*y(x*)*z"]})
    said = [turn("agent", 0, 900, "a" * 19_000 + "b"), turn("agent", 1000, 1900, "x" * 20_000)]
    assert check(said, rule)["status"] == "ok"


FILE: dict[str, Any] = {
    "profiles": {"bank": {"rules": [{"code": "pin", "kind": "forbidden", "message": "m", "patterns": {"*": ["PIN"]}}]}}
}


def test_an_operators_file_adds_and_replaces(tmp_path: Path) -> None:
    as_json = tmp_path / "profiles.json"
    as_json.write_text(json.dumps({"profiles": {**FILE["profiles"], "sales": {}}}), encoding="utf-8")
    found = load(as_json)
    assert found["sales"] == Profile()
    assert [rule.code for rule in found["bank"].rules] == ["pin"]
    assert found["support"] == load()["support"]
    as_toml = tmp_path / "profiles.toml"
    as_toml.write_text(
        "[[profiles.bank.rules]]\ncode = 'pin'\nkind = 'forbidden'\nmessage = 'm'\npatterns = {'*' = ['PIN']}\n",
        encoding="utf-8",
    )
    assert load(as_toml)["bank"] == found["bank"]


def wrong(**changes: Any) -> dict[str, Any]:
    rule = FILE["profiles"]["bank"]["rules"][0] | changes
    return {"profiles": {"bank": {"rules": [{key: value for key, value in rule.items() if value is not None}]}}}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("{", "Expecting"),
        ([], "object"),
        ({}, "profiles"),
        ({"profiles": {"Bank!": {}}}, "matching regex"),
        ({"profiles": {"bank": {"colour": 1}}}, "colour"),
        (wrong(kind="maybe"), "maybe"),
        (wrong(message=None), "message"),
        (wrong(patterns={}), "1 to"),
        (wrong(patterns={"*": ["x"] * 101}), "1 to"),
        (wrong(patterns={"german": ["x"]}), "german"),
        (wrong(patterns={"de": ["("]}), "missing"),
        (wrong(patterns={"de": ["(?=x)"]}), "invalid"),
        (wrong(patterns={"de": ["x*"]}), "nothing"),
        (wrong(within_turns=0), "within_turns"),
        ({"profiles": {"bank": {"rules": FILE["profiles"]["bank"]["rules"] * 2}}}, "twice"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, document: Any, words: str) -> None:
    path = tmp_path / "profiles.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    with pytest.raises(ProfilesError, match=words) as refused:
        load(path)
    assert str(path) in str(refused.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ProfilesError, match="nowhere"):
        load(tmp_path / "nowhere.toml")
