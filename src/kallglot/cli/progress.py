"""What is seen of a pull: bars on a terminal, lines everywhere else."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Column

from kallglot.models.catalogue import CatalogueModel, Remote
from kallglot.models.manifest import Manifest
from kallglot.models.plan import Plan, in_bytes
from kallglot.models.pull import PullReport

_LINE_EVERY_PERCENT: Final = 25
_LINE_FROM: Final = 10_000_000
"""Bytes: smaller files get a line only when they are there."""


@contextmanager
def reporter(console: Console) -> Generator[PullReport]:
    if not console.is_terminal:
        yield Lines(console)
        return
    # Narrow enough, and in one line, on a terminal of 80 columns.
    columns = (
        TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis", max_width=26)),
        BarColumn(bar_width=None, table_column=Column(ratio=1)),
        DownloadColumn(table_column=Column(no_wrap=True)),
        TransferSpeedColumn(table_column=Column(no_wrap=True)),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
    )
    with Progress(*columns, console=console, expand=True) as progress:
        yield Bars(console, progress)


class Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._told: dict[str, int] = {}
        self._waits: dict[str, float] = {}
        """By trouble, the longest wait that was told: that eight files wait for one server is said once."""
        self._lock = threading.Lock()

    def planned(self, plan: Plan) -> None:
        for model in plan.fetch:
            self.note(f"{model.name} {model.version}: {in_bytes(model.download)}, {model.licence}")
        if len(plan.fetch) > 1:
            self.note(f"{len(plan.fetch)} models, {in_bytes(plan.download)} in all")

    def progress(self, remote: Remote, done: int, total: int | None) -> None:
        if not total or total < _LINE_FROM:
            return
        percent = done * 100 // total // _LINE_EVERY_PERCENT * _LINE_EVERY_PERCENT
        if percent > self._told.get(remote.url, 0):
            self._told[remote.url] = percent
            self.note(f"{remote.path}: {percent} % of {in_bytes(total)}")

    def waiting(self, remote: Remote, seconds: float, why: str) -> None:
        host = urlsplit(remote.url).hostname
        if seconds > self._waits.get(f"{host} {why}", 0) * 1.5:
            self._waits[f"{host} {why}"] = seconds
            self.note(f"{remote.path}: {why}; once more in {seconds:.0f} s")

    def unpacking(self, model: CatalogueModel, remote: Remote) -> None:
        self.note(f"{remote.path}: unpacking")

    def installed(self, model: CatalogueModel, manifest: Manifest) -> None:
        self.note(f"{model.name} {model.version} is installed, {in_bytes(manifest.size)}.")

    def note(self, words: str) -> None:
        with self._lock:
            self._console.print(words, markup=False, highlight=False, soft_wrap=True)


class Bars(Lines):
    def __init__(self, console: Console, progress: Progress) -> None:
        super().__init__(console)
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def progress(self, remote: Remote, done: int, total: int | None) -> None:
        task = self._tasks.get(remote.url)
        if task is None:
            task = self._tasks[remote.url] = self._progress.add_task(remote.path, total=total or remote.about)
        self._progress.update(task, completed=done, total=total or remote.about)

    def installed(self, model: CatalogueModel, manifest: Manifest) -> None:
        for remote in model.remotes:
            task = self._tasks.pop(remote.url, None)
            if task is not None:
                self._progress.remove_task(task)
        super().installed(model, manifest)
