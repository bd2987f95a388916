"""Which engine serves which language here."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol, TypeVar, cast

from kallglot.speech.languages import base, english_name, match
from kallglot.speech.orders import LOCAL, ChosenKind, Orders, wanted
from kallglot.speech.shortfall import Shortfall
from kallglot.speech.types import (
    EngineError,
    EngineKind,
    LanguageDetector,
    Processes,
    Recognizer,
    SpokenDetector,
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


Named = TypeVar("Named", bound=Managed)


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


class ManagedSpokenDetector(Managed, SpokenDetector, Protocol): ...


@dataclass(frozen=True, slots=True)
class TranslationSupport:
    language: str
    engine: str
    note: str | None = None
    """What to expect of it, where the engine says so."""
    engines: tuple[str, ...] = ()
    """All that can be chosen, in the order in which they are asked."""


@dataclass(frozen=True, slots=True)
class LanguageSupport:
    """``recognition`` and ``synthesis`` are the names of the engines, None where there is none; ``recognizers`` and
    ``synthesizers`` all that can be chosen, in the order in which they are asked."""

    code: str
    name: str
    """In English."""
    recognition: str | None
    synthesis: str | None
    translation_to: tuple[TranslationSupport, ...]
    recognizers: tuple[str, ...] = ()
    synthesizers: tuple[str, ...] = ()
    recognition_note: str | None = None
    synthesis_note: str | None = None


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
    down: str | None = None
    """Why a ready engine does not answer at the moment; others serve in its place where there are any."""


class EngineRegistry:
    """Picks engines for a language: those that have the exact tag or, failing that, its base language, in the order
    that is given for it, else in their own, with the ``remote`` ones, by name, behind those of this machine.

    An engine that lacks its parts, or whose start failed, is listed by :meth:`status` and not used.
    """

    def __init__(
        self,
        *,
        recognizers: Sequence[ManagedRecognizer] = (),
        translators: Sequence[ManagedTranslator] = (),
        synthesizers: Sequence[ManagedSynthesizer] = (),
        detectors: Sequence[ManagedDetector] = (),
        spoken: Sequence[ManagedSpokenDetector] = (),
        orders: Orders | None = None,
        remote: Collection[str] = (),
    ) -> None:
        self._orders = orders
        self._remote = frozenset(remote)
        self._recognizers = recognizers
        self._translators = translators
        self._synthesizers = synthesizers
        self._detectors = detectors
        self._spoken = spoken
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

    def recognizers(self, language: str | None, orders: Orders | None = None) -> list[ManagedRecognizer]:
        """All that may serve, in order; ``orders`` go over those of the installation. None as language: any."""
        usable = [one for one in self._recognizers if self._usable(one)]
        if language is not None:
            usable = [one for one in usable if match(language, one.languages)]
        return self._ordered("recognition", usable, (language,), orders)

    def translators(self, source: str, target: str, orders: Orders | None = None) -> list[ManagedTranslator]:
        usable = [one for one in self._translators if self._usable(one) and _pair_of(source, target, one.pairs)]
        return self._ordered("translation", usable, (source, target), orders)

    def translation_chosen(self, source: str, target: str, orders: Orders | None = None) -> bool:
        """Whether ``orders`` or those of the installation say who translates this."""
        return self._wanted("translation", (source, target), orders) is not None

    def synthesizers(self, language: str, orders: Orders | None = None) -> list[ManagedSynthesizer]:
        usable = [one for one in self._synthesizers if self._usable(one) and match(language, one.languages)]
        return self._ordered("synthesis", usable, (language,), orders)

    def recognizer(self, language: str | None, orders: Orders | None = None) -> Recognizer | None:
        """None as language: any recogniser."""
        return next(iter(self.recognizers(language, orders)), None)

    def translator(self, source: str, target: str, orders: Orders | None = None) -> Translator | None:
        return next(iter(self.translators(source, target, orders)), None)

    def synthesizer(self, language: str, orders: Orders | None = None) -> Synthesizer | None:
        return next(iter(self.synthesizers(language, orders)), None)

    def detector(self) -> LanguageDetector | None:
        return next((engine for engine in self._detectors if self._usable(engine)), None)

    def spoken_detector(self, orders: Orders | None = None) -> SpokenDetector | None:
        """Who finds out which recogniser is the right one for somebody whose language is not known. None where that is
        not needed, or an engine elsewhere is asked first: they tell languages apart themselves."""
        recognizers = self.recognizers(None, orders)
        if not recognizers or recognizers[0].name in self._remote or len(self.recognised(orders)) < 2:
            return None
        return next((engine for engine in self._spoken if self._usable(engine)), None)

    def recognised(self, orders: Orders | None = None) -> list[str]:
        """Languages, without regions, in the order in which their engines are asked."""
        found = (base(language) for engine in self.recognizers(None, orders) for language in engine.languages)
        return list(dict.fromkeys(found))

    def names(self, kind: ChosenKind) -> list[str]:
        """Of the engines of a kind, those that are not ready too."""
        return list(dict.fromkeys(engine.name for of, engine in self._engines() if of == kind))

    def languages(self, orders: Orders | None = None) -> list[LanguageSupport]:
        """Every language that any ready engine serves, by code."""
        served = [_served(kind, engine) for kind, engine in self._engines() if self._usable(engine)]
        # Engines write en-us and en-US for one language: the second, which sorts first, is as BCP 47 advises.
        spellings = sorted({code for entries in served for entry in entries for code in entry.split(">")}, reverse=True)
        codes = sorted({spelling.lower(): spelling for spelling in spellings}.values())
        return [self._support(code, codes, orders) for code in codes]

    def status(self) -> list[EngineStatus]:
        return [
            EngineStatus(
                kind,
                engine.name,
                self._usable(engine),
                tuple(sorted(_served(kind, engine))) if self._usable(engine) else (),
                _quality(engine) if self._usable(engine) else self._trouble.get(id(engine)) or engine.missing(),
                getattr(engine, "processes", None) if self._usable(engine) else None,
                "it does not answer" if self._usable(engine) and not getattr(engine, "healthy", True) else None,
            )
            for kind, engine in self._engines()
        ]

    def missing_for(self, source: str | None, target: str | None, orders: Orders | None = None) -> str | None:
        """See :meth:`kallglot.speech.shortfall.Shortfall.between`."""
        return Shortfall(self, orders).between(source, target)

    def _ordered(
        self, kind: ChosenKind, usable: Sequence[Named], languages: Sequence[str | None], orders: Orders | None
    ) -> list[Named]:
        local = [one for one in usable if one.name not in self._remote]
        far = [one for one in usable if one.name in self._remote]
        order = self._wanted(kind, languages, orders)
        if order is None:
            return [*local, *far]
        found: list[Named] = []
        for name in order:
            found += local if name == LOCAL else [one for one in usable if one.name == name]
        return list({id(one): one for one in found}.values())

    def _wanted(self, kind: ChosenKind, languages: Sequence[str | None], orders: Orders | None) -> Sequence[str] | None:
        own = wanted(orders, kind, *languages)
        return wanted(self._orders, kind, *languages) if own is None else own

    def _support(self, code: str, codes: Sequence[str], orders: Orders | None) -> LanguageSupport:
        recognizers, synthesizers = self.recognizers(code, orders), self.synthesizers(code, orders)
        to: list[TranslationSupport] = []
        for target in codes:
            translators = self.translators(code, target, orders) if base(target) != base(code) else []
            if translators:
                first = translators[0]
                to.append(TranslationSupport(target, first.name, _quality(first), _names(translators)))
        return LanguageSupport(
            code,
            english_name(code),
            recognizers[0].name if recognizers else None,
            synthesizers[0].name if synthesizers else None,
            tuple(to),
            _names(recognizers),
            _names(synthesizers),
            _quality(recognizers[0]) if recognizers else None,
            _quality(synthesizers[0]) if synthesizers else None,
        )

    def _engines(self) -> list[tuple[EngineKind, Managed]]:
        return [
            *(("recognition", engine) for engine in self._recognizers),
            *(("translation", engine) for engine in self._translators),
            *(("synthesis", engine) for engine in self._synthesizers),
            *(("detection", engine) for engine in (*self._detectors, *self._spoken)),
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


def build_registry(
    *, recognition_processes: int, scripted: Path | None, models_dir: Path | None, engines: Path | None = None
) -> EngineRegistry:
    """The engines of this installation, not started; only the scripted ones where a script is given.

    ``engines`` is the operator's file of remote engines and orders, ``models_dir`` where installed models lie. Raises
    ValueError for a script or a file that cannot be used.
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
    from kallglot.speech.assembly import assembled

    return assembled(recognition_processes=recognition_processes, models_dir=models_dir, engines=engines)


def _pair_of(source: str, target: str, pairs: Collection[tuple[str, str]]) -> bool:
    wanted = {(source.lower(), target.lower()), (base(source), base(target))}
    return not wanted.isdisjoint(_lowered(pairs) if isinstance(pairs, frozenset) else _in_lower_case(pairs))


def _in_lower_case(pairs: Collection[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    return frozenset((a.lower(), b.lower()) for a, b in pairs)


_lowered = lru_cache(maxsize=64)(_in_lower_case)
"""Asked for every turn, of the thousand pairs that a vendor has."""


def _served(kind: EngineKind, engine: Managed) -> Collection[str]:
    match kind:
        case "translation":
            return [f"{a}>{b}" for a, b in cast(ManagedTranslator, engine).pairs]
        case "detection":
            return ()
        case _:
            return cast("ManagedRecognizer | ManagedSynthesizer", engine).languages


def _names(engines: Sequence[Managed]) -> tuple[str, ...]:
    return tuple(engine.name for engine in engines)


def _quality(engine: object) -> str | None:
    return getattr(engine, "quality", None)
