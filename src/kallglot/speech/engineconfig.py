"""What an operator's file says of engines (``docs/engines.md``): remote engines, and orders by kind and language.

Reading it needs none of them: classes are named here, and imported when the engines are built.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from kallglot.speech.orders import KINDS, LOCAL, MOST_NAMES, ChosenKind, Orders, wrong_key

CLASSES: Final[Mapping[str, Mapping[ChosenKind, str]]] = {
    "openai": {
        "recognition": "openai_files:OpenAIFileRecognizer",
        "translation": "openai_chat:OpenAITranslator",
        "synthesis": "openai_speech:OpenAISynthesizer",
    },
    "openai-realtime": {"recognition": "openai_realtime:OpenAIRealtimeRecognizer"},
    "deepgram": {"recognition": "deepgram:DeepgramRecognizer", "synthesis": "deepgram:DeepgramSynthesizer"},
    "soniox": {"recognition": "soniox:SonioxRecognizer"},
    "deepl": {"translation": "deepl:DeeplTranslator"},
    "deepl-voice": {"recognition": "deepl_voice:DeeplRecognizer"},
    "elevenlabs": {"synthesis": "elevenlabs:ElevenLabsSynthesizer"},
    "cartesia": {"synthesis": "cartesia:CartesiaSynthesizer"},
    "azure": {
        "recognition": "azure_recognition:AzureRecognizer",
        "translation": "azure:AzureTranslator",
        "synthesis": "azure:AzureSynthesizer",
    },
    "google": {
        "recognition": "google_recognition:GoogleRecognizer",
        "translation": "google:GoogleTranslator",
        "synthesis": "google:GoogleSynthesizer",
    },
    "livekit": {"recognition": "livekit:LivekitRecognizer", "synthesis": "livekit:LivekitSynthesizer"},
}
"""Type → kind → ``module:Class`` in :mod:`kallglot.speech.providers`."""

MOST_BYTES: Final = 1 << 20
MOST_ENGINES: Final = 64
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
_PARTS: Final = ("budget", "timeouts", "retry", "breaker", "patience")
"""Tables of an engine that are taken as :class:`kallglot.speech.remote.config.ProviderConfig` has them."""
_FIELDS: Final = ("type", "kinds", "url", "api_key", "model", "languages", "timeout_seconds", "options", *_PARTS)


class ConfigError(ValueError):
    """The file cannot be used; the message names what is wrong in it, and no value of a key."""


@dataclass(frozen=True, slots=True)
class NamedEngine:
    """One ``[engines.NAME]`` table. ``missing`` is why it cannot be used although it is well written."""

    name: str
    type: str
    kinds: tuple[ChosenKind, ...]
    url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    model: str | None = None
    languages: tuple[str, ...] = ()
    timeout_s: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    parts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    missing: str | None = None


@dataclass(frozen=True, slots=True)
class EngineConfig:
    engines: tuple[NamedEngine, ...] = ()
    orders: Orders = field(default_factory=dict[str, Mapping[str, list[str]]])


def load(path: Path, environment: Mapping[str, str] = os.environ) -> EngineConfig:
    """Raises :class:`ConfigError` for a file that cannot be read or is not as it has to be."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or type(error).__name__}") from None
    if len(content) > MOST_BYTES:
        raise ConfigError(f"{path} is longer than {MOST_BYTES} bytes")
    try:
        return parse(tomllib.loads(content.decode()), environment)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        # The decoder quotes nothing but its own words and the place.
        raise ConfigError(f"{path} is not TOML: {_place(error)}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def parse(content: Mapping[str, Any], environment: Mapping[str, str]) -> EngineConfig:
    """Raises :class:`ConfigError`."""
    _known("", content, ("engines", *KINDS))
    tables = _table("engines", content.get("engines", {}))
    if len(tables) > MOST_ENGINES:
        raise ConfigError(f"engines: expected at most {MOST_ENGINES}")
    engines = tuple(_engine(name, _table(f"engines.{name}", table), environment) for name, table in tables.items())
    orders = {kind: _order(kind, _table(kind, content[kind])) for kind in KINDS if kind in content}
    return EngineConfig(engines, orders)


def check_names(orders: Orders, known: Mapping[ChosenKind, Collection[str]]) -> None:
    """Raises :class:`ConfigError` for a name in an order that no engine of the kind has."""
    for kind, table in orders.items():
        there = [*known[cast(ChosenKind, kind)], LOCAL]
        for key, some in table.items():
            for name in some:
                if name not in there:
                    near = difflib.get_close_matches(name, there, 1)
                    hint = f'; is it "{near[0]}"?' if near else f"; there are {', '.join(sorted(there))}"
                    raise ConfigError(f'{kind}."{key}": no engine for {kind} is called "{name}"{hint}')


def _engine(name: str, table: Mapping[str, Any], environment: Mapping[str, str]) -> NamedEngine:
    at = f"engines.{name}"
    if not _NAME.fullmatch(name) or name == LOCAL:
        raise ConfigError(f"{at[:60]}: expected a name of small letters, digits, '.', '_' and '-', and not {LOCAL}")
    _known(f"{at}.", table, _FIELDS)
    kind_of = _text(f"{at}.type", table.get("type"))
    if kind_of not in CLASSES:
        raise ConfigError(f"{at}.type: expected one of {', '.join(CLASSES)}, got {kind_of!r}")
    key, missing = _secret(f"{at}.api_key", table.get("api_key"), environment)
    timeout = table.get("timeout_seconds")
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout <= 0):
        raise ConfigError(f"{at}.timeout_seconds: expected a number above 0")
    return NamedEngine(
        name=name,
        type=kind_of,
        kinds=_kinds(f"{at}.kinds", table.get("kinds"), kind_of, specific="model" in table or kind_of == "livekit"),
        url=_optional(f"{at}.url", table.get("url")),
        api_key=key,
        model=_optional(f"{at}.model", table.get("model")),
        languages=tuple(_texts(f"{at}.languages", table.get("languages", []))),
        timeout_s=None if timeout is None else float(timeout),
        options=_filled(f"{at}.options", _table(f"{at}.options", table.get("options", {})), environment),
        parts={part: _table(f"{at}.{part}", table[part]) for part in _PARTS if part in table},
        missing=missing,
    )


