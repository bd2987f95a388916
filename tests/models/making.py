"""Models, catalogues and archives that tests make up."""

from __future__ import annotations

import hashlib
import io
import random
import tarfile
import zipfile
from pathlib import Path
from typing import Any

from kallglot.models.catalogue import Catalogue, CatalogueModel, Remote
from kallglot.models.manifest import Manifest
from kallglot.models.plan import Plan


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def remote(url: str, path: str, content: bytes, *, size: bool = True, checksum: bool = True, **more: Any) -> Remote:
    known = {"size": len(content) if size else None, "sha256": sha(content) if checksum else None}
    return Remote(url, path, about=len(content) or 1, **known, **more)


def model(
    name: str, *remotes: Remote, roles: dict[str, str] | None = None, version: str = "1", **more: Any
) -> CatalogueModel:
    plain = {one.path.split(".")[0]: one.path for one in remotes if not one.archive}
    settings: dict[str, Any] = {
        "kind": "recognition",
        "family": "whisper",
        "languages": ("de",),
        "licence": "MIT",
        **more,
    }
    return CatalogueModel(
        name=name, version=version, page="https://example.com", roles=roles or plain, remotes=remotes, **settings
    )


def catalogue_of(*models: CatalogueModel) -> Catalogue:
    return Catalogue({one.name: one for one in models}, {})


def tar(entries: list[tuple[str, bytes | tarfile.TarInfo]], mode: str = "w:bz2") -> bytes:
    """A TarInfo in place of content is put in as it is."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in entries:
            if isinstance(content, tarfile.TarInfo):
                content.name = name
                archive.addfile(content)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def zipped(entries: list[tuple[str | zipfile.ZipInfo, bytes]]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return out.getvalue()


class Told:
    """A report that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.waits: list[tuple[float, str]] = []
        self.done: dict[str, int] = {}
        self.plans: list[Plan] = []
        self.finished: list[str] = []

    def planned(self, plan: Plan) -> None:
        self.plans.append(plan)

    def progress(self, remote: Remote, done: int, total: int | None) -> None:
        self.done[remote.url] = done

    def waiting(self, remote: Remote, seconds: float, why: str) -> None:
        self.waits.append((seconds, why))

    def unpacking(self, model: CatalogueModel, remote: Remote) -> None:
        self.notes.append(f"unpacking {remote.path}")

    def installed(self, model: CatalogueModel, manifest: Manifest) -> None:
        self.finished.append(model.name)

    def note(self, words: str) -> None:
        self.notes.append(words)


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
