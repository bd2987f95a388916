"""How phrases are said, in any language that espeak-ng has a voice for; English words as a dictionary has them.

espeak-ng is GPL and stays a process of its own: one for each language of a list of phrases.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import re
import unicodedata
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from kallglot.speech.engines.espeak import parse_voices
from kallglot.speech.engines.phones import PHONES, Saying, Word, saying, sayings
from kallglot.speech.languages import base, english_name
from kallglot.speech.types import EngineError

MOST_SAYINGS: Final = 8
"""Ways of saying one phrase."""
TIMEOUT_SECONDS: Final = 10.0
AT_ONCE: Final = 25
"""Phrases for one run of espeak-ng: a full list of long ones may take a busy machine longer than that."""
_WORDS: Final = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)*|[&%+@€$£°]")
_DICTIONARY: Final = "model/en-us/cmudict-en-us.dict"


def words(text: str) -> list[str]:
    """What of a text can be said: words, numbers, a few signs. Punctuation, emoji and control characters go."""
    return [word.replace("’", "'") for word in _WORDS.findall(unicodedata.normalize("NFC", text))]


class Pronunciation:
    def __init__(self, binary: str = "espeak-ng") -> None:
        self._binary = binary
        self._voices: dict[str, str] | None = None

    async def say(self, texts: Sequence[tuple[str, str]]) -> list[tuple[Saying, ...]]:
        """For each text and its language the ways of saying it: none where nothing in it can be said.

        Raises ``LookupError`` with the English name of a language that has no voice, :class:`EngineError` where
        espeak-ng failed.
        """
        split = [words(text) for text, _ in texts]
        english = {
            word.lower() for said, (_, tag) in zip(split, texts, strict=True) if base(tag) == "en" for word in said
        }
        known = await asyncio.to_thread(dictionary, english) if english else {}
        found: list[tuple[Saying, ...]] = [()] * len(texts)
        asked: dict[str, dict[int, str]] = {}
        for number, ((_, tag), said) in enumerate(zip(texts, split, strict=True)):
            if said and base(tag) == "en" and all(word.lower() in known for word in said):
                found[number] = sayings([known[word.lower()] for word in said], MOST_SAYINGS)
            elif said:
                asked.setdefault(await self._voice(tag), {})[number] = " ".join(said)
        for voice, lines in asked.items():
            numbers = list(lines)
            for at in range(0, len(numbers), AT_ONCE):
                some = numbers[at : at + AT_ONCE]
                spoken = await self._transcribe(voice, [lines[number] for number in some])
                for number, ipa in zip(some, spoken, strict=True):
                    one = saying(ipa)
                    found[number] = (one,) if one else ()
        return found

    async def _voice(self, tag: str) -> str:
        if self._voices is None:
            self._voices = parse_voices(await self._run("", "--voices"))
        voice = self._voices.get(tag.replace("_", "-").lower()) or self._voices.get(base(tag))
        if voice is None:
            raise LookupError(english_name(tag))
        return voice

    async def _transcribe(self, voice: str, lines: Sequence[str]) -> list[str]:
        options = ("-q", "--ipa", "--sep=_", "-b", "1", "-v", voice, "--stdin")
        given = (await self._run("\n\n".join(lines), *options)).splitlines()
        if len(given) == len(lines):
            return given
        # A language may have its own idea of where a clause ends.
        return [" ".join((await self._run(line, *options)).splitlines()) for line in lines]

    async def _run(self, text: str, *options: str) -> str:
        try:
            process = await asyncio.create_subprocess_exec(
                self._binary,
                *options,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise EngineError(f"espeak-ng cannot be started: {error}") from None
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                out, _ = await process.communicate(text.encode(errors="replace"))
        except TimeoutError:
            raise EngineError("espeak-ng did not say in time how phrases are pronounced") from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.returncode != 0:
            raise EngineError(f"espeak-ng ended with status {process.returncode}")
        return out.decode(errors="replace")


def package_folder() -> Path | None:
    """Where pocketsphinx is installed; it is not imported."""
    spec = importlib.util.find_spec("pocketsphinx")
    return next((Path(folder) for folder in (spec.submodule_search_locations or [])), None) if spec else None


def dictionary(wanted: Collection[str]) -> dict[str, tuple[Word, ...]]:
    """Of these English words in lower case those that the dictionary beside the acoustic model has, with every way of
    saying them."""
    folder = package_folder()
    found: dict[str, list[Word]] = {}
    if folder is None:
        return {}
    with (folder / _DICTIONARY).open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            entry, _, phones = line.partition(" ")
            word = entry.partition("(")[0]
            if word in wanted:
                said = tuple(phones.split())
                if said and PHONES.issuperset(said):
                    found.setdefault(word, []).append(said)
    return {word: tuple(ways) for word, ways in found.items()}
