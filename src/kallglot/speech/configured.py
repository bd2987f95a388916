"""From what the operator's file names to engines. Only what is named there is imported."""

from __future__ import annotations

import dataclasses
import importlib
import logging
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

from kallglot.speech.engineconfig import CLASSES, ConfigError, NamedEngine
from kallglot.speech.orders import ChosenKind
from kallglot.speech.types import (
    EngineError,
    Hints,
    RecognizerEvent,
    RecognizerOptions,
    RecognizerStream,
    Voice,
)

if TYPE_CHECKING:
    from kallglot.speech.remote.config import ProviderConfig

log = logging.getLogger(__name__)

PROVIDERS = "kallglot.speech.providers"


class Made(Protocol):
    """What the registry deals with of an engine, whatever its kind."""

    name: str

    def missing(self) -> str | None: ...

    async def start(self) -> None: ...

    async def close(self) -> None: ...


class Unready:
    """Stands for an engine that is configured and cannot be made here; it says why, and serves nothing."""

    sample_rate_hz = 16_000
    languages: Collection[str] = ()
    pairs: Collection[tuple[str, str]] = ()

    def __init__(self, name: str, why: str) -> None:
        self.name = name
        self._why = why

    def missing(self) -> str | None:
        return self._why

    async def start(self) -> None:
        raise EngineError(self._why, passing=False)

    async def close(self) -> None:
        pass

    async def open(self, options: RecognizerOptions, on_event: Callable[[RecognizerEvent], None]) -> RecognizerStream:
        raise EngineError(self._why, passing=False)

    async def warm(self, source: str, target: str) -> None:
        raise EngineError(self._why, passing=False)

    async def translate(self, text: str, source: str, target: str, hints: Hints = Hints()) -> str:
        raise EngineError(self._why, passing=False)

    async def synthesize(self, text: str, language: str, voice: Voice) -> AsyncGenerator[bytes]:
        raise EngineError(self._why, passing=False)
        yield b""


def make(named: NamedEngine) -> dict[ChosenKind, Made]:
    """One engine for each kind it is used for. Raises :class:`ConfigError` for settings that no engine has."""
    config = None if named.missing else _provider_config(named)
    return {kind: _one(named, kind, config) for kind in named.kinds}


def _one(named: NamedEngine, kind: ChosenKind, config: ProviderConfig | None) -> Made:
    if config is None:
        return Unready(named.name, named.missing or "it is not configured")
    module, _, name = CLASSES[named.type][kind].partition(":")
    try:
        made = getattr(importlib.import_module(f"{PROVIDERS}.{module}"), name)
        return cast(Made, made(config))
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "kallglot"):
            return Unready(named.name, f"this version has no {kind} by {named.type}")
        return Unready(named.name, f"the Python package {package} is missing: install kallglot[{named.type}]")
    except AttributeError:
        return Unready(named.name, f"this version has no {kind} by {named.type}")
    except EngineError as error:
        return Unready(named.name, str(error))
    except ValueError as error:
        raise ConfigError(f"engines.{named.name}: {error}") from None


def _provider_config(named: NamedEngine) -> ProviderConfig:
    from kallglot.speech.remote import config as remote

    classes = {
        "budget": remote.Budget,
        "timeouts": remote.Timeouts,
        "retry": remote.Retry,
        "breaker": remote.BreakerLimits,
        "patience": remote.Patience,
    }
    given: dict[str, Any] = {part: _filled(named, part, classes[part], table) for part, table in named.parts.items()}
    if named.timeout_s is not None:
        given["timeout_s"] = named.timeout_s
    return remote.ProviderConfig(
        name=named.name,
        url=named.url,
        api_key=named.api_key,
        model=named.model,
        languages=named.languages,
        options=named.options,
        **given,
    )


def _filled(named: NamedEngine, part: str, kind: Callable[..., Any], table: Mapping[str, Any]) -> Any:
    """A dataclass of numbers with what the table gives of it. Raises :class:`ConfigError`."""
    fields = {field.name: field for field in dataclasses.fields(cast(Any, kind))}
    values: dict[str, Any] = {}
    for name, value in table.items():
        at = f"engines.{named.name}.{part}.{name}"
        if name not in fields:
            raise ConfigError(f"{at}: expected one of {', '.join(fields)}")
        whole = "int" in str(fields[name].type) and "float" not in str(fields[name].type)
        many = isinstance(fields[name].default, tuple)
        some = cast(list[Any], value) if many and isinstance(value, list) else [value]
        for one in some:
            if isinstance(one, bool) or not isinstance(one, int if whole else int | float) or one < 0:
                raise ConfigError(f"{at}: expected {'a whole number' if whole else 'a number'}, 0 or more")
        values[name] = tuple(map(float, some)) if many else value
    return kind(**values)
