"""What neural voices read instead of letters: a text in the International Phonetic Alphabet, by espeak-ng.

Piper's voices, and most languages of Kokoro, were trained on espeak-ng's phonemes with the punctuation between them.
sherpa-onnx carries no espeak-ng since its version 2.0 (https://github.com/k2-fsa/sherpa-onnx/issues/3731); here the
installed program is run, which is GPL and stays a process of its own, with its own data. A clause is a line to it, so
that what comes back can be told apart.
"""

from __future__ import annotations

import re
import subprocess
import unicodedata
from collections.abc import Collection
from typing import Final

from kallglot.speech.languages import base

BINARY: Final = "espeak-ng"
TIMEOUT_SECONDS: Final = 5.0
LONGEST_LINE: Final = 900
"""Bytes; the program reads at most 999 at once."""

_MARKS: Final = {
    "…": ".",
    "—": ",",
    "–": ",",
    "。": ".",
    "！": "!",
    "？": "?",
    "，": ",",
    "、": ",",
    "；": ";",
    "：": ":",
}
_CLAUSE: Final = re.compile(r"[.,;:!?…]+[\"'»“”’)\]]*(?=\s|$)|[—–]|[。！？，、；：]")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]+")
_WORD: Final = re.compile(r"\w")
_SWITCH: Final = re.compile(r"\([a-z][a-z0-9-]*\)")
_VOICE: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_REGIONS: Final = frozenset(("en-us", "en-gb", "es-419", "pt-br", "fr-be", "fr-ch", "vi-vn-x-central"))


class PhonemesError(Exception):
    """The text cannot be had in phonemes; in words."""


def voice_for(language: str) -> str:
    """The name of espeak-ng's voice for a language in BCP 47: most have none by region."""
    tag = language.replace("_", "-").lower()
    if tag in _REGIONS:
        return tag
    return {"en": "en-us", "pt": "pt", "no": "nb", "zh": "cmn"}.get(base(tag), base(tag))


def clauses(text: str) -> list[tuple[str, str]]:
    """Each clause with words in it, and the mark that ends it, "" where there is none."""
    found: list[tuple[str, str]] = []
    at = 0
    text = _CONTROL.sub(" ", text)
    for end in _CLAUSE.finditer(text):
        mark = end.group()[0]
        found.append((text[at : end.start()], _MARKS.get(mark, mark)))
        at = end.end()
    found.append((text[at:], ""))
    return [pair for words, mark in found if _WORD.search(words) for pair in _lines(words.strip(), mark)]


def joined(lines: list[str], parts: list[tuple[str, str]]) -> str:
    """The phonemes of clauses with their marks between them. Where the program cut a clause up by itself, commas stand
    for what it knew."""
    said = [_SWITCH.sub("", line).strip() for line in lines]
    said = [line for line in said if line]
    if len(said) == len(parts):
        return " ".join(line + mark for line, (_, mark) in zip(said, parts, strict=True))
    return ", ".join(said) + (parts[-1][1] if parts else "")


def phonemes(text: str, voice: str, *, tied: bool = False) -> str:
    """``tied``: sounds of several letters have ^ between them. Raises :class:`PhonemesError`. Takes some 15 ms."""
    parts = clauses(text)
    if not parts:
        return ""
    if not _VOICE.fullmatch(voice):
        raise PhonemesError(f"{voice!r} is no name of a voice of espeak-ng")
    # Brackets twice would be phonemes, and marks within a clause would end it.
    lines = "".join(re.sub(r"[\[\]<>]+", " ", words) + "\n" for words, _ in parts)
    try:
        done = subprocess.run(
            [BINARY, "-q", "--ipa", *(["--tie=^"] if tied else []), "-b", "1", "-v", voice],
            input=lines.encode(errors="replace"),
            capture_output=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except OSError as error:
        raise PhonemesError(f"espeak-ng cannot be started: {error.strerror or error}") from None
    except subprocess.TimeoutExpired:
        raise PhonemesError("espeak-ng did not answer in time") from None
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise PhonemesError(f"espeak-ng ended with status {done.returncode}: {words[-1] if words else ''}")
    return joined(done.stdout.decode(errors="replace").splitlines(), parts)


_KOKORO: Final = {
    sound: letter
    for sound, _, letter in (
        pair.partition(":") for pair in "a^ɪ:I a^ʊ:W e^ɪ:A o^ʊ:O ə^ʊ:Q ɔ^ɪ:Y d^z:ʣ d^ʒ:ʤ t^s:ʦ t^ʃ:ʧ".split()
    )
}
_KOKORO_AMERICAN: Final = {"ɜːɹ": "ɜɹ", "ɜː": "ɜɹ", "ɚ": "əɹ", "ɐ": "ə", "ː": ""}


def for_kokoro(tied: str, voice: str) -> str:
    """Kokoro's voices have one letter for each diphthong and affricate, and write American English without length.

    See https://github.com/hexgrad/misaki.
    """
    changes = {**_KOKORO, **(_KOKORO_AMERICAN if voice == "en-us" else {}), "^": ""}
    for sound, letter in changes.items():
        tied = tied.replace(sound, letter)
    return tied


def in_symbols(spoken: str, symbols: Collection[str]) -> str:
    """Written with the symbols that a voice has: Piper's take ç apart (NFD), others do not; what neither way is among
    them is left out."""
    written: list[str] = []
    for sound in unicodedata.normalize("NFC", spoken):
        apart = unicodedata.normalize("NFD", sound)
        if all(part in symbols for part in apart):
            written += apart
        elif sound in symbols:
            written.append(sound)
        else:
            written += [part for part in apart if part in symbols]
    return "".join(written)


def cut(spoken: str, limit: int) -> list[str]:
    """Parts of at most ``limit`` symbols, between words where it can be."""
    parts: list[str] = []
    while len(spoken) > limit:
        at = spoken.rfind(" ", 1, limit + 1)
        at = at if at > 0 else limit
        parts.append(spoken[:at])
        spoken = spoken[at:].lstrip()
    return [*parts, spoken] if spoken else parts


def _lines(words: str, mark: str) -> list[tuple[str, str]]:
    """One line as a rule; more where it would be too long for the program."""
    data = words.encode(errors="replace")
    if len(data) <= LONGEST_LINE:
        return [(words, mark)]
    size = LONGEST_LINE // 4
    parts = [words[at : at + size] for at in range(0, len(words), size)]
    return [*((part, "") for part in parts[:-1] if _WORD.search(part)), (parts[-1], mark)]
