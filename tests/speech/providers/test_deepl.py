import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from tests.fakes.remote.deepl import KEY, FakeDeepl
from tests.fakes.remote.server import Fault
from tests.waiting import until

from kallglot.clock import FakeClock
from kallglot.speech.providers import deepl_wire as wire
from kallglot.speech.providers.deepl import DeeplTranslator
from kallglot.speech.providers.deepl_glossaries import AGAIN_S, Glossaries
from kallglot.speech.remote.config import ProviderConfig
from kallglot.speech.remote.errors import RemoteError
from kallglot.speech.types import Hints

GLOSSARY = (("Vertrag", "agreement"), ("Heimbox", "HomeBox"))
HINTS = Hints(glossary=GLOSSARY)


@contextlib.asynccontextmanager
async def started(server: FakeDeepl, **named: Any) -> AsyncIterator[DeeplTranslator]:
    clock = named.pop("clock", None)
    engine = DeeplTranslator(ProviderConfig("deepl", server.url, KEY, **named), clock=clock)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("de", "DE"),
        ("de-AT", "DE"),
        ("en", "EN-US"),
        ("en-US", "EN-US"),
        ("en-GB", "EN-GB"),
        ("en_gb", "EN-GB"),
        ("en-IE", "EN-GB"),
        ("pt", "PT-PT"),
        ("pt-BR", "PT-BR"),
        ("pt-AO", "PT-PT"),
        ("zh", "ZH-HANS"),
        ("zh-TW", "ZH-HANT"),
        ("zh-Hant-HK", "ZH-HANT"),
        ("es", "ES"),
        ("es-MX", "ES"),
        ("es-419", "ES-419"),
        ("no", "NB"),
        ("nn-NO", "NB"),
    ],
)
def test_target_codes(language: str, code: str) -> None:
    assert wire.target_code(language) == code


def test_the_operator_chooses_the_variant() -> None:
    wanted = {"en": "EN-GB", "pt": "pt-br"}
    assert wire.target_code("en", wanted) == "EN-GB"
    assert wire.target_code("en-US", wanted) == "EN-GB"
    assert wire.target_code("pt", wanted) == "PT-BR"
    assert wire.target_code("de", wanted) == "DE"


@pytest.mark.parametrize(("language", "code"), [("en-GB", "EN"), ("pt-BR", "PT"), ("zh-TW", "ZH"), ("no", "NB")])
def test_sources_have_no_region(language: str, code: str) -> None:
    assert wire.source_code(language) == code


def test_free_keys_have_their_own_host() -> None:
    assert wire.address("279a2e9d-83b3-c416-7e2d-f721593e42a0:fx") == "https://api-free.deepl.com"
    assert wire.address("279a2e9d-83b3-c416-7e2d-f721593e42a0") == "https://api.deepl.com"


def test_a_request_says_what_is_known() -> None:
    hints = Hints(context=(("Guten Tag.", "Hello."), ("Mein Vertrag.", "My contract.")), formality="formal")
    body = wire.translation("Er läuft aus.", "de-AT", "fr", hints, glossary_id="g1", model="latency_optimized")
    assert body == {
        "text": ["Er läuft aus."],
        "source_lang": "DE",
        "target_lang": "FR",
        "context": "Guten Tag.\nMein Vertrag.",
        "formality": "prefer_more",
        "glossary_id": "g1",
        "model_type": "latency_optimized",
    }


def test_a_request_says_nothing_that_is_not_known() -> None:
    assert wire.translation("Hi", "en", "de", Hints()) == {"text": ["Hi"], "source_lang": "EN", "target_lang": "DE"}


@pytest.mark.parametrize(
    ("target", "formality", "said"),
    [
        ("de", "informal", "prefer_less"),
        ("pt-BR", "formal", "prefer_more"),
        ("en", "formal", None),
        ("de", "default", None),
        ("sv", "formal", None),
    ],
)
def test_formality_goes_where_it_exists(target: str, formality: str, said: str | None) -> None:
    assert wire.translation("x", "es", target, Hints(formality=formality)).get("formality") == said


def test_context_keeps_the_latest() -> None:
    hints = Hints(context=tuple((f"{number:04d}" * 100, "") for number in range(20)))
    context = wire.context_of(hints)
    assert len(context) <= wire.CONTEXT_CHARACTERS
    assert context.endswith("0019")
    assert not context.startswith("0000")


