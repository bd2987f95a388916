"""What is found in a folder, and what is said of the rest."""

from pathlib import Path

import pytest

from kallglot.evaluation.corpus import find, parallel
from kallglot.evaluation.scores import EvaluationError


def put(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_recordings_with_their_words(tmp_path: Path) -> None:
    put(tmp_path / "read/en/one.ogg")
    put(tmp_path / "read/en/one.txt", "the first one\n")
    put(tmp_path / "prompts/pt-BR/two.wav")
    put(tmp_path / "prompts/pt-BR/three.WAV")
    put(tmp_path / "prompts/pt-BR/transcripts.tsv", 'two.wav\t1.5\to segundo "dois"\nthree\t2\to terceiro\nbad row\n')
    found = find(tmp_path)
    assert [(one.name, one.language, one.text) for one in found.recordings] == [
        ("prompts/pt-BR/three.WAV", "pt-BR", "o terceiro"),
        ("prompts/pt-BR/two.wav", "pt-BR", 'o segundo "dois"'),
        ("read/en/one.ogg", "en", "the first one"),
    ]
    assert found.left_out == []


def test_what_cannot_be_used_is_said(tmp_path: Path) -> None:
    put(tmp_path / "en/silent.wav")
    put(tmp_path / "en/empty.wav")
    put(tmp_path / "en/empty.txt", "…\n")
    put(tmp_path / "whatever/tongue.wav")
    put(tmp_path / "whatever/tongue.txt", "words")
    (tmp_path / "en/latin.txt").write_bytes("f\xfcnf".encode("latin-1"))
    put(tmp_path / "en/latin.wav")
    found = find(tmp_path)
    assert found.recordings == []
    assert {name: why.split(":")[0] for name, why in found.left_out} == {
        "en/empty.wav": "its reference has no words",
        "en/latin.wav": "latin.txt is not UTF-8",
        "en/silent.wav": "there is neither silent.txt nor a row in transcripts.tsv with its words",
        "whatever/tongue.wav": "no folder that it is in is called like a language",
    }


def test_the_language_may_be_said(tmp_path: Path) -> None:
    put(tmp_path / "en/one.wav")
    put(tmp_path / "en/one.txt", "eins")
    assert [one.language for one in find(tmp_path, "de").recordings] == ["de"]


def test_the_folder_itself_may_be_called_like_a_language(tmp_path: Path) -> None:
    put(tmp_path / "de/one.wav")
    put(tmp_path / "de/one.txt", "eins")
    assert [one.language for one in find(tmp_path / "de").recordings] == ["de"]


def test_texts_that_translate_each_other(tmp_path: Path) -> None:
    put(tmp_path / "mt/news.en", "one\n\u2028two\n\n")
    put(tmp_path / "mt/news.es", "uno\ndos\n\n")
    put(tmp_path / "mt/news.de", "eins\n")
    found = find(tmp_path)
    assert [(one.name, one.source, one.target, one.lines) for one in found.texts] == [
        ("mt/news", "en", "es", (("one", "uno"), ("two", "dos"))),
        ("mt/news", "es", "en", (("uno", "one"), ("dos", "two"))),
    ]
    assert {why for _, why in found.left_out} >= {
        "news.de has 1 lines and news.en 3: they are not translations of each other line by line"
    }


def test_two_files(tmp_path: Path) -> None:
    source, target = put(tmp_path / "a.txt", "one\ntwo\n"), put(tmp_path / "b.es", "uno\ndos\n")
    with pytest.raises(EvaluationError, match=r"a\.txt cannot be told from its name"):
        parallel(source, target, None, None)
    assert parallel(source, target, "en", None).lines == (("one", "uno"), ("two", "dos"))
    with pytest.raises(EvaluationError, match="cannot be read"):
        parallel(tmp_path / "none.en", target, None, None)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="is not a folder"):
        find(tmp_path / "none")
