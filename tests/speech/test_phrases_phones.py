"""Phones from the phonetic alphabet, and phrases that sound alike; pure."""

import shutil
import subprocess

import pytest

from kallglot.speech.engines.espeak import parse_voices
from kallglot.speech.engines.phones import PHONES, Saying, alike, saying, sayings, unknown
from kallglot.speech.engines.pronunciation import words


@pytest.mark.parametrize(
    ("ipa", "said"),
    [
        ("v_ˈa_n k_ˈɔ_m_t d_ɛ_ɾ t_ˈɛ_ç_n_ɪ_k_ɜ", "V AA N / K AO M T / D EH R / T EH SH N IH K ER"),
        ("d_ɾ_ˈaɪ _ʊ_n_t_ts_v_ˈa_n_ts_ɪ_ç", "D R AY / UH N T T S V AA N T S IH SH"),
        ("m_ˌaɪ_n_ə _ˈɛ_n_d_ɜ_n", "M AY N AH / EH N D ER N"),
        ("b_ɔ̃", "B AO NG"),
        ("b_ɑ\u0303", "B AA NG"),
        ("ʃ_ˈøː_n", "SH ER N"),
        ("(en)h_ˈaʊ_s(de)", "HH AW S"),
        ("dʒ_oʊː", "JH OW"),
        ("", ""),
        ("ˈ_ː ʔ", ""),
    ],
)
def test_sounds_become_the_nearest_phones(ipa: str, said: str) -> None:
    assert " / ".join(" ".join(word) for word in saying(ipa)) == said
    assert unknown(ipa) == ""


def test_sounds_that_are_not_known_are_left_out_and_told() -> None:
    assert saying("a_ʘ_b") == (("AA", "B"),)
    assert unknown("a_ʘ_b ʘ") == "ʘ"


@pytest.mark.speech
def test_every_language_of_espeak_is_covered() -> None:
    binary = shutil.which("espeak-ng")
    assert binary
    listing = subprocess.run([binary, "--voices"], capture_output=True, text=True, check=True).stdout
    voices = sorted(set(parse_voices(listing).values()))
    assert len(voices) > 90
    numbers, covered = " ".join(map(str, range(13))), 0
    for voice in voices:
        options = [binary, "-q", "--ipa", "--sep=_", "-v", voice, numbers]
        ipa = subprocess.run(options, capture_output=True, text=True).stdout
        if not ipa.strip(" _\n"):
            # A name or two of the table the program does not take, and a few voices know no numbers.
            continue
        covered += 1
        assert unknown(ipa) == "", voice
        said = saying(ipa)
        assert len(said) >= 5, voice
        assert PHONES.issuperset(phone for word in said for phone in word), voice
    assert covered > 90


def test_ways_of_saying_a_phrase_are_bounded() -> None:
    ways = [[("AH",), ("EY",)], [("T", "UW"), ("T", "AH")]]
    assert len(sayings(ways, 8)) == 4
    assert len(sayings([*ways, *ways, *ways], 8)) == 8


def test_phrases_that_sound_the_same_or_nearly() -> None:
    def one(*phones: str) -> Saying:
        return (tuple(phones),)

    listed = [
        (0, one("N", "AY", "N")),
        (1, (("N", "AY"), ("N",))),
        (2, one("D", "AY", "N")),
        (3, one("N", "AY")),
        (4, one("Z", "UH", "R", "IH", "K")),
        (0, one("N", "AY", "N")),
    ]
    same, near = alike(listed)
    assert same == [(0, 1)]
    assert sorted(near) == [(0, 2), (0, 3), (1, 2), (1, 3)]


def test_many_phrases_are_compared_quickly() -> None:
    listed = [
        (number, (tuple("AA EH IY K T P N M".split()[int(digit) % 8] for digit in f"{number:020d}"),))
        for number in range(1_000)
    ]
    same, near = alike(listed)
    assert same
    assert near


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Ich möchte, bitte: 23,5 Äpfel!", ["Ich", "möchte", "bitte", "23,5", "Äpfel"]),
        ("l’été & co.", ["l'été", "&", "co"]),
        ("🙂🙂 ja 🙂", ["ja"]),
        ("… — 🙂 \x07", []),
        ("[[t'est]] <b>", ["t'est", "b"]),
        ("да/нет", ["да", "нет"]),
    ],
)
def test_what_of_a_text_can_be_said(text: str, said: list[str]) -> None:
    assert words(text) == said