def _kinds(at: str, given: Any, kind_of: str, *, specific: bool) -> tuple[ChosenKind, ...]:
    """``specific``: it names a model, or a plugin, which does one thing."""
    has = CLASSES[kind_of]
    if given is None and specific and len(has) > 1:
        raise ConfigError(f"{at}: expected which of {', '.join(has)} it is for")
    if given is None:
        return tuple(has)
    asked = _texts(at, given)
    for kind in asked:
        if kind not in has:
            raise ConfigError(f"{at}: {kind_of} does {', '.join(has)}, not {kind!r}")
    return tuple(kind for kind in has if kind in asked)


def _secret(at: str, given: Any, environment: Mapping[str, str]) -> tuple[str | None, str | None]:
    """The key, and what is missing: ``env:NAME`` is read from the environment."""
    text = _optional(at, given)
    if text is None or not text.startswith("env:"):
        return text, None
    name = text.removeprefix("env:")
    found = environment.get(name, "").strip()
    return (found, None) if found else (None, f"the environment has no {name}, which {at} names")


def _filled(at: str, table: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    filled: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, str) and value.startswith("env:"):
            found, missing = _secret(f"{at}.{name}", value, environment)
            if missing is not None:
                raise ConfigError(missing)
            value = found
        filled[name] = value
    return filled


def _order(kind: ChosenKind, table: Mapping[str, Any]) -> dict[str, list[str]]:
    order: dict[str, list[str]] = {}
    for key, given in table.items():
        wrong = wrong_key(kind, key)
        if wrong is not None:
            raise ConfigError(f"{kind}: {wrong}")
        some = _texts(f'{kind}."{key}"', given)
        if not 0 < len(some) <= MOST_NAMES or len(set(some)) < len(some):
            raise ConfigError(f'{kind}."{key}": expected 1 to {MOST_NAMES} names of engines, each once')
        order[key] = some
    return order


def _known(prefix: str, table: Mapping[str, Any], names: Collection[str]) -> None:
    for name in table:
        if name not in names:
            raise ConfigError(f"{prefix}{name[:60]}: expected one of {', '.join(names)}")


def _table(at: str, given: Any) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise ConfigError(f"{at}: expected a table")
    return cast(Mapping[str, Any], given)


def _text(at: str, given: Any) -> str:
    if not isinstance(given, str) or not given.strip():
        raise ConfigError(f"{at}: expected a text")
    return given


def _optional(at: str, given: Any) -> str | None:
    return None if given is None else _text(at, given)


def _texts(at: str, given: Any) -> list[str]:
    if not isinstance(given, list):
        raise ConfigError(f"{at}: expected a list of texts")
    return [_text(at, one) for one in cast(list[Any], given)]


def _place(error: Exception) -> str:
    found = re.search(r"at line \d+, column \d+|at end of document", str(error))
    return f"something is wrong {found.group()}" if found else "it is not UTF-8"
