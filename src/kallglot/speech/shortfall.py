"""What keeps two languages from being served here, in one sentence, and how to get it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kallglot.speech.languages import base, english_name
from kallglot.speech.orders import ChosenKind, Orders, wanted
from kallglot.speech.types import EngineKind, Recognizer, Synthesizer, Translator


class State(Protocol):
    """Of one engine."""

    @property
    def kind(self) -> EngineKind: ...

    @property
    def ready(self) -> bool: ...

    @property
    def languages(self) -> tuple[str, ...]: ...

    @property
    def note(self) -> str | None: ...


class Engines(Protocol):
    """The first of those that may serve; None where none does."""

    def recognizer(self, language: str | None, orders: Orders | None = None) -> Recognizer | None: ...

    def translator(self, source: str, target: str, orders: Orders | None = None) -> Translator | None: ...

    def synthesizer(self, language: str, orders: Orders | None = None) -> Synthesizer | None: ...

    def names(self, kind: ChosenKind) -> Sequence[str]: ...

    def status(self) -> Sequence[State]: ...


class Shortfall:
    """``orders`` go over those of the installation."""

    def __init__(self, engines: Engines, orders: Orders | None) -> None:
        self._engines = engines
        self._orders = orders

    def between(self, source: str | None, target: str | None) -> str | None:
        """None where a session between these languages can be served, else what is missing and how to get it.

        Two different languages need translation both ways, a voice for each and recognition of at least one: the
        other side can type. One language, or one that is not known yet, needs recognition. Only the engines that
        the orders name count, where they name any.
        """
        if source is None or target is None:
            known = source or target
            if self._engines.recognizer(None, self._orders) is not None:
                return None
            return self._missing_recognition([known] if known else [])
        if base(source) == base(target):
            return None if self._engines.recognizer(source, self._orders) else self._missing_recognition([source])
        for here, there in ((source, target), (target, source)):
            if self._engines.translator(here, there, self._orders) is None:
                if self._engines.translator(here, there) is not None:
                    return self._not_chosen("translation", here, there)
                return self._missing_translation(here, there)
        for language in (source, target):
            if self._engines.synthesizer(language, self._orders) is None:
                if self._engines.synthesizer(language) is not None:
                    return self._not_chosen("synthesis", language, None)
                return _sentence(
                    f"No engine speaks {english_name(language)}",
                    self._advice("synthesis") or self._what_there_is("synthesis"),
                )
        if (
            self._engines.recognizer(source, self._orders) is None
            and self._engines.recognizer(target, self._orders) is None
        ):
            return self._missing_recognition([source, target])
        return None

    def _not_chosen(self, kind: ChosenKind, language: str, to: str | None) -> str:
        """There are engines, and none of those that were chosen."""
        some = wanted(self._orders, kind, *((language, to) if to else (language,))) or ()
        what = f"from {english_name(language)} to {english_name(to)}" if to else english_name(language)
        chosen = " or ".join(some)
        return f"engines.{kind}: of {chosen} none is ready for {kind} {'' if to else 'in '}{what}."

    def _missing_recognition(self, languages: Sequence[str]) -> str:
        for language in languages:
            if self._engines.recognizer(language) is not None:
                return self._not_chosen("recognition", language, None)
        named = " or ".join(english_name(language) for language in languages)
        what = f"No engine recognises {named} speech" if named else "No speech recognition engine is ready"
        return _sentence(what, self._advice("recognition") or self._what_there_is("recognition"))

    def _missing_translation(self, source: str, target: str) -> str:
        what = f"No engine translates from {english_name(source)} to {english_name(target)}"
        if "apertium" not in self._engines.names("translation"):
            return _sentence(what, self._what_there_is("translation"))
        package = _APERTIUM_PACKAGES.get(frozenset((base(source), base(target))))
        if package is not None:
            return _sentence(what, f"apt-get install apertium {package}, then restart")
        there_is = self._advice("translation") or self._what_there_is("translation")
        return _sentence(what, f"{there_is}; 'apt-cache search apertium' lists the pairs that can be installed")

    def _advice(self, kind: EngineKind) -> str | None:
        """What an engine of this kind that is not ready says it needs."""
        return next(
            (state.note for state in self._engines.status() if state.kind == kind and not state.ready and state.note),
            None,
        )

    def _what_there_is(self, kind: EngineKind) -> str:
        served = sorted({code for state in self._engines.status() if state.kind == kind for code in state.languages})
        return f"{kind} is there for {', '.join(served) if served else 'no language'}"


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
