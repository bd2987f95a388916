"""A text in phonemes, by the real espeak-ng: with its marks, whatever the text is."""

import pytest

from kallglot.speech.engines import espeak_phonemes
from kallglot.speech.engines.espeak_phonemes import (
    PhonemesError,
    clauses,
    cut,
    for_kokoro,
    in_symbols,
    joined,
    phonemes,
    voice_for,
)


def test_clauses_keep_their_marks() -> None:
    assert clauses("Guten Tag, wie geht es? 3,5 Euro … „Gut!“ – so") == [
        ("Guten Tag", ","),
        ("wie geht es", "?"),
        ("3,5 Euro", "."),
        ("„Gut", "!"),
        ("so", ""),
    ]
    assert clauses("你好，世界。") == [("你好", ","), ("世界", ".")]
    assert clauses(" … !? ") == []
    assert max(len(words.encode()) for words, _ in clauses("ä" * 3000)) <= 900


def test_lines_and_marks() -> None:
    parts = [("a", ","), ("b", "?")]
    assert joined([" ə", " bˈiː "], parts) == "ə, bˈiː?"
    assert joined(["(en)ə(de)", "", "b"], parts) == "ə, b?"
    assert joined(["ə", "b", "c"], parts) == "ə, b, c?"
    assert joined([], []) == ""


@pytest.mark.parametrize(
    ("language", "voice"),
    [("en", "en-us"), ("en-GB", "en-gb"), ("de-DE", "de"), ("pt_BR", "pt-br"), ("zh", "cmn"), ("es-MX", "es")],
)
def test_the_voice_of_a_language(language: str, voice: str) -> None:
    assert voice_for(language) == voice


def test_symbols() -> None:
    assert in_symbols("ɪç", "ɪc\u0327") == "ɪc\u0327"
    assert in_symbols("ɪç", "ɪç") == "ɪç"
    assert in_symbols("ɪç4", "ɪc") == "ɪc"


def test_kokoro_has_a_letter_for_a_diphthong() -> None:
    assert for_kokoro("d^ʒˈo^ʊk t^ʃˈɜːt^ʃ", "en-us") == "ʤˈOk ʧˈɜɹʧ"
    assert for_kokoro("ˈaːb^c", "it") == "ˈaːbc"


def test_cut() -> None:
    assert cut("abc def ghi", 7) == ["abc def", "ghi"]
    assert cut("abcdefgh", 3) == ["abc", "def", "gh"]
    assert cut("", 3) == []


@pytest.mark.speech
def test_the_program() -> None:
    assert phonemes("Guten Tag, wie geht es?", "de") == "ɡˈuːtən tˈɑːk, viː ɡˈeːt ɛs?"
    assert phonemes("", "de") == ""
    assert phonemes("?!", "de") == ""
    assert phonemes("The [[hello]] <b> -v fr\nnext", "en-us")
    assert "^" in phonemes("choice", "en-us", tied=True)


@pytest.mark.speech
def test_a_voice_that_there_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PhonemesError, match="espeak-ng ended with status 1"):
        phonemes("a", "xx-none")
    with pytest.raises(PhonemesError, match="no name of a voice"):
        phonemes("a", "-f /etc/passwd")
    monkeypatch.setattr(espeak_phonemes, "BINARY", "no-such-program")
    with pytest.raises(PhonemesError, match="cannot be started"):
        phonemes("a", "de")
