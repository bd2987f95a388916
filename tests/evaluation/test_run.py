"""Recordings and texts through engines that do as a script says, and through ones that fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile

from kallglot.evaluation.corpus import find
from kallglot.evaluation.engines import Engines
from kallglot.evaluation.lines import clean
from kallglot.evaluation.listening import listen
from kallglot.evaluation.report import Report, spaced
from kallglot.evaluation.run import GIVE_UP, Plan, evaluate
from kallglot.evaluation.scores import EvaluationError, WordErrors
from kallglot.speech.engines.scripted import Script, ScriptedRecognizer, ScriptedTranslator
from kallglot.speech.registry import EngineRegistry
from kallglot.speech.types import EngineError, Failed, Final, RecognizerEvent, RecognizerOptions, RecognizerStream

SCRIPT = {
    "languages": ["en", "es"],
    "recognition": {"en": ["the first line"]},
    "translation": {"en>es": {"one": "uno", "two": "dos"}},
}


def script(**more: object) -> Script:
    return msgspec.convert(SCRIPT | more, Script)


def corpus_in(folder: Path, recordings: int = 1, seconds: float = 0.5) -> Path:
    (folder / "en").mkdir()
    tone = 0.3 * np.sin(2 * np.pi * 1_000 * np.arange(int(16_000 * seconds)) / 16_000)
    for number in range(recordings):
        soundfile.write(folder / "en" / f"{number}.wav", tone, 16_000)
        (folder / "en" / f"{number}.txt").write_text("the first line is this")
    (folder / "text.en").write_text("one\ntwo\nthree\n")
    (folder / "text.es").write_text("uno\ndos\ntres\n")
    return folder


async def evaluated(folder: Path, registry: EngineRegistry, plan: Plan, *names: str) -> Report:
    await registry.start()
    try:
        engines = Engines(registry, names)
        engines.check()
        return await evaluate(find(folder), engines, plan, lambda doing, done, total: None)
    finally:
        await registry.close()


def scripted(what: Script) -> EngineRegistry:
    return EngineRegistry(recognizers=[ScriptedRecognizer(what)], translators=[ScriptedTranslator(what)])


async def test_words_scores_and_delays(tmp_path: Path) -> None:
    report = await evaluated(corpus_in(tmp_path, 2), scripted(script()), Plan(timed=1))
    assert [(one.line, one.errors) for one in report.recognised] == [
        ("clean", WordErrors(10, 4)),
        ("telephone", WordErrors(10, 4)),
    ]
    first = report.recognised[0]
    assert first.recordings[0].heard.text == "the first line"
    assert first.real_time_factor is not None
    assert first.first_partial is not None
    assert first.final is not None
    assert first.final.median > 0
    both = {(one.source, one.target): one for one in report.translated}
    assert [one.translation for one in both["en", "es"].sentences] == ["uno", "dos", "[es] three"]
    assert both["en", "es"].worst(1)[0].source == "three"
    assert both["en", "es"].chrf > both["es", "en"].chrf
    assert not report.empty


async def test_everything_is_in_the_description(tmp_path: Path) -> None:
    report = await evaluated(corpus_in(tmp_path), scripted(script()), Plan(["clean"], timed=0))
    told = report.described()
    (row,) = told["recognition"]
    assert (row["engine"], row["language"], row["line"], row["words"], row["wrong"]) == (
        "scripted",
        "en",
        "clean",
        5,
        2,
    )
    assert row["wer"] == pytest.approx(0.4)
    assert row["first_partial_s"] is None
    assert row["files"][0]["heard"] == "the first line"
    assert [one["sentences"] for one in told["translation"]] == [3, 3]
    assert msgspec.json.decode(msgspec.json.encode(told)) == told


async def test_so_many_and_no_more(tmp_path: Path) -> None:
    report = await evaluated(corpus_in(tmp_path, 3), scripted(script()), Plan(["clean"], timed=0, most=2))
    assert [len(one.recordings) for one in report.recognised] == [2]
    assert [len(one.sentences) for one in report.translated] == [2, 2]


async def test_a_language_that_nothing_serves_is_left_out_in_words(tmp_path: Path) -> None:
    folder = corpus_in(tmp_path)
    (folder / "en").rename(folder / "de")
    (folder / "text.es").rename(folder / "text.de")
    report = await evaluated(folder, scripted(script()), Plan(timed=0))
    assert report.empty
    assert [why for _, why in report.left_out] == [
        "no engine that was asked for recognises German speech",
        "no engine that was asked for translates German to English",
        "no engine that was asked for translates English to German",
    ]


async def test_an_engine_that_fails_is_not_asked_for_ever(tmp_path: Path) -> None:
    class Broken(ScriptedTranslator):
        asked = 0

        async def translate(self, text: str, source: str, target: str, hints: object = None) -> str:
            Broken.asked += 1
            raise EngineError("out of order")

    folder = corpus_in(tmp_path, 0)
    (folder / "text.en").write_text("one\n" * 20)
    (folder / "text.es").write_text("uno\n" * 20)
    report = await evaluated(folder, EngineRegistry(translators=[Broken(script())]), Plan())
    assert Broken.asked == 2 * GIVE_UP
    assert report.empty
    assert [one.failed for one in report.translated] == [20, 20]
    assert report.translated[0].sentences[0].trouble == "out of order"
    assert report.translated[0].sentences[-1].trouble == f"not asked any more after {GIVE_UP} failures in a row"


async def test_what_cannot_be_read_is_told_with_its_recording(tmp_path: Path) -> None:
    folder = corpus_in(tmp_path, 2)
    (folder / "en" / "0.wav").write_text("no sound")
    report = await evaluated(folder, scripted(script()), Plan(["clean"], timed=2))
    (found,) = report.recognised
    assert [one.name for one in found.answered] == ["en/1.wav"]
    assert found.errors == WordErrors(5, 2)
    assert "cannot be read as sound" in str(found.worst(1)[0].heard.trouble)
    assert len(found.timed) == 1


async def test_engines_are_chosen_by_name(tmp_path: Path) -> None:
    class Other(ScriptedRecognizer):
        name = "other"

    folder = corpus_in(tmp_path)
    engines = [ScriptedRecognizer(script()), Other(script(recognition={"en": ["the first line is this"]}))]
    report = await evaluated(folder, EngineRegistry(recognizers=engines), Plan(["clean"], timed=0), "other")
    assert [(one.engine, one.errors.wrong) for one in report.recognised] == [("other", 0)]
    with pytest.raises(EvaluationError, match="there is no engine third; there are: scripted, other"):
        await evaluated(folder, EngineRegistry(recognizers=engines), Plan(), "third")


async def test_an_engine_elsewhere_hears_at_the_speed_of_speech(tmp_path: Path) -> None:
    class Remote(ScriptedRecognizer):
        healthy = True

    folder = corpus_in(tmp_path, seconds=0.3)
    report = await evaluated(folder, EngineRegistry(recognizers=[Remote(script())]), Plan(["clean"]))
    (found,) = report.recognised
    assert found.recordings[0].heard.work_s is None
    assert found.real_time_factor is None
    assert found.final is not None
    assert found.timed == []


class Deaf:
    """A recogniser whose streams do what they are told to."""

    name = "deaf"
    languages = ("en",)

    def __init__(self, at_end: RecognizerEvent | None) -> None:
        self._at_end = at_end
        self.closed = 0

    async def open(self, options: RecognizerOptions, on_event: Callable[[RecognizerEvent], None]) -> RecognizerStream:
        engine = self

        class Stream:
            backlog_ms = 60_000
            dropped_ms = 0

            def push(self, pcm: bytes | memoryview) -> None:
                if engine._at_end is not None:
                    on_event(engine._at_end)

            def skip(self, ms: int) -> None: ...

            def finish(self) -> None: ...

            async def drain(self) -> None:
                if engine._at_end is None:
                    await asyncio.Event().wait()

            async def close(self) -> None:
                engine.closed += 1

        return Stream()


async def test_an_engine_that_gives_up_is_believed(tmp_path: Path) -> None:
    deaf = Deaf(Failed("the line is dead"))
    heard = await listen(deaf, clean(np.zeros(32_000), 16_000), "en", real_time=False)
    assert heard.trouble == "the line is dead"
    assert deaf.closed == 1


async def test_an_engine_that_never_answers_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kallglot.evaluation.listening.PATIENCE_S", -1.0)
    deaf = Deaf(None)
    heard = await listen(deaf, clean(np.zeros(1_600), 16_000), "en", real_time=False)
    assert heard.trouble == "it did not answer in time"
    assert deaf.closed == 1


async def test_finals_are_put_in_order() -> None:
    deaf = Deaf(Final("said", 0, 1))
    heard = await listen(deaf, clean(np.zeros(100), 16_000), "en", real_time=True)
    assert heard.text.split()[:2] == ["said", "said"]
    assert heard.work_s is None


def test_some_of_many_are_from_everywhere() -> None:
    assert spaced(range(10), 5) == [0, 2, 4, 6, 8]
    assert spaced([1, 2], 5) == [1, 2]
    assert spaced([1, 2], 0) == []
