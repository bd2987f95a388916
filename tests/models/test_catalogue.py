"""The catalogue that comes with Kallglot, and what makes one unsound."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from tests.models.making import catalogue_of, model, noise, remote

from kallglot.models.catalogue import Catalogue, CatalogueError, catalogue, parse
from kallglot.models.errors import ModelsError
from kallglot.models.plan import MARGIN, in_bytes, mirrored, plan, resolve

FAMILIES = {
    "moonshine-v2", "moonshine-streaming", "zipformer-streaming", "parakeet", "canary", "whisper", "whisper-lid",
    "piper", "kokoro", "opus-mt", "madlad", "m2m100",
}  # fmt: skip
SOUND = """
format = 1
[sets]
some = ["de", "en"]
[packs.de]
title = "German"
models = ["a"]
[[model]]
name = "a"
version = "1"
kind = "recognition"
family = "whisper"
languages = "some"
licence = "MIT"
page = "https://example.com"
base = "https://example.com/x"
files = [{ path = "encoder.onnx", size = 10 }]
[model.roles]
encoder = "encoder.onnx"
"""


def test_every_family_has_a_model() -> None:
    assert {one.family for one in catalogue().models.values()} == FAMILIES


def test_nothing_that_may_not_be_used_for_business() -> None:
    for one in catalogue().models.values():
        text = f"{one.name} {one.family} {[remote.url for remote in one.remotes]} {one.licence}".lower()
        assert not any(word in text for word in ("nllb", "lessac", "ryan", "hfc", "nc-", "non-commercial")), one.name
        assert "CC-BY" not in one.licence or one.credit, f"{one.name} has to name somebody"


def test_every_address_is_https() -> None:
    for one in catalogue().models.values():
        assert all(urlsplit(remote.url).scheme == "https" for remote in one.remotes)


@pytest.mark.parametrize("language", ["de", "es", "fr", "it", "pt", "nl", "pl"])
def test_a_pack_is_all_that_its_language_needs_with_english(language: str) -> None:
    known = catalogue()
    models = [known.models[name] for name in known.packs[language].models]
    assert any(one.kind == "recognition" and one.serves(language) for one in models)
    pairs = {pair for one in models for pair in one.pairs}
    assert {(language, "en"), ("en", language)} <= pairs
    assert {one.languages[0][:2] for one in models if one.kind == "synthesis"} == {language, "en"}


def test_the_german_pack_is_as_large_as_said() -> None:
    known = catalogue()
    assert 400e6 < plan(resolve(known, ["de"]), {}).download < 420e6


def test_roles_are_those_that_loaders_look_for() -> None:
    from kallglot.speech.engines.recognition_models import FAMILIES as LOADERS

    for one in catalogue().models.values():
        for roles in LOADERS[one.family].roles if one.family in LOADERS else ():
            assert any(role in one.roles for role in roles.split("|")), (one.name, roles)


def test_a_sound_one() -> None:
    known = parse(SOUND)
    one = known.models["a"]
    assert one.languages == ("de", "en")
    assert one.remotes[0].url == "https://example.com/x/encoder.onnx"
    assert known.packs_with("a") == ["de"]
    assert one.serves("de-AT")
    assert not one.serves("fr")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("format = 1", "format = 2", "format 2"),
        ("format = 1", "format", "not TOML"),
        ('name = "a"', 'name = "../a"', "name of a folder"),
        ('version = "1"', 'version = "1/2"', "name of a folder"),
        ('kind = "recognition"', 'kind = "guessing"', "unknown kind"),
        ('kind = "recognition"', 'kind = "translation"', "translation has pairs"),
        ('licence = "MIT"', "", "licence"),
        ('"encoder.onnx", size', '"../encoder.onnx", size', "no path inside"),
        ('base = "https://example.com/x"', 'base = "file:///etc"', "no address"),
        ("size = 10", "size = 0", "no size"),
        ("size = 10", "sha256 = 'abc', size = 10", "no SHA-256"),
        ("size = 10", "sizes = 10", "about"),
        ('encoder = "encoder.onnx"', 'encoder = "other.onnx"', "none of its files is other.onnx"),
        ('models = ["a"]', 'models = ["b"]', "not in the catalogue"),
        ("[packs.de]", "[packs.a]", "a pack and a model"),
        ("size = 10 }", 'size = 10 }, { path = "Encoder.onnx", size = 1 }', "the same path"),
    ],
)
def test_an_unsound_one(old: str, new: str, why: str) -> None:
    assert old in SOUND
    with pytest.raises(CatalogueError, match=why):
        parse(SOUND.replace(old, new, 1))


def test_twice_the_same() -> None:
    with pytest.raises(CatalogueError, match="twice"):
        parse(SOUND + SOUND[SOUND.index("[[model]]") :])


def test_names_of_packs_and_models() -> None:
    known = catalogue()
    names = [one.name for one in resolve(known, ["piper-de-thorsten", "DE", "opus-mt-de-en"])]
    assert names[0] == "piper-de-thorsten"
    assert sorted(names) == sorted(known.packs["de"].models)


def test_an_unknown_name_gets_a_hint() -> None:
    with pytest.raises(ModelsError, match="did you mean opus-mt-de-en"):
        resolve(catalogue(), ["opus-mt-de-eng"])
    with pytest.raises(ModelsError, match="kallglot models list"):
        resolve(Catalogue({}, {}), ["../../etc"])


def test_a_plan() -> None:
    shared = remote("https://example.com/s.tar", "s.tar", noise(100), archive=True, unpacked=500)
    one = model("one", shared, remote("https://example.com/1/m", "m", noise(10)), roles={"m": "m"})
    two = model("two", shared, roles={"m": "m"})
    three = model("three", remote("https://example.com/3/m", "m", noise(1000)))
    assert catalogue_of(one, two, three).model("two") is two
    made = plan([one, two, three], {"three": "1", "two": "0"})
    assert [item.name for item in made.fetch] == ["one", "two"]
    assert [item.name for item in made.present] == ["three"]
    assert made.download == 110
    assert made.space() == 110 + 1000 + MARGIN
    assert made.space({shared.url: 60}) == 50 + 1000 + MARGIN
    assert len(plan([three], {"three": "1"}, force=True).fetch) == 1


def test_mirrors_and_sizes() -> None:
    assert mirrored("https://example.com/a/b", None) == "https://example.com/a/b"
    assert mirrored("https://example.com/a/b", "http://m:80/x/") == "http://m:80/x/example.com/a/b"
    assert [in_bytes(n) for n in (0, 999, 1000, 121_800_823, 2_950_000_000_000)] == [
        "0 bytes", "999 bytes", "1.0 kB", "121.8 MB", "2950.0 GB",
    ]  # fmt: skip
