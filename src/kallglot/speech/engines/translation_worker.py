"""The child process that translates with CTranslate2: several models, one thread of work, many texts a batch.

``python -m kallglot.speech.engines.translation_worker CONFIGURATION``, JSON as :class:`Configuration` has it.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from kallglot.speech.engines.translation_tokens import Family, answered, family_of, longest_answer
from kallglot.speech.request_worker import Job, Refused, main

BATCH_TOKENS: Final = 192
"""Of source text, about; what more there is waits for the next batch. Eight sentences of twenty tokens take an Opus-MT
model 0.7 s on one core where one takes 0.3 s; twice as many take 1.2 s, and nobody's clause is to wait so long."""
_VOCABULARIES: Final = ("shared_vocabulary", "target_vocabulary")


class ModelFiles(msgspec.Struct, frozen=True):
    """Of one model. ``folder`` is what CTranslate2 loads, ``size`` its weight in memory, in bytes."""

    name: str
    family: str
    folder: str
    source_sp: str
    target_sp: str
    size: int
    options: dict[str, Any] = {}


class Configuration(msgspec.Struct, frozen=True):
    models: list[ModelFiles]
    threads: int
    kept_bytes: int
    """Models are kept loaded up to so many bytes together, the last used ones."""


class Load(msgspec.Struct, frozen=True, tag="load"):
    """Loads a model and lets it say something."""

    model: str


class Translate(msgspec.Struct, frozen=True, tag="translate"):
    model: str
    source: str
    target: str
    text: str


Asked = Load | Translate


