"""Where finished recordings lie: a folder, or the bucket of an object store."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, from_url

if TYPE_CHECKING:
    from obstore import GetResult
    from obstore.store import ObjectStore

PART_BYTES: Final = 5 * 1024 * 1024
"""Larger files go up in parts of this size, one after the other; also the least that S3 takes."""
WRITE_BYTES: Final = 1024 * 1024
SHORT_SECONDS: Final = 40.0
"""For what moves no recording: a size, a deletion, a check."""
CHECK_KEY: Final = "kallglot-check"

_CLIENT_DEFAULTS: Final = {"connect_timeout": "5s", "read_timeout": "20s", "timeout": "1h"}
"""The last is for a whole download; a read, or the answer to a part sent, has 20 s."""
_CLIENT_KEYS: Final = (
    "allow_http",
    "allow_invalid_certificates",
    "connect_timeout",
    "default_content_type",
    "http1_only",
    "http2_only",
    "pool_idle_timeout",
    "pool_max_idle_per_host",
    "proxy_ca_certificate",
    "proxy_excludes",
    "proxy_url",
    "randomize_addresses",
    "read_timeout",
    "root_certificate",
    "timeout",
    "user_agent",
)
_VARIABLES: Final = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_"}
_RETRIES: Final = 3
_RETRY_SECONDS: Final = 20
_KEY: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")


class ShelfError(Exception):
    """The store refused, or did not answer in time; says which store and why, without its secrets."""


class NotOnShelf(ShelfError):
    """No such recording."""


def open_shelf(url: str | None, folder: Path) -> Shelf:
    """None: files under ``folder``, which is made. Else a URL: ``file:///folder``, ``s3://bucket/prefix``, ``gs://…``
    or ``az://container/prefix``.

    Credentials come from the environment, under the names of the store's own tools (``AWS_ACCESS_KEY_ID`` …). The URL's
    query sets any option of obstore: ``?endpoint=http://127.0.0.1:9000&allow_http=true&region=…&read_timeout=20s``.
    Nothing is asked of the store yet. Raises :class:`ShelfError`.
    """
    if url is None:
        return _open_folder(folder)
    try:
        parts = urlsplit(url)
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError as error:
        raise ShelfError(f"the recordings' URL is not understood: {error}") from None
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise ShelfError("the recordings' URL names no folder: expected file:///folder")
        return _open_folder(Path(unquote(parts.path)))
    if parts.scheme not in _VARIABLES or not parts.netloc:
        raise ShelfError("the recordings' URL is not understood: expected file:///…, s3://…, gs://… or az://…")
    name = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    client: dict[str, str] = dict(_CLIENT_DEFAULTS)
    variable = _VARIABLES[parts.scheme]
    client |= {key: os.environ[variable + key.upper()] for key in _CLIENT_KEYS if variable + key.upper() in os.environ}
    config: dict[str, str] = {}
    for key, value in query:
        (client if key in _CLIENT_KEYS else config)[key] = value
    with _translated(name, "be opened"):
        store: ObjectStore = cast(Any, from_url)(
            f"{parts.scheme}://{parts.netloc}{parts.path}",
            config=config,
            client_options=client,
            retry_config={
                "max_retries": _RETRIES,
                "retry_timeout": timedelta(seconds=_RETRY_SECONDS),
                "backoff": {
                    "init_backoff": timedelta(milliseconds=200),
                    "max_backoff": timedelta(seconds=2),
                    "base": 2,
                },
            },
        )
        return Shelf(store, name)


def _open_folder(folder: Path) -> Shelf:
    with _translated(str(folder), "be opened"):
        folder.mkdir(parents=True, exist_ok=True)
        folder = folder.resolve()
        return Shelf(LocalStore(folder, automatic_cleanup=True), str(folder), folder)


class Shelf:
    """Recordings under keys such as ``rec_01…/audio.flac``. Whatever fails raises :class:`ShelfError`."""

    def __init__(self, store: ObjectStore, name: str, folder: Path | None = None) -> None:
        self._store = store
        self.name = name
        """For people: the folder, or the URL without its options."""
        self._folder = folder

    async def put(self, key: str, path: Path) -> None:
        """Copies the file up, replacing what lies there; nobody sees half of it."""
        _require(key)
        if not await asyncio.to_thread(path.is_file):
            raise ShelfError(f"there is no file {path} to keep")
        with _translated(self.name, "be written"):
            await obstore.put_async(self._store, key, path, chunk_size=PART_BYTES, max_concurrency=1)
            if self._folder is not None:
                await asyncio.to_thread(_settle, self._folder / key)

    async def fetch(self, key: str, path: Path) -> None:
        """Copies the recording to ``path``, whole or not at all. Raises :class:`NotOnShelf`."""
        _require(key)
        with _translated(self.name, "be read"), self._found(key):
            result = await obstore.get_async(self._store, key)
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        try:
            with _translated(self.name, "be read"):
                await _download(result, part)
                await asyncio.to_thread(os.replace, part, path)
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)

    async def delete(self, key: str) -> None:
        """A recording that is not there is deleted."""
        _require(key)
        async with self._short("be deleted from"):
            with contextlib.suppress(FileNotFoundError):
                await obstore.delete_async(self._store, key)

    async def size(self, key: str) -> int:
        """In bytes. Raises :class:`NotOnShelf`."""
        _require(key)
        async with self._short("be read"):
            with self._found(key):
                return (await obstore.head_async(self._store, key))["size"]

    def local(self, key: str) -> Path | None:
        """The recording's own file, to be read only; None where it lies elsewhere or is missing."""
        _require(key)
        if self._folder is None or not (path := self._folder / key).is_file():
            return None
        return path

    async def check(self) -> None:
        """Keeps a few bytes and deletes them again."""
        async with self._short("be written"):
            await obstore.put_async(self._store, CHECK_KEY, b"ok")
        await self.delete(CHECK_KEY)

    @asynccontextmanager
    async def _short(self, what: str) -> AsyncGenerator[None]:
        with _translated(self.name, what):
            async with asyncio.timeout(SHORT_SECONDS):
                yield

    @contextmanager
    def _found(self, key: str) -> Generator[None]:
        try:
            yield
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise
            raise NotOnShelf(f"{key} is not among the recordings in {self.name}") from None


