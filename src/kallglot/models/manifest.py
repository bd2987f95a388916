"""``kallglot-model.json`` in a model's folder: what the model is, and each of its files with size and SHA-256."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

MANIFEST: Final = "kallglot-model.json"
_FORMAT: Final = 1
_LARGEST: Final = 4 * 1024 * 1024
ModelKind = Literal["recognition", "translation", "synthesis", "detection"]
KINDS: Final[tuple[ModelKind, ...]] = ("recognition", "translation", "synthesis", "detection")

Known = Literal["catalogue", "first-use"]


class ManifestError(Exception):
    """A model's folder is not what its manifest says, or has none that can be read."""


@dataclass(frozen=True, slots=True)
class FileRecord:
    size: int
    """Bytes."""
    sha256: str
    """Lower-case hexadecimal, of the file as it lies here."""


@dataclass(frozen=True, slots=True)
class Download:
    """What was fetched to install the model."""

    url: str
    size: int
    sha256: str
    known: Known
    """Where the checksum was known from: the catalogue, or only from this download."""


@dataclass(frozen=True, slots=True)
class Manifest:
    name: str
    version: str
    kind: ModelKind
    family: str
    licence: str
    installed_at: str
    """ISO 8601, UTC."""
    roles: Mapping[str, str]
    """Role → path in the folder, with ``/``."""
    files: Mapping[str, FileRecord]
    languages: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    quality: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    rank: int = 100
    """Lower is preferred."""
    downloads: tuple[Download, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Raises :class:`ManifestError`."""
        path = folder / MANIFEST
        try:
            if path.stat().st_size > _LARGEST:
                raise ManifestError(f"{MANIFEST} is larger than {_LARGEST} bytes")
            told: Any = json.loads(path.read_bytes())
        except OSError as error:
            raise ManifestError(f"{MANIFEST} cannot be read: {error.strerror or error}") from None
        except (ValueError, RecursionError):
            raise ManifestError(f"{MANIFEST} is not JSON") from None
        return cls.of(told)

    @classmethod
    def of(cls, told: Any) -> Manifest:
        """From parsed JSON; unknown fields are left aside. Raises :class:`ManifestError`."""
        try:
            if told["format"] != _FORMAT:
                raise ManifestError(
                    f"{MANIFEST} has format {told['format']}, expected {_FORMAT}: made by another version"
                )
            made = cls(
                name=_text(told["name"]),
                version=_text(told["version"]),
                kind=_kind(told["kind"]),
                family=_text(told["family"]),
                licence=_text(told["licence"]),
                installed_at=_text(told["installed_at"]),
                roles={_text(role): inside(path) for role, path in told["roles"].items()},
                files={
                    inside(path): FileRecord(_count(one["size"]), _text(one["sha256"]))
                    for path, one in told["files"].items()
                },
                languages=tuple(_text(code) for code in told["languages"]),
                pairs=tuple((_text(source), _text(target)) for source, target in told["pairs"]),
                quality=None if told["quality"] is None else _text(told["quality"]),
                options=dict(told["options"]),
                rank=_count(told["rank"]),
                downloads=tuple(
                    Download(_text(one["url"]), _count(one["size"]), _text(one["sha256"]), _known(one["known"]))
                    for one in told["downloads"]
                ),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ManifestError(f"{MANIFEST} is not as expected: {type(error).__name__}: {error}") from None
        return made

    def to_json(self) -> bytes:
        return json.dumps({"format": _FORMAT, **asdict(self)}, ensure_ascii=False, indent=1).encode() + b"\n"

    def check_sizes(self, folder: Path) -> None:
        """Raises :class:`ManifestError` for the first file that is absent or of another size; opens none."""
        for path, record in self.files.items():
            trouble = size_trouble(folder / path, record)
            if trouble is not None:
                raise ManifestError(f"{path} {trouble}")
        for role, path in self.roles.items():
            if path not in self.files and not (folder / path).is_dir():
                raise ManifestError(f"{path} ({role}) is missing")

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(record.size for record in self.files.values())


def size_trouble(path: Path, record: FileRecord) -> str | None:
    """None, or what is wrong, to be put behind the file's name."""
    try:
        size = path.stat().st_size
    except OSError:
        return "is missing"
    return None if size == record.size else f"has {size} bytes instead of {record.size}"


def inside(path: Any) -> str:
    """A path that stays in its folder, with ``/``. Raises ValueError for any other."""
    text = _text(path)
    parts = PurePosixPath(text).parts
    if not parts or text.startswith("/") or "\\" in text or "\0" in text or ".." in parts or ":" in parts[0]:
        raise ValueError(f"{text!r} is no path inside the model's folder")
    return "/".join(parts)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"expected text, got {value!r}")
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"expected a number, got {value!r}")
    return value


def _kind(value: Any) -> ModelKind:
    if value not in KINDS:
        raise ValueError(f"unknown kind {value!r}")
    return value


def _known(value: Any) -> Known:
    if value not in ("catalogue", "first-use"):
        raise ValueError(f"{value!r} is neither catalogue nor first-use")
    return value
