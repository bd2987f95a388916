"""The catalogue: which models there are, what each is for, its files and where they come from (``catalogue.toml``).

Reading it opens one file; :func:`parse` checks that what it says is sound, so that the rest can rely on it.
"""

from __future__ import annotations

import fnmatch
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from itertools import permutations
from typing import Any, Final
from urllib.parse import urlsplit

from kallglot.models.manifest import KINDS, ModelKind, inside

_FORMAT: Final = 1
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]*")
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_CRC32C: Final = re.compile(r"[0-9a-f]{8}")


class CatalogueError(Exception):
    """The catalogue says something that cannot be: which model, and what."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A file to fetch: one of the model's own, or an archive that holds them."""

    url: str
    path: str
    """In the model's folder; of an archive the name that it has until it is unpacked."""
    size: int | None
    """Bytes, where known exactly."""
    about: int
    """Bytes to reckon with; the size where that is known."""
    sha256: str | None
    """Lower-case hexadecimal; None where nobody could say: trusted on first use."""
    crc32c: str | None = None
    """Eight hexadecimal digits, lower case, where the publisher gives one: finds damage, proves no origin."""
    archive: bool = False
    root: str = ""
    """Of an archive: the folder in it whose inside is the model. ``*``: the only one there is."""
    keep: tuple[str, ...] = ()
    """Of an archive: patterns of what is wanted of it; ``*`` also matches ``/``. Empty: everything."""
    unpacked: int = 0
    """Of an archive: about how many bytes the wanted part has."""

    @property
    def installed(self) -> int:
        """About how many bytes of it stay."""
        return self.unpacked if self.archive else self.about

    def wants(self, path: str) -> bool:
        return not self.keep or any(fnmatch.fnmatchcase(path, pattern) for pattern in self.keep)


@dataclass(frozen=True, slots=True)
class CatalogueModel:
    name: str
    version: str
    kind: ModelKind
    family: str
    licence: str
    page: str
    """Where people read about it."""
    roles: Mapping[str, str]
    """Role → path in the model's folder, of a file or of a folder."""
    remotes: tuple[Remote, ...]
    languages: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    quality: str | None = None
    credit: str | None = None
    """Whom the licence asks to be named."""
    rank: int = 100
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def folder(self) -> str:
        """The name of its folder in the models folder."""
        return f"{self.name}@{self.version}"

    @property
    def download(self) -> int:
        """Bytes to fetch, about."""
        return sum(remote.about for remote in self.remotes)

    @property
    def installed(self) -> int:
        """Bytes on disk, about."""
        return sum(remote.installed for remote in self.remotes)

    def serves(self, language: str) -> bool:
        """By base language: ``de`` is served by a voice for ``de-DE``."""
        wanted = _base(language)
        codes = [*self.languages, *(code for pair in self.pairs for code in pair)]
        return any(_base(code) == wanted for code in codes)


@dataclass(frozen=True, slots=True)
class Pack:
    name: str
    title: str
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Catalogue:
    models: Mapping[str, CatalogueModel]
    packs: Mapping[str, Pack]

    def model(self, name: str) -> CatalogueModel | None:
        return self.models.get(name)

    def packs_with(self, name: str) -> list[str]:
        return [pack.name for pack in self.packs.values() if name in pack.models]


@cache
def catalogue() -> Catalogue:
    """The one that comes with Kallglot."""
    return parse(resources.files("kallglot.models").joinpath("catalogue.toml").read_text(encoding="utf-8"))


def parse(text: str) -> Catalogue:
    """Raises :class:`CatalogueError`."""
    try:
        told = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogueError(f"the catalogue is not TOML: {error}") from None
    if told.get("format") != _FORMAT:
        raise CatalogueError(f"the catalogue has format {told.get('format')}, expected {_FORMAT}")
    sets: Mapping[str, Sequence[str]] = told.get("sets", {})
    models: dict[str, CatalogueModel] = {}
    for entry in told.get("model", []):
        name = str(entry.get("name", "?"))
        try:
            made = _model(entry, sets)
        except (KeyError, TypeError, ValueError) as error:
            raise CatalogueError(f"{name}: {error if isinstance(error, ValueError) else repr(error)}") from None
        if name in models:
            raise CatalogueError(f"{name} is in the catalogue twice")
        models[name] = made
    packs = {
        name: Pack(name, str(entry["title"]), tuple(entry["models"])) for name, entry in told.get("packs", {}).items()
    }
    for pack in packs.values():
        if pack.name in models:
            raise CatalogueError(f"{pack.name} is a pack and a model")
        for name in pack.models:
            if name not in models:
                raise CatalogueError(f"the pack {pack.name} has {name}, which is not in the catalogue")
    return Catalogue(models, packs)


def _model(entry: Mapping[str, Any], sets: Mapping[str, Sequence[str]]) -> CatalogueModel:
    name, version, kind = entry["name"], entry["version"], entry["kind"]
    if not _NAME.fullmatch(name) or not _VERSION.fullmatch(version):
        raise ValueError(f"{name}@{version} cannot be the name of a folder")
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}")
    languages = entry.get("languages", ())
    pairs = [(str(source), str(target)) for source, target in entry.get("pairs", ())]
    if "between" in entry:
        pairs += permutations(sets[entry["between"]], 2)
    remotes = tuple(_remote(one, entry.get("base")) for one in entry["files"])
    roles = {str(role): inside(path) for role, path in entry["roles"].items()}
    if not remotes or not roles:
        raise ValueError("it has no files or no roles")
    if (kind == "translation") != bool(pairs) or (kind != "translation") != bool(languages):
        raise ValueError("translation has pairs, everything else has languages")
    if len({remote.path.casefold() for remote in remotes}) != len(remotes):
        raise ValueError("two of its files have the same path")
    plain = {remote.path for remote in remotes if not remote.archive}
    if not any(remote.archive for remote in remotes) and (lost := set(roles.values()) - plain):
        raise ValueError(f"none of its files is {', '.join(sorted(lost))}")
    return CatalogueModel(
        name=name,
        version=version,
        kind=kind,
        family=entry["family"],
        licence=entry["licence"],
        page=entry["page"],
        roles=roles,
        remotes=remotes,
        languages=tuple(sets[languages] if isinstance(languages, str) else languages),
        pairs=tuple(pairs),
        quality=entry.get("quality"),
        credit=entry.get("credit"),
        rank=entry.get("rank", 100),
        options=entry.get("options", {}),
    )


def _remote(entry: Mapping[str, Any], base: str | None) -> Remote:
    path = inside(entry["path"])
    url = entry.get("url") or f"{base}/{path}"
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{url} is no address to download from")
    sha256 = entry.get("sha256")
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        raise ValueError(f"{sha256} is no SHA-256")
    crc32c = entry.get("crc32c")
    if crc32c is not None and not _CRC32C.fullmatch(crc32c):
        raise ValueError(f"{crc32c} is no CRC-32C")
    size = entry.get("size")
    about = size if size is not None else entry["about"]
    archive = bool(entry.get("archive", False))
    if about <= 0 or (archive and entry["unpacked"] <= 0):
        raise ValueError(f"{path} has no size")
    return Remote(
        url=url,
        path=path,
        size=size,
        about=about,
        sha256=sha256,
        crc32c=crc32c,
        archive=archive,
        root=entry.get("root", ""),
        keep=tuple(entry.get("keep", ())),
        unpacked=entry.get("unpacked", 0),
    )


def _base(code: str) -> str:
    return code.split("-")[0].lower()
