"""What is installed: a folder for each model with a manifest in it, read without opening a model's own files.

The models folder holds ``<name>@<version>/``, which appear and vanish by a rename and so are always whole. What starts
with a dot is the downloader's own.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kallglot.models.manifest import MANIFEST, Manifest, ManifestError, ModelKind

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InstalledModel:
    name: str
    """Of the catalogue, ``opus-mt-de-en``; also the engine's, as users see it."""
    version: str
    kind: ModelKind
    """``detection`` tells the language of speech."""
    family: str
    """Which loader takes it: ``moonshine-v2``, ``zipformer-streaming``, ``piper``, ``opus-mt`` …"""
    folder: Path
    files: Mapping[str, Path]
    """Role → absolute path of a file, or of a folder (``data``: espeak-ng's)."""
    languages: tuple[str, ...]
    """BCP 47; what it recognises, speaks or tells apart. Empty for translation."""
    pairs: tuple[tuple[str, str], ...]
    """Source and target, for translation."""
    licence: str
    quality: str | None
    """How good it is in one short sentence, and who says so."""
    options: Mapping[str, Any]
    """The loader's, from the catalogue: sample rate, speakers, language codes."""


def installed(models_dir: Path) -> list[InstalledModel]:
    """What is there and complete, in the order in which it should be preferred.

    Of several versions of a model the one installed last. A folder that is no model, or lacks a file of its manifest,
    is left out and logged; ``kallglot models verify`` says more. Reads manifests and file sizes only. Raises nothing
    for a folder that does not exist or cannot be read.
    """
    return [model_of(folder, manifest) for folder, manifest in newest(models_dir)]


def newest(models_dir: Path) -> list[tuple[Path, Manifest]]:
    """Each installed model's folder and manifest, complete ones only, preferred ones first."""
    found: dict[str, tuple[Path, Manifest]] = {}
    for folder in folders(models_dir):
        try:
            manifest = Manifest.read(folder)
            manifest.check_sizes(folder)
        except ManifestError as error:
            log.warning("the model in %s is not used: %s", folder, error)
            continue
        other = found.get(manifest.name)
        if other is None or other[1].installed_at < manifest.installed_at:
            found[manifest.name] = folder, manifest
    return sorted(found.values(), key=lambda pair: (pair[1].rank, pair[1].name))


def folders(models_dir: Path) -> list[Path]:
    """Every folder that claims to be a model, whole or not."""
    try:
        inside = sorted(models_dir.iterdir())
    except OSError:
        return []
    return [one for one in inside if not one.name.startswith(".") and (one / MANIFEST).is_file()]


def model_of(folder: Path, manifest: Manifest) -> InstalledModel:
    folder = folder.absolute()
    return InstalledModel(
        name=manifest.name,
        version=manifest.version,
        kind=manifest.kind,
        family=manifest.family,
        folder=folder,
        files={role: folder / path for role, path in manifest.roles.items()},
        languages=manifest.languages,
        pairs=manifest.pairs,
        licence=manifest.licence,
        quality=manifest.quality,
        options=manifest.options,
    )
