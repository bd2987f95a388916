"""What works on this machine, what is missing, and the command that gets it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from kallglot.app import Deployment, open_store
from kallglot.recording.shelf import ShelfError, open_shelf
from kallglot.settings import Settings
from kallglot.speech.registry import build_registry

Work = Callable[[Deployment], Awaitable[None]]


def show_languages(console: Console, settings: Settings) -> None:
    asyncio.run(_show_languages(console, settings))


async def _show_languages(console: Console, settings: Settings) -> None:
    registry = build_registry(recognition_processes=1, scripted=settings.scripted_engines, models_dir=None)
    await registry.start()
    try:
        table = Table("code", "language", "recognised by", "translated to", "spoken by", "note")
        for language in registry.languages():
            if language.recognition or language.translation_to:
                table.add_row(
                    language.code,
                    language.name,
                    language.recognition or "–",
                    ", ".join(target.language for target in language.translation_to) or "–",
                    language.synthesis or "–",
                    next((target.note for target in language.translation_to if target.note), ""),
                )
        console.print(table)
        spoken = [language.code for language in registry.languages() if language.synthesis]
        console.print(f"{len(spoken)} languages can be spoken: {', '.join(spoken)}", highlight=False)
    finally:
        await registry.close()


def run(console: Console, settings: Settings) -> int:
    return asyncio.run(_run(console, settings))


async def _run(console: Console, settings: Settings) -> int:
    problems = 0

    def say(fine: bool, what: str) -> None:
        nonlocal problems
        problems += not fine
        console.print(f"  [{'green' if fine else 'red'}]{'ok' if fine else '!!'}[/]  {what}", highlight=False)

    say(_writable(settings.data_dir), f"data folder {settings.data_dir}")
    try:
        async with open_store(settings) as deployment:
            await deployment.store.ping()
        say(True, f"database {settings.database.split('://')[0]}")
    except Exception as error:
        say(False, f"database: {error}")
    try:
        shelf = open_shelf(settings.recording_store, settings.data_dir / "recordings" / "shelf")
        await shelf.check()
        say(True, f"recordings in {shelf.name}")
    except ShelfError as error:
        say(False, str(error))
    registry = build_registry(recognition_processes=1, scripted=settings.scripted_engines, models_dir=None)
    try:
        await registry.start()
        for engine in registry.status():
            say(engine.ready, f"{engine.kind}: {engine.name}" + (f" — {engine.note}" if engine.note else ""))
    finally:
        await registry.close()
    return 1 if problems else 0


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".probe"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError:
        return False
    return True
