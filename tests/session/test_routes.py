import pytest

from kallglot.session.model import Mode, Participant
from kallglot.session.routes import Route, plan, same_language

CUSTOMER = Participant("c", "customer", "de")
AGENT = Participant("a", "agent", "en")


def test_each_hears_the_other_translated() -> None:
    assert plan("bidirectional_translation", CUSTOMER, (CUSTOMER, AGENT)).routes == (Route("c", "en", ("a",)),)
    assert plan("bidirectional_translation", AGENT, (CUSTOMER, AGENT)).routes == (Route("a", "de", ("c",)),)


def test_an_assisted_agent_hears_the_voice_and_reads_the_translation() -> None:
    found = plan("assistive_translation", CUSTOMER, (CUSTOMER, AGENT))
    assert found.routes == (Route("c", None, ("a",)),)
    assert found.captions == ("en",)
    assert plan("assistive_translation", AGENT, (CUSTOMER, AGENT)).routes == (Route("a", "de", ("c",)),)


@pytest.mark.parametrize("mode", ["bidirectional_translation", "assistive_translation", "ai_agent"])
def test_the_same_language_passes_through(mode: Mode) -> None:
    british = Participant("b", "agent", "en-GB")
    american = Participant("u", "customer", "en-US")
    found = plan(mode, american, (american, british))
    assert found.original_to == ("b",)
    assert found.captions == ()


def test_listeners_of_one_language_share_a_route_and_languages_come_other_side_first() -> None:
    other = Participant("c2", "customer", "fr")
    agents = (AGENT, Participant("a2", "agent", "en"))
    found = plan("bidirectional_translation", CUSTOMER, (CUSTOMER, other, *agents))
    assert Route("c", "en", ("a", "a2")) in found.routes
    assert found.captions == ("en", "fr")


def test_an_unknown_language_is_not_guessed_at() -> None:
    unknown = Participant("a", "agent", None)
    found = plan("bidirectional_translation", CUSTOMER, (CUSTOMER, unknown))
    assert found.captions == ()
    assert found.original_to == ("a",)


@pytest.mark.parametrize(
    ("a", "b", "same"), [("en", "en-US", True), ("EN", "en", True), ("en", "es", False), (None, "en", False)]
)
def test_same_language(a: str | None, b: str | None, same: bool) -> None:
    assert same_language(a, b) is same
