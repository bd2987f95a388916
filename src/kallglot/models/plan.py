"""What a pull is to fetch, how large that is, where from. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from kallglot.models.catalogue import Catalogue, CatalogueModel, Remote
from kallglot.models.errors import ModelsError

MARGIN: Final = 64 * 1024 * 1024
"""Bytes that a pull leaves free."""


@dataclass(frozen=True, slots=True)
class Plan:
    fetch: tuple[CatalogueModel, ...]
    present: tuple[CatalogueModel, ...]
    """Asked for, and there in this version."""

    @property
    def remotes(self) -> tuple[Remote, ...]:
        """What is to be fetched, each address once."""
        return tuple({remote.url: remote for model in self.fetch for remote in model.remotes}.values())

    @property
    def download(self) -> int:
        """Bytes, about."""
        return sum(remote.about for remote in self.remotes)

    def space(self, partial: Mapping[str, int] | None = None) -> int:
        """Bytes that have to be free, about: downloads and what is unpacked of them lie side by side for a while.

        ``partial``: address → bytes that are there from an earlier try.
        """
        there = partial or {}
        missing = sum(max(0, remote.about - there.get(remote.url, 0)) for remote in self.remotes)
        unpacked = sum(remote.unpacked for model in self.fetch for remote in model.remotes if remote.archive)
        return missing + unpacked + MARGIN


def resolve(catalogue: Catalogue, names: Sequence[str]) -> list[CatalogueModel]:
    """The models that are meant by names of models and packs, each once, in this order.

    Raises :class:`ModelsError` for a name that is neither.
    """
    found: dict[str, CatalogueModel] = {}
    for name in names:
        pack, model = catalogue.packs.get(name.lower()), catalogue.model(name)
        if pack is not None:
            found.update((one, catalogue.models[one]) for one in pack.models)
        elif model is not None:
            found[name] = model
        else:
            raise ModelsError(unknown(name, [*catalogue.packs, *catalogue.models], _meant(catalogue, name)))
    return list(found.values())


def _meant(catalogue: Catalogue, name: str) -> list[str]:
    """Packs for who writes ``de-DE`` or ``German``."""
    language = name.lower().replace("_", "-").split("-")[0]
    return [pack.name for pack in catalogue.packs.values() if language in (pack.name, pack.title.split()[0].lower())]


def unknown(name: str, known: Iterable[str], meant: Sequence[str] = ()) -> str:
    near = meant or difflib.get_close_matches(name.lower(), list(known), n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else "kallglot models list shows what there is."
    return f"There is no model and no pack called {name}: {hint}"


def plan(models: Iterable[CatalogueModel], installed: Mapping[str, str], *, force: bool = False) -> Plan:
    """``installed``: name → version of what is there, whole. ``force``: fetches that too."""
    fetch: list[CatalogueModel] = []
    present: list[CatalogueModel] = []
    for model in models:
        there = installed.get(model.name) == model.version
        (present if there and not force else fetch).append(model)
    return Plan(tuple(fetch), tuple(present))


def mirrored(url: str, mirror: str | None) -> str:
    """Where a mirror has it: under the original's host and path."""
    if mirror is None:
        return url
    parts = urlsplit(url)
    return f"{mirror.rstrip('/')}/{parts.netloc}{parts.path}"


def in_bytes(count: int) -> str:
    """For people, in decimal units as shops and publishers use them: ``121.8 MB``."""
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{count} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError
