"""The engines to evaluate: those that sessions get on this installation, or those that were named."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from kallglot.evaluation.scores import EvaluationError
from kallglot.settings import Settings
from kallglot.speech.orders import ANY, Orders
from kallglot.speech.registry import EngineRegistry, build_registry
from kallglot.speech.types import Recognizer, Translator


class Engines:
    """``names`` are those of engines; none is for each language the one that a session gets."""

    def __init__(self, registry: EngineRegistry, names: Sequence[str] = ()) -> None:
        self._registry = registry
        self._names = tuple(dict.fromkeys(names))

    def check(self) -> None:
        """Raises :class:`EvaluationError` for a name that no engine has, or whose engine is not ready."""
        status = self._registry.status()
        for name in self._names:
            called = [one for one in status if one.name == name]
            if not called:
                known = ", ".join(dict.fromkeys(one.name for one in status)) or "none"
                raise EvaluationError(f"there is no engine {name}; there are: {known}")
            if not any(one.ready for one in called):
                raise EvaluationError(f"{name} is not ready: {next((one.note for one in called if one.note), '')}")

    def recognizers(self, language: str) -> list[Recognizer]:
        found = self._registry.recognizers(language, self._orders("recognition"))
        return list(found if self._names else found[:1])

    def translators(self, source: str, target: str) -> list[Translator]:
        found = self._registry.translators(source, target, self._orders("translation"))
        return list(found if self._names else found[:1])

    def _orders(self, kind: str) -> Orders | None:
        return {kind: {ANY: self._names}} if self._names else None


def elsewhere(engine: object) -> bool:
    """It is asked over the network: it knows whether it is being answered, and has no processes here."""
    return hasattr(engine, "healthy") and not hasattr(engine, "processes")


@asynccontextmanager
async def engines_here(settings: Settings, names: Sequence[str] = ()) -> AsyncGenerator[Engines]:
    """Starts the engines of this installation and ends them. Raises :class:`EvaluationError`."""
    try:
        # One process, so that the real-time factor is that of one process.
        registry = build_registry(
            recognition_processes=1,
            scripted=settings.scripted_engines,
            models_dir=settings.models_folder,
            engines=settings.engines,
        )
    except (ValueError, OSError) as error:
        raise EvaluationError(str(error)) from None
    await registry.start()
    try:
        engines = Engines(registry, names)
        engines.check()
        yield engines
    finally:
        await registry.close()
