"""Getting models onto this machine: plan, space, fetching, checking, unpacking, installing.

One model after the other is whole and usable; what was fetched of the others stays for the next time.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from kallglot.models.archives import Limits, unpack
from kallglot.models.catalogue import CatalogueModel, Remote
from kallglot.models.crc32c import crc32c_of
from kallglot.models.errors import ModelsError, WrongContent
from kallglot.models.fetch import Fetched, Fetcher, Report, client
from kallglot.models.manifest import Download, FileRecord, Manifest
from kallglot.models.offline import Offline, copy, opened
from kallglot.models.partial import read_journal, sha256_of, sync_folder
from kallglot.models.plan import MARGIN, Plan, in_bytes, plan
from kallglot.models.store import Store
from kallglot.models.transfer import Manners


class PullReport(Report, Protocol):
    def planned(self, plan: Plan) -> None: ...

    def unpacking(self, model: CatalogueModel, remote: Remote) -> None: ...

    def installed(self, model: CatalogueModel, manifest: Manifest) -> None: ...


@dataclass(frozen=True, slots=True)
class Wishes:
    force: bool = False
    """Fetches again what is there."""
    accept_changed: bool = False
    """A file that was trusted on first use may be another one now."""
    source: Path | None = None
    """A folder or an archive instead of the network."""
    mirror: str | None = None
    manners: Manners = field(default_factory=Manners)


async def pull(
    models: list[CatalogueModel], store: Store, report: PullReport, wishes: Wishes = Wishes(), *, version: str = "0"
) -> Plan:
    """Installs what is missing of these models; ``version`` is ours, for servers to see. What was done.

    Raises :class:`ModelsError`; models that were finished before that are installed.
    """
    async with store.changing(report.note):
        made = plan(models, store.versions(), force=wishes.force)
        report.planned(made)
        if not made.fetch:
            return made
        try:
            if wishes.source is not None:
                await _offline(made, store, report, wishes.source)
            else:
                await _online(made, store, report, wishes, version)
        except OSError as error:
            raise ModelsError(
                f"{error.filename or store.folder} cannot be written: {error.strerror or error}"
            ) from error
        return made


async def _online(made: Plan, store: Store, report: PullReport, wishes: Wishes, version: str) -> None:
    _check_space(store, made.space(_partial(made, store)))
    trusted = {} if wishes.accept_changed else store.first_use()
    async with client(wishes.manners, version) as connections:
        fetcher = Fetcher(connections, store.downloads, report, manners=wishes.manners, mirror=wishes.mirror)
        for position, model in enumerate(made.fetch):
            fetched = await _fetched(model, fetcher, trusted)
            still_wanted = {remote.url for later in made.fetch[position + 1 :] for remote in later.remotes}
            await _in_thread(lambda: _install(model, fetched, store, report, still_wanted))  # noqa: B023
            for remote in model.remotes:
                if remote.url not in still_wanted:
                    store.forget(remote.url)


async def _fetched(model: CatalogueModel, fetcher: Fetcher, trusted: Mapping[str, str]) -> dict[str, Fetched]:
    """By address. All files of a model at once; when one fails, so does the model."""
    found: dict[str, Fetched] = {}

    async def one(remote: Remote) -> None:
        fetched = await fetcher.fetch(remote, remote.sha256)
        before = trusted.get(remote.url)
        if remote.sha256 is None and before not in (None, fetched.sha256):
            raise WrongContent(
                f"{remote.path} of {model.name} is not the file that was downloaded before from the same address. "
                "If its publisher has replaced it, say --accept-changed"
            )
        found[remote.url] = fetched

    try:
        async with asyncio.TaskGroup() as group:
            for remote in model.remotes:
                group.create_task(one(remote))
    except* ModelsError as errors:
        raise _first(errors) from None
    return found


def _install(
    model: CatalogueModel, fetched: Mapping[str, Fetched], store: Store, report: PullReport, keep: set[str]
) -> None:
    """Of downloads that are checked. A plain file is moved from the downloads, unless another model needs it too."""
    staging = store.stage(model.folder)
    files: dict[str, FileRecord] = {}
    for remote in model.remotes:
        got = fetched[remote.url]
        if remote.archive:
            report.unpacking(model, remote)
            files |= _unpacked(remote, got.path, staging)
        else:
            target = staging / remote.path
            target.parent.mkdir(parents=True, exist_ok=True)
            if remote.url in keep:
                shutil.copyfile(got.path, target)
                _sync(target)
            else:
                got.path.rename(target)
            files[remote.path] = FileRecord(got.size, got.sha256)
    downloads = tuple(
        Download(one.url, fetched[one.url].size, fetched[one.url].sha256, "catalogue" if one.sha256 else "first-use")
        for one in model.remotes
    )
    manifest = _manifest(model, files, downloads, staging)
    store.commit(staging, manifest)
    report.installed(model, manifest)


async def _offline(made: Plan, store: Store, report: PullReport, source: Path) -> None:
    unpacked = 0 if source.is_dir() else made.download
    _check_space(store, sum(model.installed for model in made.fetch) + unpacked + MARGIN)
    staging = store.stage(".source")

    def work() -> None:
        offline = opened(source, list(made.fetch), staging)
        for model in made.fetch:
            _install_offline(model, offline, store, report)

    try:
        await _in_thread(work)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _install_offline(model: CatalogueModel, offline: Offline, store: Store, report: PullReport) -> None:
    existing = offline.copy_of(model)
    if existing is not None:
        staging = store.stage(model.folder)
        folder, manifest = existing
        copy(folder, manifest, model, staging)
        _sync_all(staging)
        # What the catalogue says now counts, not what it said when that copy was made.
        renewed = _manifest(model, manifest.files, manifest.downloads, staging)
        store.commit(staging, renewed)
        report.installed(model, renewed)
        return
    staging = store.stage(model.folder)
    files: dict[str, FileRecord] = {}
    downloads: list[Download] = []
    for remote in model.remotes:
        place = offline.file(model, remote)
        report.note(f"{model.name}: {place}")
        size, sha256 = place.stat().st_size, sha256_of(place)
        wrong = remote.sha256 not in (None, sha256) or remote.size not in (None, size)
        if wrong or (remote.crc32c is not None and crc32c_of(place) != remote.crc32c):
            raise WrongContent(
                f"{place} is not the {remote.path} that the catalogue knows: other size or other content"
            )
        if remote.archive:
            report.unpacking(model, remote)
            files |= _unpacked(remote, place, staging)
        else:
            target = staging / remote.path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(place, target)
            _sync(target)
            files[remote.path] = FileRecord(size, sha256)
        downloads.append(Download(remote.url, size, sha256, "catalogue" if remote.sha256 else "first-use"))
    manifest = _manifest(model, files, tuple(downloads), staging)
    store.commit(staging, manifest)
    report.installed(model, manifest)


def _unpacked(remote: Remote, archive: Path, staging: Path) -> dict[str, FileRecord]:
    # What is thrown away, test recordings and larger variants, may be several times what is kept.
    limits = Limits(total=remote.unpacked * 6 + remote.about * 3)
    return unpack(archive, staging, root=remote.root, wants=remote.wants, limits=limits)


def _manifest(
    model: CatalogueModel, files: Mapping[str, FileRecord], downloads: tuple[Download, ...], staging: Path
) -> Manifest:
    for role, path in model.roles.items():
        if path not in files and not (staging / path).is_dir():
            raise ModelsError(f"{model.name}: what was downloaded has no {path}, which is its {role}")
    return Manifest(
        name=model.name,
        version=model.version,
        kind=model.kind,
        family=model.family,
        licence=model.licence,
        installed_at=datetime.now(UTC).isoformat(timespec="microseconds"),
        roles=model.roles,
        files=dict(sorted(files.items())),
        languages=model.languages,
        pairs=model.pairs,
        quality=model.quality,
        options=model.options,
        rank=model.rank,
        downloads=downloads,
    )


def _partial(made: Plan, store: Store) -> dict[str, int]:
    there: dict[str, int] = {}
    for remote in made.remotes:
        journal = read_journal(store.downloads, remote.url)
        if journal is not None:
            there[remote.url] = journal.done
    return there


async def _in_thread(work: Callable[[], None]) -> None:
    """Does not return before the work is done, cancelled or not: the folder is locked for no longer than that."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _check_space(store: Store, needed: int) -> None:
    free = shutil.disk_usage(store.folder).free
    if free < needed:
        raise ModelsError(
            f"There is not enough space in {store.folder}: {in_bytes(needed)} are needed for a while, {in_bytes(free)} "
            "are free. KALLGLOT_MODELS_DIR puts the models somewhere else."
        )


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _sync_all(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            _sync(path)
        else:
            sync_folder(path)


def _first(errors: ExceptionGroup[ModelsError]) -> ModelsError:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, ExceptionGroup) else first
