"""Which engine serves which language here, and what to do about a language that none serves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from kallglot.speech.languages import base, english_name, match
from kallglot.speech.types import (
    EngineError,
    EngineKind,
    LanguageDetector,
    Processes,
    Recognizer,
    Synthesizer,
    Translator,
)

log = logging.getLogger(__name__)


class Managed(Protocol):
    """The part of an engine that the registry deals with, beside what it does."""

    name: str

    def missing(self) -> str | None:
        """None where the engine can be started, else one sentence: what is missing and how to get it."""
        ...

    async def start(self) -> None: ...

    async def close(self) -> None: ...


class ManagedRecognizer(Managed, Recognizer, Protocol): ...


class ManagedTranslator(Managed, Translator, Protocol):
    @property
    def pairs(self) -> Collection[tuple[str, str]]: ...


class ManagedSynthesizer(Managed, Synthesizer, Protocol):
    @property
    def languages(self) -> Collection[str]:
        """Known once the engine is started."""
        ...


class ManagedDetector(Managed, LanguageDetector, Protocol): ...


@dataclass(frozen=True, slots=True)
class TranslationSupport:
    language: str
    engine: str
    note: str | None = None
    """What to expect of it, where the engine says so."""


@dataclass(frozen=True, slots=True)
class LanguageSupport:
    """``recognition`` and ``synthesis`` are the names of the engines, None where there is none."""

    code: str
    name: str
    """In English."""
    recognition: str | None
    synthesis: str | None
    translation_to: tuple[TranslationSupport, ...]


@dataclass(frozen=True, slots=True)
class EngineStatus:
    kind: EngineKind
    name: str
    ready: bool
    languages: tuple[str, ...]
    """Codes; for translation pairs, ``en>es``; empty for detection."""
    note: str | None
    """What is missing or went wrong, and what to do; for a ready engine what to expect of its quality."""
    processes: Processes | None = None


class EngineRegistry:
    """Picks an engine for a language: the first that has the exact tag or, failing that, its base language.

    An engine that lacks its parts, or whose start failed, is listed by :meth:`status` and not used.
    """

    def __init__(
        self,
        *,
        recognizers: Sequence[ManagedRecognizer] = (),
        translators: Sequence[ManagedTranslator] = (),
        synthesizers: Sequence[ManagedSynthesizer] = (),
        detectors: Sequence[ManagedDetector] = (),
    ) -> None:
        self._recognizers = recognizers
        self._translators = translators
        self._synthesizers = synthesizers
        self._detectors = detectors
        self._trouble: dict[int, str] = {}
        self._ready: set[int] = set()

    async def start(self) -> None:
        """Starts every engine that has its parts, all at once; one that fails does not keep the others from serving."""
        await asyncio.gather(*(self._start(kind, engine) for kind, engine in self._engines()))

    async def close(self) -> None:
        ready = [engine for _, engine in self._engines() if id(engine) in self._ready]
        self._ready.clear()
        for outcome in await asyncio.gather(*(engine.close() for engine in ready), return_exceptions=True):
            if isinstance(outcome, BaseException):
                log.error("closing an engine failed", exc_info=outcome)

    def recognizer(self, language: str | None) -> Recognizer | None:
        """None as language: any recogniser."""
        usable = [engine for engine in self._recognizers if self._usable(engine)]
        if language is None:
            return usable[0] if usable else None
        return next((engine for engine in usable if match(language, engine.languages)), None)

    def translator(self, source: str, target: str) -> Translator | None:
        for engine in self._translators:
            if self._usable(engine) and _pair_of(source, target, engine.pairs):
                return engine
        return None

    def synthesizer(self, language: str) -> Synthesizer | None:
        usable = (engine for engine in self._synthesizers if self._usable(engine))
        return next((engine for engine in usable if match(language, engine.languages)), None)

    def detector(self) -> LanguageDetector | None:
        return next((engine for engine in self._detectors if self._usable(engine)), None)

    def languages(self) -> list[LanguageSupport]:
        """Every language that any ready engine serves, by code."""
        codes: set[str] = set()
        for kind, engine in self._engines():
            if self._usable(engine):
                codes.update(code for entry in _served(kind, engine) for code in entry.split(">"))
        return [self._support(code, sorted(codes)) for code in sorted(codes)]

    def status(self) -> list[EngineStatus]:
        return [
            EngineStatus(
                kind,
                engine.name,
                self._usable(engine),
                tuple(sorted(_served(kind, engine))) if self._usable(engine) else (),
                _quality(engine) if self._usable(engine) else self._trouble.get(id(engine)) or engine.missing(),
                getattr(engine, "processes", None) if self._usable(engine) else None,
            )
            for kind, engine in self._engines()
        ]

    def missing_for(self, source: str | None, target: str | None) -> str | None:
        """None where a session between these languages can be served, else what is missing and how to get it.

        Two different languages need translation both ways, a voice for each and recognition of at least one: the
        other side can type. One language, or one that is not known yet, needs recognition.
        """
        if source is None or target is None:
            known = source or target
            if self.recognizer(None) is not None:
                return None
            return self._missing_recognition([known] if known else [])
        if base(source) == base(target):
            return None if self.recognizer(source) else self._missing_recognition([source])
        for here, there in ((source, target), (target, source)):
            if self.translator(here, there) is None:
                return self._missing_translation(here, there)
        for language in (source, target):
            if self.synthesizer(language) is None:
                return _sentence(
                    f"No engine speaks {english_name(language)}",
                    self._advice("synthesis") or self._what_there_is("synthesis"),
                )
        if self.recognizer(source) is None and self.recognizer(target) is None:
            return self._missing_recognition([source, target])
        return None

    def _missing_recognition(self, languages: Sequence[str]) -> str:
        named = " or ".join(english_name(language) for language in languages)
        what = f"No engine recognises {named} speech" if named else "No speech recognition engine is ready"
        return _sentence(what, self._advice("recognition") or self._what_there_is("recognition"))

    def _missing_translation(self, source: str, target: str) -> str:
        what = f"No engine translates from {english_name(source)} to {english_name(target)}"
        if "apertium" not in {engine.name for engine in self._translators}:
            return _sentence(what, self._what_there_is("translation"))
        package = _APERTIUM_PACKAGES.get(frozenset((base(source), base(target))))
        if package is not None:
            return _sentence(what, f"apt-get install apertium {package}, then restart")
        there_is = self._advice("translation") or self._what_there_is("translation")
        return _sentence(what, f"{there_is}; 'apt-cache search apertium' lists the pairs that can be installed")

    def _advice(self, kind: EngineKind) -> str | None:
        """What an engine of this kind that is not ready says it needs."""
        return next(
            (state.note for state in self.status() if state.kind == kind and not state.ready and state.note), None
        )

    def _what_there_is(self, kind: EngineKind) -> str:
        served = sorted({code for state in self.status() if state.kind == kind for code in state.languages})
        return f"{kind} is there for {', '.join(served) if served else 'no language'}"

    def _support(self, code: str, codes: Sequence[str]) -> LanguageSupport:
        recognizer, synthesizer = self.recognizer(code), self.synthesizer(code)
        to: list[TranslationSupport] = []
        for target in codes:
            translator = self.translator(code, target) if base(target) != base(code) else None
            if translator is not None:
                to.append(TranslationSupport(target, translator.name, _quality(translator)))
        return LanguageSupport(
            code,
            english_name(code),
            recognizer.name if recognizer else None,
            synthesizer.name if synthesizer else None,
            tuple(to),
        )

    def _engines(self) -> list[tuple[EngineKind, Managed]]:
        return [
            *(("recognition", engine) for engine in self._recognizers),
            *(("translation", engine) for engine in self._translators),
            *(("synthesis", engine) for engine in self._synthesizers),
            *(("detection", engine) for engine in self._detectors),
        ]

    def _usable(self, engine: object) -> bool:
        return id(engine) in self._ready

    async def _start(self, kind: EngineKind, engine: Managed) -> None:
        trouble = engine.missing()
        if trouble is None:
            try:
                await engine.start()
            except Exception as error:
                if not isinstance(error, EngineError):
                    log.exception("starting %s failed", engine.name)
                trouble = str(error) or type(error).__name__
                with contextlib.suppress(Exception):
                    await engine.close()
        if trouble is None:
            self._ready.add(id(engine))
            self._trouble.pop(id(engine), None)
        else:
            log.warning("%s engine %s is not used: %s", kind, engine.name, trouble)
            self._trouble[id(engine)] = trouble


def build_registry(*, recognition_processes: int, scripted: Path | None, models_dir: Path | None) -> EngineRegistry:
    """The engines of this installation, not started; only the scripted ones where a script is given.

    Raises ValueError for a script that cannot be read.
    """
    if scripted is not None:
        from kallglot.speech.engines import scripted as script

        what = script.load(scripted)
        return EngineRegistry(
            recognizers=[script.ScriptedRecognizer(what)],
            translators=[script.ScriptedTranslator(what)],
            synthesizers=[script.ScriptedSynthesizer(what)],
            detectors=[script.ScriptedDetector(what)],
        )
    from kallglot.speech.engines.apertium import ApertiumTranslator
    from kallglot.speech.engines.espeak import EspeakSynthesizer
    from kallglot.speech.engines.langdetect import TextLanguageDetector
    from kallglot.speech.engines.moonshine import MoonshineRecognizer

    return EngineRegistry(
        recognizers=[MoonshineRecognizer(processes=recognition_processes)],
        translators=[ApertiumTranslator()],
        synthesizers=[EspeakSynthesizer()],
        detectors=[TextLanguageDetector()],
    )


def _pair_of(source: str, target: str, pairs: Collection[tuple[str, str]]) -> bool:
    wanted = {(source.lower(), target.lower()), (base(source), base(target))}
    return any((a.lower(), b.lower()) in wanted for a, b in pairs)


def _served(kind: EngineKind, engine: Managed) -> Collection[str]:
    match kind:
        case "translation":
            return [f"{a}>{b}" for a, b in cast(ManagedTranslator, engine).pairs]
        case "detection":
            return ()
        case _:
            return cast("ManagedRecognizer | ManagedSynthesizer", engine).languages


def _quality(engine: object) -> str | None:
    return getattr(engine, "quality", None)


def _sentence(what: str, advice: str) -> str:
    return f"{what}: {advice}."


# Pairs that Debian 12 has both ways.
_APERTIUM_PACKAGES: dict[frozenset[str], str] = {
    frozenset(("en", "es")): "apertium-eng-spa",
    frozenset(("en", "ca")): "apertium-eng-cat",
    frozenset(("es", "fr")): "apertium-fr-es",
    frozenset(("es", "pt")): "apertium-es-pt",
    frozenset(("es", "it")): "apertium-spa-ita",
    frozenset(("es", "ca")): "apertium-spa-cat",
    frozenset(("ca", "fr")): "apertium-fra-cat",
    frozenset(("ca", "pt")): "apertium-por-cat",
}
