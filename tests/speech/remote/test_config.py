import pytest

from kallglot.speech.remote.config import ProviderConfig
from kallglot.speech.types import EngineError


def test_the_key_is_not_shown() -> None:
    assert "hush" not in repr(ProviderConfig("acme", api_key="hush"))


def test_no_secret_of_an_option_or_an_address_is_shown() -> None:
    options = {"arguments": {"api_secret": "hush"}, "proxy": "http://me:hush@proxy:3128"}
    assert "hush" not in repr(ProviderConfig("acme", url="https://me:hush@here", options=options))


def test_the_address() -> None:
    assert ProviderConfig("acme", url="http://here/v1/").address("https://there") == "http://here/v1"
    assert ProviderConfig("acme").address("https://there") == "https://there"
    with pytest.raises(EngineError, match="acme: no address") as caught:
        ProviderConfig("acme").address(None)
    assert not caught.value.passing


def test_options_are_of_their_kind() -> None:
    config = ProviderConfig("acme", options={"text": "t", "number": 2, "flag": True, "table": {"de": "Anna"}})
    assert config.text("text") == "t"
    assert config.text("none", "x") == "x"
    assert config.number("number", 1) == 2.0
    assert config.flag("flag", False)
    assert config.table("table") == {"de": "Anna"}
    assert config.table("none") == {}
    for ask in (lambda: config.text("flag"), lambda: config.number("flag", 1), lambda: config.flag("number", True)):
        with pytest.raises(EngineError, match="acme: the option"):
            ask()
    with pytest.raises(EngineError, match="has to be a table"):
        config.table("text")
