"""The engines of a session: those that it chose, of each kind as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol, TypeVar, cast

from kallglot.speech.failover.recognizer import FailoverRecognizer
from kallglot.speech.failover.rests import Key, Rests
from kallglot.speech.failover.synthesizer import FailoverSynthesizer
from kallglot.speech.failover.translator import FailoverTranslator
from kallglot.speech.orders import Orders
from kallglot.speech.registry import EngineStatus
from kallglot.speech.types import EngineKind, LanguageDetector, Recognizer, SpokenDetector, Synthesizer, Translator

One = TypeVar("One")
MOST_MADE: Final = 512
"""Different choices of engines that are remembered; who is forgotten is made anew."""


class Source(Protocol):
    """Every engine that may serve, in order."""

    def recognizers(self, language: str | None, orders: Orders | None) -> Sequence[Recognizer]: ...

    def translators(self, source: str, target: str, orders: Orders | None) -> Sequence[Translator]: ...

    def translation_chosen(self, source: str, target: str, orders: Orders | None) -> bool: ...

    def synthesizers(self, language: str, orders: Orders | None) -> Sequence[Synthesizer]: ...

    def detector(self) -> LanguageDetector | None: ...

    def spoken_detector(self, orders: Orders | None) -> SpokenDetector | None: ...

    def recognised(self, orders: Orders | None) -> Sequence[str]: ...


class Failover:
    """Of all sessions of a process: they share what is known of engines' health."""

    def __init__(self, source: Source, now: Callable[[], float]) -> None:
        self._source = source
        self._rests = Rests(now)
        self._now = now
        self._made: dict[tuple[EngineKind, tuple[int, ...]], tuple[Sequence[object], object]] = {}

    def chosen(self, orders: Orders | None) -> ChosenEngines:
        return ChosenEngines(self, self._source, orders)

    @property
    def given_up(self) -> Mapping[Key, int]:
        return self._rests.given_up

    @property
    def replaced(self) -> Mapping[Key, int]:
        return self._rests.replaced

    def health(self, status: Sequence[EngineStatus]) -> list[EngineStatus]:
        """With what was noticed here: an engine that answers nobody is down, whatever it says itself."""
        return [
            one if not one.ready or (why := self._rests.down((one.kind, one.name))) is None else replace(one, down=why)
            for one in status
        ]

    def recognizer(self, engines: Sequence[Recognizer]) -> Recognizer | None:
        return self._once("recognition", engines, lambda: FailoverRecognizer(engines, self._rests, now=self._now))

    def translator(self, engines: Sequence[Translator]) -> Translator | None:
        return self._once("translation", engines, lambda: FailoverTranslator(engines, self._rests))

    def synthesizer(self, engines: Sequence[Synthesizer]) -> Synthesizer | None:
        return self._once("synthesis", engines, lambda: FailoverSynthesizer(engines, self._rests))

    def _once(self, kind: EngineKind, engines: Sequence[One], make: Callable[[], One]) -> One | None:
        """The same engines in the same order are the same one."""
        if not engines:
            return None
        if len(engines) == 1 and kind != "recognition":
            return engines[0]
        key = kind, tuple(id(engine) for engine in engines)
        known = self._made.get(key)
        if known is None:
            # The engines are kept beside: their ids are nobody else's meanwhile.
            known = self._made[key] = engines, make()
            if len(self._made) > MOST_MADE:
                del self._made[next(iter(self._made))]
        return cast(One, known[1])


class Status(Protocol):
    def status(self) -> Sequence[EngineStatus]: ...


class EnginesSeen:
    """The state of every engine, as it says itself and as sessions found it."""

    def __init__(self, registry: Status, failover: Failover) -> None:
        self._registry = registry
        self._failover = failover

    def status(self) -> list[EngineStatus]:
        return self._failover.health(self._registry.status())

    @property
    def given_up(self) -> Mapping[Key, int]:
        """Streams and texts of which an engine failed, stalled or took too long."""
        return self._failover.given_up

    @property
    def replaced(self) -> Mapping[Key, int]:
        """Of these, what another engine took over."""
        return self._failover.replaced


class ChosenEngines:
    """Implements :class:`kallglot.session.ports.Engines`."""

    def __init__(self, failover: Failover, source: Source, orders: Orders | None) -> None:
        self._failover = failover
        self._source = source
        self._orders = orders
        self._any_language: Recognizer | None = None

    def recognizer(self, language: str | None) -> Recognizer | None:
        if language is None and (listening := self._listening()) is not None:
            return listening
        return self._failover.recognizer(self._source.recognizers(language, self._orders))

    def _listening(self) -> Recognizer | None:
        """Who finds out by listening which recogniser is the right one, where there is somebody who can."""
        detector = self._source.spoken_detector(self._orders)
        if detector is None:
            return None
        if self._any_language is None:
            from kallglot.speech.engines.spoken_language import AnyLanguageRecognizer

            self._any_language = AnyLanguageRecognizer(
                detector, lambda: self._source.recognised(self._orders), self.recognizer
            )
        return self._any_language

    def translator(self, source: str, target: str) -> Translator | None:
        return self._failover.translator(self._source.translators(source, target, self._orders))

    def translation_chosen(self, source: str, target: str) -> bool:
        return self._source.translation_chosen(source, target, self._orders)

    def synthesizer(self, language: str) -> Synthesizer | None:
        return self._failover.synthesizer(self._source.synthesizers(language, self._orders))

    def detector(self) -> LanguageDetector | None:
        return self._source.detector()