def test_reads_a_translation() -> None:
    assert (
        wire.translated(b'{"translations":[{"detected_source_language":"EN","text":"Hallo, Welt!"}]}') == "Hallo, Welt!"
    )


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b'{"translations":[]}', b'{"translations":[{"text":1}]}', b'{"translations":[{}]}']
)
def test_what_is_no_translation(body: bytes) -> None:
    with pytest.raises((ValueError, msgspec.MsgspecError)):
        wire.translated(body)


def test_glossary_entries_are_as_deepl_wants_them() -> None:
    pairs = [
        ("  Hello\t", "Guten\nTag"),
        ("Hello", "Hallo"),
        ("", "nichts"),
        ("nothing", "  "),
        ("ü" * 513, "zu lang"),
        ("Berlin\u2028Mitte", "Berlin-Mitte"),
    ]
    assert wire.glossary_entries(pairs) == (("Berlin Mitte", "Berlin-Mitte"), ("Hello", "Guten Tag"))


def test_a_glossary_is_between_languages_and_named_by_its_content() -> None:
    assert wire.glossary_languages("en-GB", "pt-BR") == ("en", "pt")
    one = wire.glossary_name("en", "de", (("a", "b"),))
    assert one == wire.glossary_name("en", "de", (("a", "b"),))
    assert one.startswith(wire.GLOSSARY_PREFIX)
    others = [("en", "fr", (("a", "b"),)), ("en", "de", (("a", "c"),)), ("en", "de", (("a\tb", ""),))]
    assert one not in {wire.glossary_name(*other) for other in others}


def test_a_glossary_is_made_and_found() -> None:
    assert wire.glossary("kallglot-1", "en", "de", (("Hello", "Guten Tag"), ("x", "y"))) == {
        "name": "kallglot-1",
        "dictionaries": [
            {"source_lang": "en", "target_lang": "de", "entries": "Hello\tGuten Tag\nx\ty", "entries_format": "tsv"}
        ],
    }
    made: dict[str, Any] = {
        "glossary_id": "def3a26b-3e84-45b3-84ae-0c0aaf3525f7",
        "ready": True,
        "name": "My Glossary",
        "dictionaries": [{"source_lang": "en", "target_lang": "de", "entry_count": 1}],
        "creation_time": "2025-08-03T14:16:18.329Z",
    }
    assert wire.made_glossary(json.dumps(made).encode()) == "def3a26b-3e84-45b3-84ae-0c0aaf3525f7"
    ours = {**made, "name": "kallglot-77"}
    assert wire.listed_glossaries(json.dumps({"glossaries": [made, ours]}).encode()) == {
        "kallglot-77": made["glossary_id"]
    }


def test_what_is_served() -> None:
    engine = DeeplTranslator(ProviderConfig("deepl", api_key=KEY))
    assert {("de", "en"), ("en", "no"), ("zh", "pt")} <= set(engine.pairs)
    assert engine.request("x", "de", "en", Hints()).url == "https://api.deepl.com/v2/translate"
    declared = DeeplTranslator(ProviderConfig("deepl", api_key=KEY, languages=("de", "cy")))
    assert set(declared.pairs) == {("de", "cy"), ("cy", "de")}


async def test_a_glossary_is_made_once_and_used_by_all() -> None:
    async with FakeDeepl() as server:
        async with started(server) as engine:
            texts = await asyncio.gather(*(engine.translate("Mein Vertrag", "de", "en", HINTS) for _ in range(3)))
            texts.append(await engine.translate("Mein Vertrag", "de-AT", "en-GB", HINTS))
            assert server.made == 1
            [glossary] = server.glossaries.values()
            assert glossary["entries"] == "Heimbox\tHomeBox\nVertrag\tagreement"
            assert {body["glossary_id"] for body in server.translations} == set(server.glossaries)
        assert texts == ["«EN-US» agreement Mein – 好"] * 3 + ["«EN-GB» agreement Mein – 好"]
        assert server.glossaries == {}


async def test_another_content_or_pair_has_another_glossary() -> None:
    async with FakeDeepl() as server, started(server) as engine:
        await engine.translate("Mein Vertrag", "de", "en", HINTS)
        await engine.translate("Mein Vertrag", "de", "fr", HINTS)
        await engine.translate("Mein Vertrag", "de", "en", Hints(glossary=(("Vertrag", "deal"),)))
        await engine.translate("Mein Vertrag", "de", "en", Hints(glossary=(("", "nothing"),)))
        assert server.made == 3
        assert "glossary_id" not in server.translations[-1]


async def test_a_glossary_that_was_left_behind_is_used_and_stays() -> None:
    async with FakeDeepl() as server:
        first = DeeplTranslator(ProviderConfig("deepl", server.url, KEY))
        await first.start()
        await first.translate("Mein Vertrag", "de", "en", HINTS)
        await first.http.close()
        async with started(server) as engine:
            await engine.translate("Mein Vertrag", "de", "en", HINTS)
        assert server.made == 1
        assert len(server.glossaries) == 1
        await first.close()


