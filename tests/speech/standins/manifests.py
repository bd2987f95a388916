"""A stand-in model put into a models folder, as the downloader leaves a real one there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from kallglot.models.installed import InstalledModel, installed
from kallglot.models.manifest import MANIFEST, FileRecord, Manifest

VERSION = "1"


def folder_of(models_dir: Path, name: str) -> Path:
    """Where the files of a model are to be made before :func:`sign`."""
    folder = models_dir / f"{name}@{VERSION}"
    folder.mkdir(parents=True)
    return folder


def sign(
    folder: Path,
    kind: Literal["recognition", "translation", "synthesis", "detection"],
    family: str,
    roles: Mapping[str, str],
    *,
    languages: tuple[str, ...] = (),
    pairs: tuple[tuple[str, str], ...] = (),
    options: Mapping[str, Any] | None = None,
) -> InstalledModel:
    """Writes the manifest of what lies in the folder."""
    name = folder.name.partition("@")[0]
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != MANIFEST]
    manifest = Manifest(
        name=name,
        version=VERSION,
        kind=kind,
        family=family,
        licence="CC0-1.0",
        installed_at="2026-11-21T12:00:00Z",
        roles=roles,
        files={
            path.relative_to(folder).as_posix(): FileRecord(
                path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()
            )
            for path in files
        },
        languages=languages,
        pairs=pairs,
        quality="random weights: gibberish",
        options=options or {},
    )
    (folder / MANIFEST).write_bytes(manifest.to_json())
    return next(model for model in installed(folder.parent) if model.name == name)
