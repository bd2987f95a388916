"""Mode files and stream format by themselves; chains, kills and hostile text with the installed programs."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from kallglot.speech.engines import apertium
from kallglot.speech.engines.apertium import ApertiumTranslator, parse_mode
from kallglot.speech.types import EngineError

SPANISH = {("en", "es"), ("es", "en")}
installed = ApertiumTranslator()
real = [
    pytest.mark.speech,
    pytest.mark.skipif(
        installed.missing() is not None or not installed.pairs >= SPANISH, reason=str(installed.missing())
    ),
]


def stages() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture
async def translator() -> AsyncIterator[ApertiumTranslator]:
    before, files = len(stages()), len(os.listdir("/proc/self/fd"))
    engine = ApertiumTranslator(timeout_s=5)
    await engine.start()
    yield engine
    await engine.close()
    assert len(stages()) == before
    assert len(os.listdir("/proc/self/fd")) <= files + 1  # an event loop keeps one for its child watcher


def test_stages_flush_and_leave_no_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apertium.shutil, "which", lambda program: f"/usr/bin/{program}")
    line = "lt-proc '/a b/x.bin' | apertium-tagger -g $2 y.prob|lt-proc $1 z.bin | hfst-proc $1 w\n"
    assert parse_mode(line) == [
        ["lt-proc", "-z", "/a b/x.bin"],
        ["apertium-tagger", "-z", "-g", "y.prob"],
        ["lt-proc", "-z", "-n", "z.bin"],
        ["hfst-proc", "-z", "-g", "w"],
    ]


@pytest.mark.parametrize("line", ["lt-proc x | sed s/a/b/", "", "lt-proc x | | lt-proc y", "lt-proc 'x"])
def test_a_pipeline_that_cannot_be_kept_warm(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apertium.shutil, "which", lambda program: program)
    with pytest.raises(ValueError, match=r"expected a program that flushes at NUL|No closing quotation"):
        parse_mode(line)


def test_discovery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apertium.shutil, "which", lambda program: program)
    for name in ("eng-spa", "spa-eng", "spa-eng_US", "oci_aran-fra", "fr-es", "eng-spa-tagger", "README"):
        (tmp_path / f"{name}.mode").write_text(f"lt-proc {name}.bin")
    (tmp_path / "deu-eng.mode").write_text("perl x.pl")
    found = apertium.discover(tmp_path)
    assert set(found) == {*SPANISH, ("oc", "fr"), ("fr", "es")}
    assert found["es", "en"] == [["lt-proc", "-z", "spa-eng.bin"]]
    assert ApertiumTranslator(tmp_path).pairs == set(found)


def test_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = "apertium is not installed: apt-get install apertium apertium-eng-spa"
    assert ApertiumTranslator(tmp_path / "absent").missing() == absent
    monkeypatch.setattr(apertium.shutil, "which", lambda program: program)
    assert "apt-get install apertium-eng-spa" in (ApertiumTranslator(tmp_path).missing() or "")
    (tmp_path / "eng-spa.mode").write_text("lt-proc x.bin")
    assert ApertiumTranslator(tmp_path).missing() is None


@pytest.mark.parametrize("text", ["^foo$ [x] \\ <b> @ {y} a/b", "", "plain", "\\\\[["])
def test_escapes_and_back(text: str) -> None:
    stream = apertium._escape(text)
    assert apertium._unescape(stream) == text
    assert not set(stream.replace("\\\\", "").replace("\\^", "")) & {"^", "\0"}


def test_what_the_grammar_must_not_touch_is_stood_in_for() -> None:
    text = "Write to bob.smith@example.org or https://example.org/a?b=1. Order AB-4729, <b>, 4729 and +49 30 12."
    hidden = apertium._Hidden(text)
    for thing in ("bob.smith@example.org", "https://example.org/a?b=1", "AB-4729", "<b>,"):
        assert thing not in hidden.text
    for word in ("4729 and +49 30 12.", "Write to", " or "):
        assert word in hidden.text
    assert hidden.restore(hidden.text.upper()) is not None
    assert hidden.restore(hidden.text) == text
    names = [word for word in hidden.text.split() if word.startswith("xqw")]
    assert hidden.restore(hidden.text.replace(names[0], "")) is None
    assert hidden.restore(hidden.text + names[1]) is None


class TestReal:
    pytestmark = real

    async def test_both_ways(self, translator: ApertiumTranslator) -> None:
        assert await translator.translate("I want to change my order.", "en-US", "es-MX") == "Quiero cambiar mi orden."
        assert await translator.translate("Quiero cambiar mi pedido", "es", "en") == "I want to change my request"
        assert await translator.translate("Hello world", "EN", "es") == "Hola Mundo"

    async def test_a_long_sentence_is_translated_as_one(self, translator: ApertiumTranslator) -> None:
        start = "El hombre dice que " + "la mujer come pan y " * 15
        whole = start + "los países son más avanzados."
        assert len(whole) > 300
        answer = await translator.translate(whole, "es", "en")
        assert answer[1:] == answer[1:].lower()
        assert answer.count(".") == 1

    async def test_a_warm_chain_is_kept(self, translator: ApertiumTranslator) -> None:
        await translator.warm("en", "es")
        chain = {process.pid for process in stages()}
        assert len(chain) >= 5
        await translator.translate("The first.", "en", "es")
        await translator.warm("en", "es")
        await translator.translate("The second.", "en", "es")
        assert {process.pid for process in stages()} == chain

    @pytest.mark.parametrize(
        ("text", "kept"),
        [
            ("^foo$ [x] \\ <b> @", ["^foo$", "[x]", "\\", "<b>", "@"]),
            ("My mail is bob.smith+x@example.org, thanks.", ["bob.smith+x@example.org"]),
            ("See https://example.org/a/b?c=1&d=2.", ["https://example.org/a/b?c=1&d=2."]),
            ("Call +49 30 1234567, order AB-4729-X, 1,234.50 at 10:30.", ["+49 30 1234567", "AB-4729-X", "1,234.50"]),
            ("😀 hello 👋🏽", ["😀", "👋🏽"]),
            ("the cat\nthe dog\r\n\r\nthe end", ["\n", "\r\n\r\n", "gato", "perro"]),
            ("Kallglot and Xyzzyq", ["Kallglot", "Xyzzyq"]),
            ("~tilde *star #hash a_b [[]]", ["~tilde", "*", "#hash", "a_b", "[[]]"]),
            ("Hello\0there", ["Hola"]),
        ],
    )
    async def test_hostile_text(self, translator: ApertiumTranslator, text: str, kept: list[str]) -> None:
        answer = await translator.translate(text, "en", "es")
        for part in kept:
            assert part in answer
        for mark in "*@#~^\\":
            assert answer.count(mark) == text.count(mark)
        assert await translator.translate("Hello world.", "en", "es") == "Hola Mundo."

    @pytest.mark.parametrize("text", ["", "  \n ", "?", "\\" * 50, "\ud800", "a" * 5000, "[" * 300, "^$" * 500])
    async def test_nothing_to_translate(self, translator: ApertiumTranslator, text: str) -> None:
        assert len(await translator.translate(text, "en", "es")) <= len(text)
        assert await translator.translate("Hello world.", "en", "es") == "Hola Mundo."

    async def test_five_thousand_characters(self, translator: ApertiumTranslator) -> None:
        sentence = "I want to change my order."
        count = 5000 // len(sentence)
        answer = await translator.translate(" ".join([sentence] * count), "en", "es")
        assert answer.split(". ") == ["Quiero cambiar mi orden"] * (count - 1) + ["Quiero cambiar mi orden."]
        with pytest.raises(EngineError, match="at most 20000 characters, got 20001"):
            await translator.translate("a" * 20001, "en", "es")

    async def test_many_at_once_each_get_their_own(self, translator: ApertiumTranslator) -> None:
        async def one(number: int) -> bool:
            back = number % 2
            text, languages = (
                (f"Tengo {number} gatos.", ("es", "en")) if back else (f"I have {number} cats.", ("en", "es"))
            )
            return await translator.translate(text, *languages) == (
                f"Have {number} cats." if back else f"Tengo {number} gatos."
            )

        assert all(await asyncio.gather(*(one(number) for number in range(100, 160))))

    async def test_too_many_at_once(self) -> None:
        engine = ApertiumTranslator(waiting=2)
        outcomes = await asyncio.gather(
            *(engine.translate("Hello.", "en", "es") for _ in range(5)), return_exceptions=True
        )
        assert [isinstance(outcome, EngineError) for outcome in outcomes] == [False, False, True, True, True]
        assert "busy" in str(outcomes[-1])
        await engine.close()

    @pytest.mark.parametrize("which", [0, 4, -1])
    async def test_a_killed_stage(self, translator: ApertiumTranslator, which: int) -> None:
        await translator.warm("en", "es")
        victims = stages()
        victims[which].kill()
        assert await translator.translate("Hello world.", "en", "es") == "Hola Mundo."
        assert not {process.pid for process in stages()} & {process.pid for process in victims}

    async def test_a_stage_killed_in_mid_text(self, translator: ApertiumTranslator) -> None:
        await translator.warm("en", "es")
        victim = stages()[3]
        victim.suspend()
        answer = asyncio.create_task(translator.translate("Hello world.", "en", "es"))
        await asyncio.wait([answer], timeout=0.05)
        assert not answer.done()
        victim.kill()
        assert await answer == "Hola Mundo."

    async def test_a_stage_that_hangs(self, caplog: pytest.LogCaptureFixture) -> None:
        engine = ApertiumTranslator(timeout_s=0.5)
        await engine.warm("en", "es")
        stages()[3].suspend()
        assert await engine.translate("Hello world.", "en", "es") == "Hola Mundo."
        assert "did not answer in time at attempt 1 of 2" in caplog.text
        await engine.close()
        assert stages() == []

    async def test_a_chain_that_cannot_live(self, tmp_path: Path) -> None:
        (tmp_path / "eng-spa.mode").write_text("lt-proc /absent/eng-spa.bin | lt-proc $1 /absent/gen.bin")
        engine = ApertiumTranslator(tmp_path)
        for _ in range(2):
            with pytest.raises(EngineError, match=r"apertium en-es broke \(.*\), twice"):
                await engine.translate("Hello", "en", "es")
        await engine.close()
        assert stages() == []

    async def test_a_caller_who_gives_up_leaves_nothing_in_the_pipe(self, translator: ApertiumTranslator) -> None:
        await translator.warm("en", "es")
        chain = {process.pid for process in stages()}
        given_up = [asyncio.create_task(translator.translate(f"I have {n} dogs.", "en", "es")) for n in range(3)]
        await asyncio.wait(given_up, timeout=0)
        for task in given_up:
            task.cancel()
        assert await translator.translate("I have 7 cats.", "en", "es") == "Tengo 7 gatos."
        assert {process.pid for process in stages()} == chain

    async def test_close_fails_what_waits(self) -> None:
        engine = ApertiumTranslator()
        await engine.warm("en", "es")
        os.kill(stages()[0].pid, signal.SIGSTOP)
        waiting = [asyncio.create_task(engine.translate("Hello.", "en", "es")) for _ in range(3)]
        await asyncio.wait(waiting, timeout=0.05)
        await engine.close()
        for outcome in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(outcome, EngineError)
        assert stages() == []
        with pytest.raises(EngineError, match="closed"):
            await engine.translate("Hello.", "en", "es")

    async def test_a_pair_that_is_not_installed(self, translator: ApertiumTranslator) -> None:
        with pytest.raises(EngineError, match="no pair xx to es is installed"):
            await translator.translate("Hello", "xx", "es")
