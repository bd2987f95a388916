"""Reading installed models again, every byte of them: are they still what was installed?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kallglot.models.catalogue import Catalogue
from kallglot.models.installed import folders
from kallglot.models.manifest import MANIFEST, Manifest, ManifestError, size_trouble
from kallglot.models.partial import sha256_of


@dataclass(frozen=True, slots=True)
class Examined:
    name: str
    version: str | None
    folder: Path
    size: int
    """Bytes that its manifest speaks of."""
    problems: tuple[str, ...]
    """Each begins with the file that it is about. Empty: everything is as it was installed."""
    on_trust: tuple[str, ...] = ()
    """What was downloaded without a checksum that anybody knew."""


def verify(
    models_dir: Path, catalogue: Catalogue, names: set[str] | None = None, *, told: Callable[[Path], None] | None = None
) -> Iterator[Examined]:
    """Each installed model, or those of ``names``; ``told`` hears of each file before it is read."""
    for folder in folders(models_dir):
        name = folder.name.partition("@")[0]
        if names is None or name in names:
            yield _examined(folder, name, catalogue, told)


def _examined(folder: Path, name: str, catalogue: Catalogue, told: Callable[[Path], None] | None) -> Examined:
    try:
        manifest = Manifest.read(folder)
    except ManifestError as error:
        return Examined(name, None, folder, 0, (str(error),))
    problems = [f"{MANIFEST} is of {manifest.name}, in the folder of {name}"] if manifest.name != name else []
    for path, record in manifest.files.items():
        trouble = size_trouble(folder / path, record)
        if trouble is None:
            if told is not None:
                told(folder / path)
            trouble = _content_trouble(folder / path, record.sha256)
        if trouble is not None:
            problems.append(f"{path} {trouble}")
    problems += [
        f"{path} ({role}) is missing"
        for role, path in manifest.roles.items()
        if path not in manifest.files and not (folder / path).is_dir()
    ]
    known = {remote.url: remote.sha256 for model in catalogue.models.values() for remote in model.remotes}
    for download in manifest.downloads:
        expected = known.get(download.url)
        if expected is not None and expected != download.sha256:
            problems.append(
                f"{download.url} was something else when it was downloaded than the catalogue knows it to be"
            )
    on_trust = tuple(one.url for one in manifest.downloads if one.known == "first-use" and known.get(one.url) is None)
    return Examined(name, manifest.version, folder, manifest.size, tuple(problems), on_trust)


def _content_trouble(path: Path, sha256: str) -> str | None:
    try:
        found = sha256_of(path)
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    return (
        None if found == sha256 else f"has other content than was installed (SHA-256 {found[:12]}…, not {sha256[:12]}…)"
    )