class _Model:
    """One model, loaded. Raises :class:`Refused`."""

    def __init__(self, files: ModelFiles, threads: int) -> None:
        ctranslate2: Any = importlib.import_module("ctranslate2")
        sentencepiece: Any = importlib.import_module("sentencepiece")
        folder = Path(files.folder)
        self._family = _family(files, folder)
        self._tokens = _language_tokens(folder)
        try:
            self._source: Any = sentencepiece.SentencePieceProcessor(files.source_sp)
            same = files.target_sp == files.source_sp
            self._target: Any = self._source if same else sentencepiece.SentencePieceProcessor(files.target_sp)
            self._translator: Any = ctranslate2.Translator(
                files.folder,
                device=str(files.options.get("device", "cpu")),
                compute_type=str(files.options.get("compute_type", "int8")),
                inter_threads=1,
                intra_threads=threads,
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise Refused(f"{files.name} cannot be loaded: {error}") from None
        self._beams = int(files.options.get("beam_size", 2))

    def translate(self, asked: Sequence[Translate]) -> list[str | Refused]:
        """Each by itself: one that this model has no language for does not spoil the others."""
        encoded: list[list[str]] = self._source.encode([one.text for one in asked], out_type=str)
        prompts = [
            self._family.prompt(tokens, one.source, one.target) for tokens, one in zip(encoded, asked, strict=True)
        ]
        answers: list[str | Refused] = [""] * len(asked)
        order: list[int] = []
        for index in sorted(range(len(asked)), key=lambda index: -len(prompts[index].source)):
            unknown = self._unknown([*prompts[index].source[:1], *prompts[index].target_prefix])
            if unknown is not None:
                answers[index] = Refused(f"the model does not know {unknown}")
            elif encoded[index]:
                order.append(index)
        if not order:
            return answers
        lengths = {index: longest_answer(len(encoded[index])) for index in order}
        results = self._translator.translate_batch(
            [prompts[index].source for index in order],
            target_prefix=[prompts[index].target_prefix for index in order],
            beam_size=self._beams,
            min_decoding_length=1 + len(prompts[order[0]].target_prefix),
            max_decoding_length=max(lengths.values()),
            max_input_length=0,
            disable_unk=True,
        )
        for index, result in zip(order, results, strict=True):
            words = answered(result.hypotheses[0], prompts[index])
            text = str(self._target.decode(words[: lengths[index]])).strip()
            # Nothing for something would be words lost without anybody knowing.
            answers[index] = text or Refused("the model gave no translation")
        return answers

    def _unknown(self, tokens: Sequence[str]) -> str | None:
        """A language's mark that is not in the vocabulary, where the vocabulary has such marks at all."""
        return next((token for token in tokens if _mark(token) and self._tokens and token not in self._tokens), None)


class Translating:
    """The work of the child."""

    def __init__(self, configuration: Configuration) -> None:
        # Whatever is wrong with the library is known before the first text comes.
        ctranslate2: Any = importlib.import_module("ctranslate2")
        self._version = str(ctranslate2.__version__)
        self._configuration = configuration
        self._known = {files.name: files for files in configuration.models}
        self._loaded: OrderedDict[str, _Model] = OrderedDict()

    def about(self) -> Any:
        return {"ctranslate2": self._version}

    def choose(self, waiting: Sequence[Job]) -> list[Job]:
        """The oldest, and what else its model can translate along with it."""
        first = asked_of(waiting[0])
        if isinstance(first, Load):
            return [waiting[0]]
        chosen: list[Job] = []
        budget = BATCH_TOKENS
        for job in waiting:
            asked = asked_of(job)
            if isinstance(asked, Load) or asked.model != first.model:
                continue
            budget -= 2 + len(asked.text.encode()) // 4
            if chosen and budget < 0:
                break
            chosen.append(job)
        return chosen

    def perform(self, jobs: Sequence[Job]) -> list[Any]:
        first = asked_of(jobs[0])
        try:
            model = self._model(first.model)
        except Refused as refused:
            return [refused] * len(jobs)
        if isinstance(first, Load):
            return [None]
        alive = [job for job in jobs if not job.cancelled]
        texts = [asked for asked in map(asked_of, alive) if isinstance(asked, Translate)]
        answers = dict(zip((job.number for job in alive), _each(model, texts), strict=True))
        return [answers.get(job.number, "") for job in jobs]

    def _model(self, name: str) -> _Model:
        model = self._loaded.get(name)
        if model is None:
            files = self._known.get(name)
            if files is None:
                raise Refused(f"there is no model {name} here")
            self._make_room(files.size)
            model = self._loaded[name] = _Model(files, self._configuration.threads)
            _try(files, model)
        self._loaded.move_to_end(name)
        return model

    def _make_room(self, size: int) -> None:
        while self._loaded and size + sum(self._known[name].size for name in self._loaded) > (
            self._configuration.kept_bytes
        ):
            self._loaded.popitem(last=False)


def _each(model: _Model, texts: Sequence[Translate]) -> Sequence[str | Exception]:
    """One text that the model cannot take does not cost the others of its batch theirs."""
    try:
        return model.translate(texts) if texts else []
    except (RuntimeError, ValueError) as error:
        return [error] if len(texts) == 1 else [_each(model, [text])[0] for text in texts]


def asked_of(job: Job) -> Asked:
    return msgspec.convert(job.payload, Asked)


def _try(files: ModelFiles, model: _Model) -> None:
    """The first translation takes longer than the others, and shows whether the files belong together."""
    pairs: list[list[str]] = files.options.get("pairs", [["en", "en"]])
    try:
        refused = model.translate([Translate(files.name, pairs[0][0], pairs[0][1], "A.")])[0]
    except (RuntimeError, ValueError) as error:
        raise Refused(f"{files.name} cannot translate: {error}") from None
    if isinstance(refused, Refused):
        raise Refused(f"{files.name}: {refused}")


def _family(files: ModelFiles, folder: Path) -> Family:
    try:
        told: Any = json.loads((folder / "config.json").read_bytes())
        adds_end = bool(told.get("add_source_eos", False))
    except FileNotFoundError:
        adds_end = False  # models of early versions have none
    except (OSError, ValueError, AttributeError) as error:
        raise Refused(f"{files.name}: config.json cannot be read: {error}") from None
    return family_of(files.family, files.options, shared=files.source_sp == files.target_sp, adds_end=adds_end)


def _language_tokens(folder: Path) -> frozenset[str]:
    """The marks of languages in the vocabulary: ``__de__``, ``<2de>``, ``>>deu<<``."""
    for name in _VOCABULARIES:
        try:
            if (folder / f"{name}.json").is_file():
                words: list[Any] = json.loads((folder / f"{name}.json").read_bytes())
            elif (folder / f"{name}.txt").is_file():
                words = (folder / f"{name}.txt").read_text(encoding="utf-8").splitlines()
            else:
                continue
        except (OSError, ValueError):
            return frozenset()
        return frozenset(word for word in words if isinstance(word, str) and _mark(word))
    return frozenset()


def _mark(token: str) -> Literal[True] | None:
    wrapped = (token.startswith("__") and token.endswith("__")) or (token.startswith(">>") and token.endswith("<<"))
    return True if (wrapped or (token.startswith("<2") and token.endswith(">"))) and len(token) > 3 else None


def load() -> Translating:
    return Translating(msgspec.json.decode(sys.argv[1].encode(), type=Configuration))


if __name__ == "__main__":
    main(load)
