"""The media path's modules as machine code, where ``kallglot compile`` has made it of the sources that are here.

The sources stay what is read, tested and changed: mypyc translates them as they are. What was made lies in the
environment, not beside them, and is used only where every one of its sources is still what it was made of; else, and
with ``KALLGLOT_COMPILED=off``, the sources run.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Final

import msgspec

MODULES: Final = (
    "kallglot.audio.ducking",
    "kallglot.audio.endpointing",
    "kallglot.audio.gain",
    "kallglot.audio.gate",
    "kallglot.audio.mediaclock",
    "kallglot.audio.playout",
    "kallglot.audio.timeline",
    "kallglot.clock",
    "kallglot.legs.carrier",
    "kallglot.legs.echo",
    "kallglot.legs.patience",
    "kallglot.legs.telnyx",
    "kallglot.legs.twilio",
    "kallglot.session.audience",
    "kallglot.session.cast",
    "kallglot.session.ear",
    "kallglot.session.hearing",
    "kallglot.session.legs",
    "kallglot.session.live",
    "kallglot.session.playback",
    "kallglot.session.routes",
    "kallglot.session.sessiontime",
    "kallglot.session.speaker",
    "kallglot.speech.engines.utterances",
    "kallglot.speech.failover.recognizer",
    "kallglot.speech.failover.relay",
)
"""What a frame passes through. Not among them: what holds msgspec structs, whose fields mypyc forgets, what inherits
from classes of other packages, and what is referred to weakly."""
LIBRARY: Final = "kallglot__mypyc"
"""What they share."""
INDEX: Final = "index.json"
_PACKAGE: Final = Path(__file__).parent


class Index(msgspec.Struct):
    sources: dict[str, str]
    """SHA-256, by module."""
    files: dict[str, str]
    """By module, and the library."""


def folder() -> Path:
    return Path(sys.prefix) / "share" / "kallglot" / f"compiled-{sys.implementation.cache_tag}"


def source(module: str) -> Path:
    return _PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py")


def digests() -> dict[str, str]:
    return {module: hashlib.sha256(source(module).read_bytes()).hexdigest() for module in MODULES}


def is_current() -> bool:
    """Whether there is any, of the sources that are here."""
    found = _read()
    return found is not None and found.sources == digests()


def use() -> bool:
    """To be called before anything else of the package is imported; whether the compiled modules are used."""
    if os.environ.get("KALLGLOT_COMPILED") == "off" or any(module in sys.modules for module in MODULES):
        return in_use()
    found = _read()
    if found is None or found.sources != digests():
        return False
    sys.meta_path.insert(0, _Finder({name: folder() / file for name, file in found.files.items()}))
    return True


def in_use() -> bool:
    return any(isinstance(finder, _Finder) for finder in sys.meta_path)


def _read() -> Index | None:
    try:
        return msgspec.json.decode((folder() / INDEX).read_bytes(), type=Index)
    except (OSError, msgspec.DecodeError):
        return None


class _Finder(MetaPathFinder):
    def __init__(self, files: dict[str, Path]) -> None:
        self._files = files

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        file = self._files.get(fullname)
        if file is None:
            return None
        return spec_from_file_location(fullname, file, loader=ExtensionFileLoader(fullname, str(file)))
