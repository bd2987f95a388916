"""The real loader of translation models over random ones: gibberish, but all of it, in order, and whatever dies."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from tests.speech.standins.manifests import folder_of, sign
from tests.speech.standins.translation import build, build_german_english, of_many, vocabulary
from tests.waiting import until

from kallglot.models.installed import InstalledModel, installed
from kallglot.speech.engines import translation_models
from kallglot.speech.engines.translation_models import CTranslateTranslator, translators_of
from kallglot.speech.engines.translation_worker import BATCH_TOKENS, Configuration, Load, Translate, Translating
from kallglot.speech.request_worker import Job
from kallglot.speech.types import EngineError

pytestmark = [pytest.mark.speech, pytest.mark.xdist_group("translation_models")]
one_loop = pytest.mark.asyncio(loop_scope="module")
SENTENCE = "Ich möchte bitte meine Lieferadresse ändern."


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[InstalledModel]:
    return build_german_english(tmp_path_factory.mktemp("models"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both(models: list[InstalledModel]) -> AsyncIterator[list[CTranslateTranslator]]:
    engines = translators_of(models)
    await asyncio.gather(*(engine.start() for engine in engines))
    yield engines
    await asyncio.gather(*(engine.close() for engine in engines))
    assert engines[0].pids == []


@one_loop
async def test_both_directions_in_one_process(both: list[CTranslateTranslator]) -> None:
    german, english = both
    assert (set(german.pairs), set(english.pairs)) == ({("de", "en")}, {("en", "de")})
    assert german.pids == english.pids
    there = await german.translate(SENTENCE, "de-DE", "en-GB")
    back = await english.translate(SENTENCE, "en", "de")
    assert there
    assert back
    assert there != back
    assert there == await german.translate(SENTENCE, "de", "en")
    assert german.processes.running == 1
    with pytest.raises(EngineError, match="does not translate de to fr"):
        await german.translate(SENTENCE, "de", "fr")


@one_loop
async def test_a_text_goes_sentence_by_sentence_and_keeps_its_order(both: list[CTranslateTranslator]) -> None:
    german = both[0]
    texts = ["Guten Tag!", "Wie geht es Ihnen?", "Der Zug kommt morgen um acht Uhr an.", "12,50!", "Danke."]
    alone = [await german.translate(text, "de", "en") for text in texts]
    assert len(set(alone)) == len(texts)
    assert alone[3] == "12,50!"
    assert await german.translate("  " + " ".join(texts) + "\n" + texts[0], "de", "en") == (
        " ".join(alone) + "\n" + alone[0]
    )


@one_loop
async def test_any_text_is_answered(both: list[CTranslateTranslator]) -> None:
    for text in ("", "  \n ", "…", "42 – 43"):
        assert await both[0].translate(text, "de", "en") == text.strip()
    for text in ("\ud800 Hallo \0 da", "😀 你好 Ωμέγα", "a" * 3000, "ja, " * 500):
        assert await both[0].translate(text, "de", "en")


@one_loop
async def test_a_text_that_is_too_long(both: list[CTranslateTranslator]) -> None:
    with pytest.raises(EngineError, match="expected at most 20000 characters, got 20001"):
        await both[0].translate("x" * 20_001, "de", "en")


@one_loop
async def test_many_sessions_at_once_each_get_their_own(both: list[CTranslateTranslator]) -> None:
    german, english = both
    texts = [f"Der {word} ist da." for word in ("Zug", "Termin", "Tag", "Morgen", "Mann", "Ball", "Hund", "Weg")]
    alone = [await german.translate(text, "de", "en") for text in texts]
    together = await asyncio.gather(
        *(german.translate(text, "de", "en") for text in texts), *(english.translate("yes", "en", "de") for _ in texts)
    )
    assert together[:8] == alone
    assert len(set(together[8:])) == 1


@one_loop
async def test_who_hangs_up_holds_up_nobody(both: list[CTranslateTranslator]) -> None:
    german = both[0]
    expected = await german.translate(SENTENCE, "de", "en")
    pids = german.pids
    left = [asyncio.create_task(german.translate(f"{SENTENCE} " * 20, "de", "en")) for _ in range(8)]
    await until(lambda: german.processes.streams > 0)
    for task in left:
        task.cancel()
    assert await german.translate(SENTENCE, "de", "en") == expected
    assert german.processes.streams == 0
    assert german.pids == pids


@one_loop
async def test_a_process_that_dies_in_mid_request(both: list[CTranslateTranslator]) -> None:
    german = both[0]
    expected = await german.translate(SENTENCE, "de", "en")
    (pid,), restarts = german.pids, german.processes.restarts
    os.kill(pid, signal.SIGSTOP)
    asked = asyncio.create_task(german.translate(SENTENCE, "de", "en"))
    await until(lambda: german.processes.streams == 1)
    os.kill(pid, signal.SIGKILL)
    assert await asked == expected
    assert german.processes.restarts == restarts + 1


async def test_the_process_ends_with_its_last_engine(models: list[InstalledModel]) -> None:
    first, second = translators_of(models)
    for engine in (first, second):
        await engine.start()
        await engine.start()
    await first.close()
    assert await second.translate("hello", "en", "de")
    with pytest.raises(EngineError, match="closed"):
        await first.translate("hallo", "de", "en")
    await second.close()
    await second.close()
    assert second.pids == []


async def test_a_model_that_never_ends_its_sentences(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "endless")
    build(folder, seed=1, ends=-30, adds_end=True)
    (folder / "sp.model").write_bytes(vocabulary())
    endless = sign(folder, "translation", "opus-mt", {"model": "model.bin", "sp": "sp.model"}, pairs=(("de", "en"),))
    engine = CTranslateTranslator(endless)
    await engine.start()
    try:
        assert len((await engine.translate("Ja.", "de", "en")).split()) < 40
    finally:
        await engine.close()


@pytest.mark.parametrize(("family", "mark"), [("m2m100", "__{}__"), ("madlad", "<2{}>")])
async def test_models_of_many_languages(tmp_path: Path, family: str, mark: str) -> None:
    marks = [mark.format(code) for code in ("de", "en", "fr")]
    pairs = (("de", "en"), ("de", "fr"), ("en", "de"), ("de", "it"))
    engine = CTranslateTranslator(of_many(tmp_path, family, marks, pairs))
    await engine.start()
    try:
        # Of one sentence random weights may make the same for both, of which depends on the processor.
        sentences = (
            SENTENCE,
            "Guten Tag.",
            "Wie geht es Ihnen?",
            "Der Weg ist weit.",
            "Nein, danke.",
            "Wann kommt er?",
        )
        english = await asyncio.gather(*(engine.translate(one, "de", "en") for one in sentences))
        french = await asyncio.gather(*(engine.translate(one, "de-AT", "fr-CA") for one in sentences))
        assert english != french
        assert not any(mark in text for text in (*english, *french) for mark in marks)
        with pytest.raises(EngineError, match=r"the model does not know (__it__|<2it>)"):
            await engine.translate(SENTENCE, "de", "it")
    finally:
        await engine.close()


async def test_files_that_are_no_model(tmp_path: Path, models: list[InstalledModel]) -> None:
    good = models[0]
    folder = folder_of(tmp_path, "broken")
    for name in ("config.json", "shared_vocabulary.json", "source.spm", "target.spm"):
        (folder / name).write_bytes((good.folder / name).read_bytes())
    (folder / "model.bin").write_bytes(good.files["model"].read_bytes()[:5000])
    roles = {"model": "model.bin", "source_sp": "source.spm", "target_sp": "target.spm"}
    broken = sign(folder, "translation", "opus-mt", roles, pairs=(("de", "en"),))
    bad, well = translators_of([broken, good])
    await well.start()
    with pytest.raises(EngineError, match=r"broken cannot be loaded: .*; kallglot models verify broken"):
        await bad.start()
    assert await well.translate(SENTENCE, "de", "en")
    await well.close()
    assert bad.pids == []


def test_missing(models: list[InstalledModel], monkeypatch: pytest.MonkeyPatch) -> None:
    good = models[0]
    assert CTranslateTranslator(good).missing() is None
    gone = replace(good, files={**good.files, "target_sp": good.folder / "gone.spm"})
    assert CTranslateTranslator(gone).missing() == ("opus-mt-de-en lacks gone.spm: kallglot models pull opus-mt-de-en")
    no_model = replace(good, files={"source_sp": good.files["source_sp"]})
    assert CTranslateTranslator(no_model).missing() == "opus-mt-de-en has no model: kallglot models pull opus-mt-de-en"
    assert "newer version" in (CTranslateTranslator(replace(good, family="new")).missing() or "")
    assert translators_of([replace(good, family="new"), replace(good, kind="synthesis")]) == []
    monkeypatch.setattr(translation_models.importlib.util, "find_spec", lambda _: None)
    assert "ctranslate2 and sentencepiece cannot be imported" in (CTranslateTranslator(good).missing() or "")


def test_large_models_have_their_own_process(models: list[InstalledModel], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translation_models, "SMALL_BYTES", models[0].files["model"].stat().st_size - 1)
    engines = translators_of(models)
    assert engines[0]._pool is not engines[1]._pool


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (4, 2), (8, 4), (64, 4)])
def test_threads(cores: int, threads: int) -> None:
    assert translation_models.threads_of(cores) == threads


def job(number: int, asked: Any) -> Job:
    return Job(number, msgspec.to_builtins(asked))


def test_models_are_kept_as_far_as_there_is_room(models: list[InstalledModel]) -> None:
    files = [translation_models._files(model) for model in models]
    room = files[0].size + files[1].size
    for kept, loaded in ((room - 1, 1), (room, 2)):
        work = Translating(Configuration(files, 1, kept))
        for model in models:
            assert work.perform([job(1, Load(model.name))]) == [None]
        assert len(work._loaded) == loaded
        assert work.perform([job(1, Translate(models[0].name, "de", "en", "ja"))]) != [""]
    (refused,) = work.perform([job(1, Load("other"))])
    assert str(refused) == "there is no model other here"


def test_batches() -> None:
    choose = Translating.choose
    long = [job(n, Translate("a", "de", "en", "x" * 100)) for n in range(20)]
    short = job(20, Translate("a", "de", "en", "ja"))
    other = job(21, Translate("b", "de", "en", "ja"))
    load = job(22, Load("a"))
    chosen = choose(None, [*long, short, other])  # type: ignore[arg-type]
    assert 1 < len(chosen) <= BATCH_TOKENS // 25
    assert chosen == long[: len(chosen)]
    assert choose(None, [short, other, load, long[0]]) == [short, long[0]]  # type: ignore[arg-type]
    assert choose(None, [load, short]) == [load]  # type: ignore[arg-type]
    assert choose(None, [job(1, Translate("a", "de", "en", "x" * 9000)), short])[1:] == []  # type: ignore[arg-type]


async def test_the_model_of_the_test_data(testdata: Path, tmp_path: Path) -> None:
    source = testdata / "models" / "ct2-random-de-en"
    if not source.is_dir():
        pytest.skip(f"there is no model at {source}")
    files = {"model": source / "model.bin", "sp": source / "sp.model"}
    model = InstalledModel("random", "1", "translation", "opus-mt", source, files, (), (("de", "en"),), "", None, {})
    engine = CTranslateTranslator(model)
    await engine.start()
    try:
        assert await engine.translate("Guten Tag. Wie geht es Ihnen?", "de", "en")
    finally:
        await engine.close()
    assert installed(tmp_path) == []
