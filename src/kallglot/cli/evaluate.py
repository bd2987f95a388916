"""``kallglot eval``: recordings and texts with references through the engines of this installation."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from kallglot.cli.shell import console, settings
from kallglot.cli.shell import show as show_table
from kallglot.evaluation.corpus import Corpus, find, parallel
from kallglot.evaluation.engines import engines_here
from kallglot.evaluation.lines import LEVEL_DB, LINES, Line
from kallglot.evaluation.report import Report
from kallglot.evaluation.run import Plan, evaluate
from kallglot.evaluation.scores import EvaluationError, Spread, needed

MOST_LEFT_OUT: Final = 20
_LEGEND: Final = """\
first, final: seconds in real time from the beginning of speech to the first words, and from its end to the last final,
median (95th percentile); work: seconds of work for a second of speech, one stream, finals only"""


class Lines(StrEnum):
    BOTH = "both"
    CLEAN = "clean"
    TELEPHONE = "telephone"

    @property
    def chosen(self) -> Sequence[Line]:
        return [line for line in LINES if self.value in ("both", line)]


def evaluate_command(
    folder: Annotated[Path | None, typer.Argument(help="Recordings and texts with their references.")] = None,
    texts: Annotated[
        tuple[Path, Path] | None,
        typer.Option("--parallel", help="Two files, each line of one the translation of that of the other."),
    ] = None,
    source: Annotated[str | None, typer.Option("--from", help="Its first language, else as the name ends.")] = None,
    target: Annotated[str | None, typer.Option("--to", help="Its second language, else as the name ends.")] = None,
    language: Annotated[str | None, typer.Option(help="Of all recordings, else as their folder is called.")] = None,
    engine: Annotated[list[str] | None, typer.Option(help="By name, again for more; else what sessions get.")] = None,
    line: Annotated[Lines, typer.Option(help="As recorded, over the telephone, or both.")] = Lines.BOTH,
    timed: Annotated[int, typer.Option(min=0, help="Recordings heard again in real time, for the delays.")] = 8,
    real_time: Annotated[bool, typer.Option("--real-time", help="All at the speed of speech.")] = False,
    most: Annotated[int | None, typer.Option(min=1, help="So many recordings a language, and lines a text.")] = None,
    level: Annotated[float, typer.Option(max=0, help="The loudest sample, in dBFS.")] = LEVEL_DB,
    worst: Annotated[int, typer.Option(min=0, help="Also show so many of the worst results.")] = 3,
    output: Annotated[Path | None, typer.Option("--json", help="Write every result to this file.")] = None,
) -> None:
    """Word errors, BLEU, chrF and delays of the engines here, on recordings and texts with references."""
    try:
        needed()
        if folder is None and texts is None:
            raise EvaluationError("name a folder of recordings or texts, or two texts with --parallel")
        corpus = find(folder, language) if folder is not None else Corpus()
        if texts is not None:
            corpus.texts.append(parallel(*texts, source, target))
        plan = Plan(line.chosen, timed, real_time, most, level)
        report = asyncio.run(_run(corpus, engine or [], plan))
    except EvaluationError as error:
        console.print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(2) from None
    _show(report, worst)
    if output is not None:
        _write(report, output)
    if report.empty:
        console.print("Nothing could be evaluated.", style="red")
        raise typer.Exit(1)


async def _run(corpus: Corpus, names: Sequence[str], plan: Plan) -> Report:
    if not corpus.recordings and not corpus.texts:
        return Report(left_out=corpus.left_out)
    async with engines_here(settings(), names) as engines:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
            tasks: dict[str, TaskID] = {}

            def progress(doing: str, done: int, total: int) -> None:
                if doing not in tasks:
                    tasks[doing] = bars.add_task(doing, total=total)
                bars.update(tasks[doing], completed=done, visible=done < total)

            return await evaluate(corpus, engines, plan, progress)


def _show(report: Report, worst: int) -> None:
    if report.recognised:
        show_table(_recognition(report))
        console.print(_LEGEND, style="dim", highlight=False)
    if report.translated:
        show_table(_translation(report))
    if worst:
        _worst(report, worst)
    for what, why in report.left_out[:MOST_LEFT_OUT]:
        console.print(f"left out: {what}: {why}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    if len(report.left_out) > MOST_LEFT_OUT:
        console.print(f"and {len(report.left_out) - MOST_LEFT_OUT} more left out", style="yellow", highlight=False)


def _recognition(report: Report) -> Table:
    table = Table(
        "engine", "from", "line", "files", "words", "wrong", "failed", "first", "final", "work", title="Recognition"
    )
    for one in report.recognised:
        factor = one.real_time_factor
        table.add_row(
            *(one.engine, one.language, one.line, str(len(one.recordings)), str(one.errors.words)),
            f"{one.errors.rate:.1%}" if one.errors.words else "–",
            str(len(one.recordings) - len(one.answered)),
            _seconds(one.first_partial),
            _seconds(one.final),
            f"{factor:.2f}" if factor is not None else "–",
        )
    return table


def _translation(report: Report) -> Table:
    table = Table("engine", "text", "from", "to", "sentences", "failed", "BLEU", "chrF", "delay", title="Translation")
    for one in report.translated:
        table.add_row(
            *(one.engine, one.text, one.source, one.target, str(len(one.sentences)), str(one.failed)),
            *(f"{one.bleu:.1f}", f"{one.chrf:.1f}", _seconds(one.delay, 3)),
        )
    return table


def _worst(report: Report, most: int) -> None:
    for one in report.recognised:
        for result in one.worst(most):
            told = result.heard.trouble or f"{result.errors.wrong} of {result.errors.words} words"
            console.print(Text(f"{one.engine}, {one.line}, {result.name}: {told}", "bold"))
            console.print(
                Text(f"    said   {result.reference}"),
                Text(f"    heard  {result.heard.text}"),
                sep="\n",
                soft_wrap=True,
            )
    for one in report.translated:
        for sentence in one.worst(most):
            told = sentence.trouble or f"chrF {sentence.chrf:.0f}"
            console.print(Text(f"{one.engine}, {one.source} to {one.target}: {told}", "bold"))
            rows = ("source", sentence.source), ("wanted", sentence.reference), ("given ", sentence.translation)
            console.print(*(Text(f"    {name} {text}") for name, text in rows), sep="\n", soft_wrap=True)


def _seconds(found: Spread | None, digits: int = 2) -> str:
    return f"{found.median:.{digits}f} ({found.p95:.{digits}f})" if found else "–"


def _write(report: Report, path: Path) -> None:
    try:
        release = version("kallglot")
    except PackageNotFoundError:
        release = "unknown"
    told: dict[str, Any] = {"kallglot": release, "at": datetime.now(UTC).isoformat(timespec="seconds")}
    try:
        path.write_text(json.dumps(told | report.described(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        console.print(f"{path} cannot be written: {error.strerror}", style="red", highlight=False)
        raise typer.Exit(1) from None
