import pytest
from hypothesis import given
from hypothesis import strategies as st

from kallglot.speech.orders import Orders, names, over, wanted, wrong_key

ORDERS: Orders = {
    "recognition": {"de": ["a"], "de-AT": ["b"], "*": ["c"]},
    "translation": {"de>en": ["d"], "de>*": ["e"], "*>en": ["f"], "*": ["g"]},
}


@pytest.mark.parametrize(
    ("kind", "languages", "found"),
    [
        ("recognition", ["de"], ["a"]),
        ("recognition", ["de-at"], ["b"]),
        ("recognition", ["de_CH"], ["a"]),
        ("recognition", ["fr"], ["c"]),
        ("recognition", [None], ["c"]),
        ("translation", ["de-AT", "en-US"], ["d"]),
        ("translation", ["de", "fr"], ["e"]),
        ("translation", ["fr", "en"], ["f"]),
        ("translation", ["fr", "es"], ["g"]),
        ("synthesis", ["de"], None),
    ],
)
def test_the_order_that_is_nearest_to_a_language(kind: str, languages: list[str], found: list[str] | None) -> None:
    assert wanted(ORDERS, kind, *languages) == found  # type: ignore[arg-type]


def test_no_orders_say_nothing() -> None:
    assert wanted(None, "recognition", "de") is None
    assert wanted({"recognition": {"de": ["a"]}}, "recognition", "fr") is None


def test_a_session_goes_over_its_organisation() -> None:
    organisation = {"recognition": {"de": ["a"], "fr": ["b"], "de-AT": ["x"]}, "synthesis": {"*": ["s"]}}
    assert over(None, organisation) == organisation
    assert over(organisation, None) == organisation
    assert over(None, None) is None
    # "de" of the session is nearer to de-AT than what the organisation says of that.
    assert over({"recognition": {"de": ["c"]}}, organisation) == {
        "recognition": {"fr": ["b"], "de": ["c"]},
        "synthesis": {"*": ["s"]},
    }
    assert over({"recognition": {"*": ["c"]}}, organisation)["recognition"] == {"*": ["c"]}  # type: ignore[index]
    merged = over({"translation": {"*>en": ["c"]}}, {"translation": {"de>en": ["a"], "de>fr": ["b"]}})
    assert merged == {"translation": {"de>fr": ["b"], "*>en": ["c"]}}


SOURCES = ("*", "de", "de-AT", "fr")
KEYS = [f"{source}>{target}" for source in SOURCES for target in ("*", "en", "en-GB")] + ["*"]
SOME = st.dictionaries(st.sampled_from(KEYS), st.sampled_from([["a"], ["b"], ["c"]]), max_size=4)


@given(SOME, SOME)
def test_what_a_session_says_of_a_pair_holds_whatever_its_organisation_says(
    own: dict[str, list[str]], of_organisation: dict[str, list[str]]
) -> None:
    session, organisation = {"translation": own}, {"translation": of_organisation}
    both = over(session, organisation)
    for source in ("de", "de-AT", "de-CH", "fr", "it"):
        for target in ("en", "en-GB", "es"):
            mine = wanted(session, "translation", source, target)
            theirs = wanted(organisation, "translation", source, target)
            assert wanted(both, "translation", source, target) == (mine if mine is not None else theirs)


@pytest.mark.parametrize(
    ("kind", "key", "right"),
    [
        ("recognition", "de", True),
        ("recognition", "*", True),
        ("recognition", "de>en", False),
        ("recognition", "german!", False),
        ("translation", "de>en", True),
        ("translation", "*>en", True),
        ("translation", "*", True),
        ("translation", "de", False),
        ("translation", "de>en>fr", False),
        ("synthesis", "", False),
    ],
)
def test_keys(kind: str, key: str, right: bool) -> None:
    assert (wrong_key(kind, key) is None) is right


def test_every_name() -> None:
    assert names({"synthesis": {"de": ["a", "b"]}}) == [("synthesis", "de", 0, "a"), ("synthesis", "de", 1, "b")]
    assert names(None) == []
