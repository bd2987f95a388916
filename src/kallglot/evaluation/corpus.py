"""What there is to evaluate with in a folder: recordings with what was said in them, texts with their translations.

A recording ``a.wav`` has its words in ``a.txt`` beside it, or in a row of ``transcripts.tsv`` in the same folder: file
name, seconds, text. Its language is the nearest folder that is called like one (``fleurs/en/a.wav``). Texts that are
translations of each other are called ``name.en``, ``name.es`` … and have the same number of lines.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from typing import Final

from kallglot.evaluation.scores import EvaluationError
from kallglot.evaluation.words import normalise
from kallglot.speech.languages import base, english_name

SOUNDS: Final = frozenset((".wav", ".ogg", ".flac", ".mp3", ".opus", ".aiff", ".au"))
TABLE: Final = "transcripts.tsv"
MOST_FILES: Final = 100_000
LARGEST_TEXT: Final = 1 << 24


@dataclass(frozen=True, slots=True)
class Recording:
    path: Path
    name: str
    """Below the folder that was searched."""
    language: str
    text: str


@dataclass(frozen=True, slots=True)
class ParallelText:
    name: str
    source: str
    target: str
    lines: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Corpus:
    recordings: list[Recording] = field(default_factory=list[Recording])
    texts: list[ParallelText] = field(default_factory=list[ParallelText])
    left_out: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Files that cannot be used, and why."""


def find(folder: Path, language: str | None = None) -> Corpus:
    """``language`` is that of all recordings, whatever their folders are called.

    Raises :class:`EvaluationError` for what is no folder, or holds more files than can be meant.
    """
    if not folder.is_dir():
        raise EvaluationError(f"{folder} is not a folder")
    paths: list[Path] = []
    for path in folder.rglob("*"):
        paths.append(path)
        if len(paths) > MOST_FILES:
            raise EvaluationError(f"{folder} holds more than {MOST_FILES} files: name a folder further in")
    corpus = Corpus()
    tables: dict[Path, dict[str, str]] = {}
    for path in sorted(paths):
        if path.suffix.lower() in SOUNDS and path.is_file():
            if path.parent not in tables:
                tables[path.parent] = _table(path.parent / TABLE, corpus, folder)
            _recording(path, folder, language, tables[path.parent], corpus)
    corpus.texts += _texts([path for path in sorted(paths) if _tag(path.suffix[1:])], folder, corpus)
    return corpus


def parallel(source: Path, target: Path, source_language: str | None, target_language: str | None) -> ParallelText:
    """Two files of which each line of one translates that line of the other; languages as their endings have them
    unless given. Raises :class:`EvaluationError`."""
    languages: list[str] = []
    for path, given in ((source, source_language), (target, target_language)):
        tag = given or _tag(path.suffix[1:])
        if tag is None:
            raise EvaluationError(f"the language of {path.name} cannot be told from its name: say --from and --to")
        languages.append(tag)
    lines = _lines(source), _lines(target)
    if len(lines[0]) != len(lines[1]):
        counts = f"{source.name} has {len(lines[0])} lines and {target.name} {len(lines[1])}"
        raise EvaluationError(f"{counts}: they are not translations of each other line by line")
    return ParallelText(source.stem, languages[0], languages[1], _pairs(*lines))


def _recording(path: Path, folder: Path, language: str | None, table: dict[str, str], corpus: Corpus) -> None:
    name = str(path.relative_to(folder))
    beside = path.with_suffix(".txt")
    text = table.get(path.name) or table.get(path.stem)
    if text is None and beside.is_file():
        try:
            text = _text(beside)
        except EvaluationError as error:
            corpus.left_out.append((name, str(error)))
            return
    tag = language or _language_of(path, folder)
    if text is None:
        corpus.left_out.append((name, f"there is neither {beside.name} nor a row in {TABLE} with its words"))
    elif tag is None:
        corpus.left_out.append((name, "no folder that it is in is called like a language: say --language"))
    elif not normalise(text, tag):
        corpus.left_out.append((name, "its reference has no words"))
    else:
        corpus.recordings.append(Recording(path, name, tag, text.strip()))


def _language_of(path: Path, folder: Path) -> str | None:
    around = (folder.resolve() / path.relative_to(folder)).parent
    for part in reversed(around.parts[-6:]):
        tag = _tag(part)
        if tag is not None:
            return tag
    return None


def _tag(name: str) -> str | None:
    """``name`` where it is a language's tag, as ``en``, ``pt-BR`` or ``de_de`` are."""
    language, _, region = name.replace("_", "-").partition("-")
    known = 2 <= len(language) <= 3 and english_name(language) != language
    return name.replace("_", "-") if known and len(region) in (0, 2, 3) and region.isalnum() | (not region) else None


def _table(path: Path, corpus: Corpus, folder: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    found: dict[str, str] = {}
    try:
        for row in csv.reader(_text(path).splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE):
            if len(row) >= 3:
                found[row[0]] = row[2]
    except (EvaluationError, csv.Error) as error:
        corpus.left_out.append((str(path.relative_to(folder)), str(error)))
    return found


def _texts(paths: list[Path], folder: Path, corpus: Corpus) -> Iterator[ParallelText]:
    stems: dict[Path, list[Path]] = {}
    for path in paths:
        if path.is_file():
            stems.setdefault(path.with_suffix(""), []).append(path)
    for stem, files in stems.items():
        for source, target in permutations(files, 2):
            if base(source.suffix[1:]) == base(target.suffix[1:]):
                continue
            try:
                found = parallel(source, target, None, None)
            except EvaluationError as error:
                corpus.left_out.append((str(source.relative_to(folder)), str(error)))
            else:
                yield ParallelText(str(stem.relative_to(folder)), found.source, found.target, found.lines)


def _pairs(source: list[str], target: list[str]) -> tuple[tuple[str, str], ...]:
    pairs = zip(source, target, strict=True)
    return tuple((one.strip(), other.strip()) for one, other in pairs if one.strip() and other.strip())


def _lines(path: Path) -> list[str]:
    # Only line feeds end a line: others occur within sentences.
    return _text(path).removesuffix("\n").split("\n")


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_TEXT:
            raise EvaluationError(f"{path.name} has more than {LARGEST_TEXT >> 20} MiB")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise EvaluationError(f"{path.name} is not UTF-8") from None
    except OSError as error:
        raise EvaluationError(f"{path.name} cannot be read: {error.strerror}") from None
