"""What engines did for one turn, counted as their vendors count: audio in milliseconds, text in characters."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from kallglot.speech.orders import ChosenKind
from kallglot.speech.types import Final


@dataclass(frozen=True, slots=True)
class Heard(Final):
    """A final, with who was given how much audio for it: what was sent since the final before it on the stream, pauses
    and what another engine had to hear again included."""

    given: tuple[tuple[str, int], ...] = ()
    """Engine and milliseconds, who recognised it last."""


@dataclass(frozen=True, slots=True)
class EngineUse:
    """``language`` is what was recognised, translated to or spoken; None where it is not known.

    ``audio_ms`` is audio that was recognised or made, ``characters`` what was sent to be translated or spoken."""

    kind: ChosenKind
    engine: str
    language: str | None = None
    audio_ms: int = 0
    characters: int = 0


class Meter:
    """Adds up what is used while it is the current one, also by the tasks that begin meanwhile."""

    def __init__(self) -> None:
        self._uses: dict[tuple[ChosenKind, str, str | None], tuple[float, int]] = {}

    def add(
        self, kind: ChosenKind, engine: str, language: str | None, *, audio_ms: float = 0, characters: int = 0
    ) -> None:
        ms, count = self._uses.get((kind, engine, language), (0.0, 0))
        self._uses[kind, engine, language] = ms + audio_ms, count + characters

    def uses(self) -> tuple[EngineUse, ...]:
        return tuple(EngineUse(*key, round(ms), count) for key, (ms, count) in self._uses.items())


_current: ContextVar[Meter | None] = ContextVar("kallglot_meter", default=None)


def current() -> Meter | None:
    """Who meters now."""
    return _current.get()


@contextmanager
def metering(meter: Meter) -> Generator[Meter]:
    token = _current.set(meter)
    try:
        yield meter
    finally:
        _current.reset(token)


def use(kind: ChosenKind, engine: str, language: str | None, *, audio_ms: float = 0, characters: int = 0) -> None:
    """Tells whoever meters that an engine was used; nobody may."""
    meter = _current.get()
    if meter is not None:
        meter.add(kind, engine, language, audio_ms=audio_ms, characters=characters)