async def test_a_glossary_that_is_gone_is_made_again() -> None:
    async with FakeDeepl() as server, started(server) as engine:
        await engine.translate("Mein Vertrag", "de", "en", HINTS)
        server.glossaries.clear()
        assert await engine.translate("Mein Vertrag", "de", "en", HINTS) == "«EN-US» Vertrag Mein – 好"
        assert await engine.translate("Mein Vertrag", "de", "en", HINTS) == "«EN-US» agreement Mein – 好"
        assert engine.healthy


async def test_without_room_for_a_glossary_it_goes_without_and_asks_again_later() -> None:
    clock = FakeClock()
    async with FakeDeepl() as server, started(server, clock=clock) as engine:
        server.fail_next(None, Fault("refuse", 400))
        for _ in range(3):
            assert await engine.translate("Mein Vertrag", "de", "en", HINTS) == "«EN-US» Vertrag Mein – 好"
        assert [asked.path for asked in server.asked].count("/v3/glossaries") == 2
        clock.advance(AGAIN_S)
        assert await engine.translate("Mein Vertrag", "de", "en", HINTS) == "«EN-US» agreement Mein – 好"


async def test_nobody_waits_long_for_a_glossary() -> None:
    async with FakeDeepl() as server, started(server) as engine:
        engine.glossaries = Glossaries(engine.ask, server.url, lambda: wire.headers(KEY), lambda: 0.0, wait_s=0.01)
        server.fail_next(None, Fault("slow"))
        assert await engine.translate("Mein Vertrag", "de", "en", HINTS) == "«EN-US» Vertrag Mein – 好"
        server.release.set()
        await until(lambda: engine.glossaries.known("de", "en", GLOSSARY))
        assert await engine.translate("Mein Vertrag", "de", "en", HINTS) == "«EN-US» agreement Mein – 好"


async def test_there_are_never_too_many_glossaries() -> None:
    async with FakeDeepl() as server, started(server) as engine:
        engine.glossaries = Glossaries(engine.ask, server.url, lambda: wire.headers(KEY), lambda: 0.0, most=2)
        for number in range(5):
            await engine.translate("Mein Vertrag", "de", "en", Hints(glossary=((f"w{number}", "x"),)))
        await until(lambda: len(server.glossaries) == 2)
        assert {glossary["entries"] for glossary in server.glossaries.values()} == {"w3\tx", "w4\tx"}


async def test_closing_while_a_glossary_is_made() -> None:
    async with FakeDeepl() as server:
        async with started(server) as engine:
            server.fail_next(None, Fault("silent"))
            waiting = asyncio.create_task(engine.translate("Mein Vertrag", "de", "en", HINTS))
            async with asyncio.timeout(30):
                await server.reached.wait()
            waiting.cancel()
            await asyncio.wait((waiting,))
        assert waiting.cancelled()


async def test_the_operators_glossary_and_variant() -> None:
    async with FakeDeepl() as server:
        options = {"glossaries": {"de>en": "mine"}, "variants": {"en": "EN-GB"}}
        async with started(server, model="latency_optimized", options=options) as engine:
            server.glossaries["mine"] = {
                "name": "x",
                "entries": "Vertrag\tdeal",
                "source_lang": "de",
                "target_lang": "en",
            }
            assert await engine.translate("Mein Vertrag", "de", "en") == "«EN-GB» deal Mein – 好"
            assert await engine.translate("Mein Vertrag", "de", "fr") == "«FR» Vertrag Mein – 好"
            assert server.translations[0]["model_type"] == "latency_optimized"
        assert list(server.glossaries) == ["mine"]


async def test_a_plan_that_is_used_up_is_not_asked_again() -> None:
    async with FakeDeepl() as server, started(server) as engine:
        server.fail_next(Fault("refuse", 456))
        for _ in range(2):
            with pytest.raises(RemoteError, match="456") as caught:
                await engine.translate("Hallo", "de", "en")
            assert not caught.value.passing
        assert len(server.asked) == 1
        assert not engine.healthy


async def test_keys_and_texts_are_in_no_address() -> None:
    async with FakeDeepl() as server, started(server) as engine:
        await engine.translate("Geheim", "de", "en", HINTS)
        assert not any(KEY in f"{asked.path}{asked.query}" for asked in server.asked)
        assert not any("Geheim" in f"{asked.path}{asked.query}" for asked in server.asked)
