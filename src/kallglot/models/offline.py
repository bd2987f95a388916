"""Installing without a network: from a folder or an archive that was filled elsewhere.

A folder may hold models as another machine has them installed, the files of a mirror (``github.com/k2-fsa/…``), a
folder for each model with its files, or archives as they were downloaded.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from kallglot.models.archives import Limits, unpack
from kallglot.models.catalogue import CatalogueModel, Remote
from kallglot.models.crc32c import crc32c_of
from kallglot.models.errors import ModelsError
from kallglot.models.manifest import MANIFEST, Manifest, ManifestError, size_trouble
from kallglot.models.partial import sha256_of


@dataclass(frozen=True, slots=True)
class Offline:
    folder: Path
    source: Path
    """What the operator named: the folder, or an archive of it."""

    def copy_of(self, model: CatalogueModel) -> tuple[Path, Manifest] | None:
        """The model as another machine has it installed, in the catalogue's version."""
        for folder in (self.folder / model.folder, self.folder):
            if (folder / MANIFEST).is_file():
                try:
                    manifest = Manifest.read(folder)
                except ManifestError as error:
                    raise ModelsError(f"{folder}: {error}") from error
                if (manifest.name, manifest.version) == (model.name, model.version):
                    return folder, manifest
        return None

    def file(self, model: CatalogueModel, remote: Remote) -> Path:
        """Where it is. Raises :class:`ModelsError` that says where it was looked for."""
        parts = urlsplit(remote.url)
        places = [
            self.folder / parts.netloc / parts.path.lstrip("/"),
            self.folder / model.folder / remote.path,
            self.folder / model.name / remote.path,
        ]
        # model.bin could be anybody's.
        if remote.archive or remote.sha256 is not None:
            places.append(self.folder / remote.path)
        for place in places:
            if place.is_file():
                return place
        raise ModelsError(
            f"{self.source} has no {remote.path} for {model.name}. It was looked for as "
            + ", ".join(str(place.relative_to(self.folder)) for place in places)
        )


def opened(path: Path, models: list[CatalogueModel], staging: Path) -> Offline:
    """From a folder as it is; an archive is unpacked in ``staging``, unless it is itself one of the files.

    Raises :class:`ModelsError` and OSError.
    """
    if path.is_dir():
        return Offline(path, path)
    if not path.is_file():
        raise ModelsError(f"{path} is neither a folder nor a file.")
    if any(remote.path == path.name for model in models for remote in model.remotes):
        return Offline(path.parent, path.parent)
    most = sum(model.download + model.installed for model in models) * 2 + 1024**3
    unpack(path, staging, root="", wants=_not_hidden, limits=Limits(most))
    inside = [one for one in staging.iterdir() if one.is_dir()]
    # One folder around everything, as from "tar c models".
    known = {name for model in models for name in (model.name, model.folder)}
    if len(inside) == 1 and inside[0].name not in known and "." not in inside[0].name:
        return Offline(inside[0], path)
    return Offline(staging, path)


def copy(folder: Path, manifest: Manifest, model: CatalogueModel, staging: Path) -> None:
    """Copies an installed model, checking each byte against its manifest, and the manifest against the catalogue.

    Raises :class:`ModelsError` and OSError.
    """
    known = {remote.url: remote.sha256 for remote in model.remotes}
    plain = {remote.path: remote.sha256 for remote in model.remotes if not remote.archive}
    checked = {remote.path: remote.crc32c for remote in model.remotes if not remote.archive}
    for download in manifest.downloads:
        if known.get(download.url) not in (None, download.sha256):
            raise ModelsError(f"{folder}: it was made of another {download.url} than the catalogue knows")
    for path, record in manifest.files.items():
        trouble = size_trouble(folder / path, record)
        if trouble is not None:
            raise ModelsError(f"{folder}: {path} {trouble}")
        target = staging / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / path, target)
        crc32c = checked.get(path)
        if (
            sha256_of(target) != record.sha256
            or plain.get(path) not in (None, record.sha256)
            or (crc32c is not None and crc32c_of(target) != crc32c)
        ):
            raise ModelsError(f"{folder}: {path} has other content than it should have")


def _not_hidden(path: str) -> bool:
    return not any(part.startswith(".") for part in path.split("/"))