async def _download(result: GetResult, part: Path) -> None:
    got = 0
    with part.open("wb") as file:
        async for chunk in result.stream(min_chunk_size=WRITE_BYTES):
            await asyncio.to_thread(file.write, chunk)
            got += len(chunk)
    if got != result.meta["size"]:
        raise OSError(f"it ended after {got} of {result.meta['size']} bytes")


def _settle(path: Path) -> None:
    """On the disk itself, file and name, before what it was made from may go."""
    for one in (path, path.parent):
        number = os.open(one, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _require(key: str) -> None:
    if _KEY.fullmatch(key) is None:
        raise ShelfError(f"expected a key such as rec_1/audio.flac, got {key!r}")


@contextmanager
def _translated(name: str, what: str) -> Generator[None]:
    try:
        yield
    except ShelfError:
        raise
    except TimeoutError:
        raise ShelfError(f"the recordings in {name} cannot {what}: the store does not answer") from None
    except (BaseError, OSError, ValueError) as error:
        raise ShelfError(f"the recordings in {name} cannot {what}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """One line, without the query of an address, which may hold a signature."""
    said = str(error).partition("\n\nDebug source")[0]
    if answer := re.search(r"<Code>(\w+)</Code>", said):
        return f"the store answers {answer[1]}"
    if "/169.254.169.254/" in said or "metadata.google.internal" in said:
        return "there are no credentials for the store"
    if "builder error" in said:
        return "plain HTTP needs allow_http=true"
    if "error sending request" in said:
        return "the store does not answer"
    line = next(iter(said.splitlines()), "") or type(error).__name__
    return re.sub(r"\?\S+", "", line)[:300]
