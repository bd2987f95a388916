"""What a recognition child runs: a model by its family, behind one interface.

Importing this costs nothing; the libraries are loaded by :func:`load`, which only a child calls.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, cast

from kallglot.speech.engines.schedule import Job
from kallglot.speech.languages import base, match


@dataclass(frozen=True, slots=True)
class Heard:
    """What a model made of a piece of audio; ``language`` where the model itself heard which it was."""

    text: str
    confidence: float | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Cadence:
    """When an utterance is looked at while it goes on, in milliseconds of its audio."""

    first_ms: int = 400
    every_ms: int = 400


class Model(Protocol):
    """Used by one thread only."""

    cadence: Cadence
    streaming: bool
    """It remembers what it heard of an utterance, so each job costs what is new in it; a guess in a pause, which
    hears all of it again, is not for it."""

    def recognise(self, job: Job) -> Heard:
        """Raises what the library raises for audio that it cannot take."""
        ...

    def forget(self, stream: int) -> None:
        """The stream is gone."""
        ...


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What a child has to know of the model that it serves."""

    family: str
    files: Mapping[str, str]
    """Role → path."""
    languages: tuple[str, ...]
    threads: int = 1
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ModelSpec:
        told = json.loads(text)
        return cls(told["family"], told["files"], tuple(told["languages"]), told["threads"], told["options"])

    def path(self, *roles: str) -> str:
        """The file of the first of these roles that there is. Raises ``ValueError``."""
        for role in roles:
            if role in self.files:
                return self.files[role]
        raise ValueError(f"the model has no {' or '.join(roles)} file")

    def code(self, tag: str) -> str:
        """The model's own name for a language that it serves: the catalogue's (``codes``), else the tag's base. Raises
        ``ValueError`` for any other language: it would end the process to ask the model for it."""
        served = match(tag, self.languages)
        if served is None:
            raise ValueError(f"the model does not serve {tag}")
        return self._codes.get(served, base(served))

    def tag(self, code: str) -> str:
        """The tag of what a model calls ``<|de|>`` or ``de``; empty for nothing."""
        code = code.strip("<|>").strip()
        return next((tag for tag, own in self._codes.items() if own == code), code)

    @property
    def _codes(self) -> Mapping[str, str]:
        return self.options.get("codes", {})


@dataclass(frozen=True, slots=True)
class Family:
    """How a family is loaded: ``module:Class``, the libraries it needs, the roles of its files (either of ``a|b``)."""

    loader: str
    roles: tuple[str, ...]
    libraries: tuple[str, ...] = ("sherpa_onnx",)
    detects: bool = False
    """Without a language given it finds out which one is spoken."""


_OFFLINE: Final = "kallglot.speech.engines.sherpa_offline"
FAMILIES: Final[Mapping[str, Family]] = {
    "moonshine-v2": Family(
        "kallglot.speech.engines.moonshine_offline:MoonshineOffline",
        ("encoder", "decoder", "tokens|tokenizer"),
        ("onnxruntime",),
    ),
    "moonshine-streaming": Family(
        "kallglot.speech.engines.moonshine_streaming:MoonshineStreaming",
        ("frontend", "encoder", "adapter", "cross_kv", "decoder_kv|decoder", "config", "tokenizer"),
        ("onnxruntime",),
    ),
    "zipformer-streaming": Family(
        "kallglot.speech.engines.sherpa_online:StreamingZipformer", ("encoder", "decoder", "joiner", "tokens")
    ),
    "parakeet": Family(f"{_OFFLINE}:Parakeet", ("encoder", "decoder", "joiner", "tokens"), detects=True),
    "canary": Family(f"{_OFFLINE}:Canary", ("encoder", "decoder", "tokens")),
    "whisper": Family(f"{_OFFLINE}:Whisper", ("encoder", "decoder", "tokens"), detects=True),
    "whisper-lid": Family(f"{_OFFLINE}:WhisperLanguages", ("encoder", "decoder"), detects=True),
}


def load(spec: ModelSpec) -> Model:
    """Loads the model, which takes up to seconds and may end the process: the libraries abort on files they cannot use.

    Raises ``ValueError`` where something is not there, else what the library raises.
    """
    wrong = trouble(spec)
    if wrong is not None:
        raise ValueError(wrong)
    module, _, name = FAMILIES[spec.family].loader.partition(":")
    return cast(Model, getattr(importlib.import_module(module), name)(spec))


def trouble(spec: ModelSpec) -> str | None:
    """None, or what of the model's files or libraries is not there, in words. Loads nothing."""
    family = FAMILIES.get(spec.family)
    if family is None:
        return f"this version cannot load models of the family {spec.family}"
    for library in family.libraries:
        if importlib.util.find_spec(library) is None:
            return f"{library.replace('_', '-')} is not installed: pip install {library.replace('_', '-')}"
    for roles in family.roles:
        paths = [spec.files[role] for role in roles.split("|") if role in spec.files]
        if not paths:
            return f"its {roles.replace('|', ' or ')} file is not in it"
        if not any(Path(path).is_file() for path in paths):
            return f"{Path(paths[0]).name} is gone"
    return None
