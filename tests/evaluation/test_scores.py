"""What is counted, and what is said where the libraries that count are missing."""

import sys

import pytest

from kallglot.evaluation.scores import EvaluationError, WordErrors, bleu, chrf, needed, spread, word_errors


def test_word_errors_are_counted_on_comparable_texts() -> None:
    assert word_errors("It has 2 parts.", "it has two parts", "en") == WordErrors(4, 0)
    assert word_errors("one two three four", "one too three four five", "en") == WordErrors(4, 2)
    assert word_errors("one two", "", "en") == WordErrors(2, 2)
    assert word_errors("...", "noise", "en") == WordErrors(0, 1)


def test_word_errors_add_up_by_words_and_not_by_recordings() -> None:
    both = WordErrors(9, 0) + WordErrors(1, 1)
    assert both.rate == pytest.approx(0.1)
    assert WordErrors(0, 0).rate == 0


def test_translations_are_scored_as_sacrebleu_does() -> None:
    sentences = ["The cat sits on the old mat.", "Nobody called me yesterday evening."]
    assert bleu(sentences, sentences) == pytest.approx(100)
    assert chrf(sentences, sentences) == pytest.approx(100)
    worse = ["The cat sits on a mat.", "Somebody rang."]
    assert 0 < bleu(sentences, worse) < 60
    assert 0 < chrf(sentences, worse) < 80


def test_spread() -> None:
    assert spread([]) is None
    found = spread([float(value) for value in range(100)])
    assert found is not None
    assert (found.median, found.p95, found.most) == (49.5, 95, 99)


@pytest.mark.parametrize("library", ["jiwer", "sacrebleu"])
def test_a_missing_library_is_told_in_words(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(EvaluationError, match=rf"{library} is not installed: pip install 'kallglot\[eval\]'"):
        needed()
