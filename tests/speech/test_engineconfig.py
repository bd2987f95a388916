import importlib
from pathlib import Path
from typing import Any

import pytest

from kallglot.speech import configured
from kallglot.speech.engineconfig import CLASSES, ConfigError, NamedEngine, check_names, load, parse
from kallglot.speech.registry import build_registry

GOOD = """
[engines.deepgram]
type = "deepgram"
api_key = "env:DEEPGRAM_API_KEY"
languages = ["de", "en"]
kinds = ["recognition"]

[engines.our-vllm]
type = "openai"
url = "http://127.0.0.1:8000/v1"
model = "qwen"
kinds = ["translation"]
timeout_seconds = 4

[engines.our-vllm.budget]
at_once = 8
characters_a_day = 100000

[recognition]
de = ["deepgram", "local"]
"*" = ["local", "deepgram"]

[translation]
"de>en" = ["our-vllm", "local"]
"""


def of(text: str, tmp_path: Path) -> Path:
    path = tmp_path / "engines.toml"
    path.write_text(text)
    return path


def test_a_file(tmp_path: Path) -> None:
    config = load(of(GOOD, tmp_path), {"DEEPGRAM_API_KEY": " secret-1 "})
    deepgram, vllm = config.engines
    assert (deepgram.name, deepgram.kinds, deepgram.api_key, deepgram.missing) == (
        "deepgram",
        ("recognition",),
        "secret-1",
        None,
    )
    assert (vllm.url, vllm.timeout_s, vllm.kinds) == ("http://127.0.0.1:8000/v1", 4.0, ("translation",))
    assert config.orders["recognition"] == {"de": ["deepgram", "local"], "*": ["local", "deepgram"]}
    assert "secret-1" not in repr(config)


def test_a_key_that_the_environment_lacks_keeps_only_that_engine_from_serving(tmp_path: Path) -> None:
    deepgram = load(of(GOOD, tmp_path), {}).engines[0]
    made = configured.make(deepgram)["recognition"]
    assert made.missing() == "the environment has no DEEPGRAM_API_KEY, which engines.deepgram.api_key names"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"engine": {}}, "engine: expected one of engines, recognition, translation, synthesis"),
        ({"engines": []}, "engines: expected a table"),
        ({"engines": {"Big": {"type": "deepgram"}}}, "engines.Big: expected a name of small letters"),
        ({"engines": {"local": {"type": "deepgram"}}}, "engines.local: expected a name"),
        ({"engines": {"x": {"type": "deepgran"}}}, "engines.x.type: expected one of openai, openai-realtime, deepgram"),
        ({"engines": {"x": {}}}, "engines.x.type: expected a text"),
        ({"engines": {"x": {"type": "deepgram", "apikey": "k"}}}, "engines.x.apikey: expected one of type"),
        ({"engines": {"x": {"type": "deepgram", "api_key": 7}}}, "engines.x.api_key: expected a text"),
        ({"engines": {"x": {"type": "deepgram", "kinds": ["translation"]}}}, "engines.x.kinds: deepgram does"),
        ({"engines": {"x": {"type": "openai", "model": "m"}}}, "engines.x.kinds: expected which of recognition"),
        ({"engines": {"x": {"type": "deepgram", "timeout_seconds": 0}}}, "engines.x.timeout_seconds: expected"),
        ({"engines": {"x": {"type": "google", "options": {"key": "env:NO"}}}}, "the environment has no NO"),
        ({"recognition": {"de>en": ["local"]}}, "recognition: expected languages like"),
        ({"recognition": {"de": []}}, 'recognition."de": expected 1 to 16 names'),
        ({"recognition": {"de": ["a", "a"]}}, 'recognition."de": expected 1 to 16 names'),
        ({"translation": {"de": ["local"]}}, "translation: expected two languages"),
    ],
)
def test_what_is_wrong_is_said_by_its_name(content: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(content, {})
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('api_key = "abc-secret', "is not TOML: something is wrong at end of document"),
        ('x = "abc-secret" "', "is not TOML: something is wrong at line 1, column 18"),
        ("x = 1", "x: expected one of engines"),
    ],
)
def test_a_file_that_cannot_be_used_is_not_quoted(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load(of(text, tmp_path))
    assert words in str(error.value)
    assert "abc-secret" not in str(error.value)
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(tmp_path / "absent.toml")


def test_numbers_of_an_engine_are_checked() -> None:
    named = NamedEngine("x", "deepgram", ("recognition",), parts={"budget": {"at_once": "many"}})
    with pytest.raises(ConfigError, match=r"engines.x.budget.at_once: expected a whole number"):
        configured.make(named)
    with pytest.raises(ConfigError, match=r"engines.x.retry.times: expected one of tries"):
        configured.make(NamedEngine("x", "deepgram", ("recognition",), parts={"retry": {"times": 3}}))
    with pytest.raises(ConfigError, match=r"engines.x.patience.backoff_s: expected a number"):
        configured.make(NamedEngine("x", "deepgram", ("recognition",), parts={"patience": {"backoff_s": [0, "a"]}}))


def test_names_in_orders_are_those_of_engines() -> None:
    known = {"recognition": ["deepgram"], "translation": [], "synthesis": []}
    check_names({"recognition": {"*": ["deepgram", "local"]}}, known)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match='no engine for recognition is called "deepgran"; is it "deepgram"'):
        check_names({"recognition": {"*": ["deepgran"]}}, known)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match='no engine for synthesis is called "deepl"; there are local'):
        check_names({"synthesis": {"*": ["deepl"]}}, known)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind_of", CLASSES)
def test_every_class_of_the_table_is_there(kind_of: str) -> None:
    for path in CLASSES[kind_of].values():
        module, _, name = path.partition(":")
        assert isinstance(getattr(importlib.import_module(f"{configured.PROVIDERS}.{module}"), name), type)


def test_a_type_whose_module_is_not_there_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> Any:
        raise ImportError(name=package)

    monkeypatch.setattr(configured.importlib, "import_module", refuse)
    named = NamedEngine("x", "google", ("synthesis",), api_key="k")
    package = "google.cloud"
    assert configured.make(named)["synthesis"].missing() == (
        "the Python package google is missing: install kallglot[google]"
    )
    package = "kallglot.speech.providers.google"
    assert configured.make(named)["synthesis"].missing() == "this version has no synthesis by google"


def test_the_registry_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEEPGRAM_API_KEY", raising=False)
    registry = build_registry(
        recognition_processes=1, scripted=None, models_dir=tmp_path / "models", engines=of(GOOD, tmp_path)
    )
    assert registry.names("recognition")[-1] == "deepgram"
    assert registry.names("translation") == ["apertium", "our-vllm"]
    state = {(one.kind, one.name): one for one in registry.status()}
    assert "DEEPGRAM_API_KEY" in (state["recognition", "deepgram"].note or "")
    taken = of('[engines.apertium]\ntype = "deepl"\napi_key = "k"\n', tmp_path)
    with pytest.raises(ConfigError, match=r"engines.apertium: an engine of this machine is called that"):
        build_registry(recognition_processes=1, scripted=None, models_dir=None, engines=taken)
