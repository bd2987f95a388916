"""What works on this machine, what is missing or wrong, and what to do about it. Changes nothing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from pathlib import Path

import httpx
from cryptography.fernet import Fernet
from rich.console import Console
from rich.table import Table

from kallglot import compiled, health, traces
from kallglot.app import stripe_hook
from kallglot.billing.check import check
from kallglot.billing.stripe import PaymentsUnavailable
from kallglot.clock import SystemClock
from kallglot.models.catalogue import catalogue
from kallglot.models.installed import InstalledModel, folders, installed
from kallglot.models.manifest import Manifest, ManifestError
from kallglot.observer import engine
from kallglot.recording.shelf import ShelfError, open_shelf
from kallglot.settings import Settings
from kallglot.speech.engineconfig import ConfigError
from kallglot.speech.languages import base
from kallglot.speech.registry import EngineRegistry, build_registry
from kallglot.store import Figures, SqlFigures, SqlStore, in_words, versions

PATIENCE_SECONDS = 10.0
WIDTH_IN_A_PIPE = 160


def show_languages(console: Console, settings: Settings) -> None:
    asyncio.run(_show_languages(console, settings))


async def _show_languages(console: Console, settings: Settings) -> None:
    registry = _registry(settings)
    await registry.start()
    try:
        table = Table("code", "language", "recognised by", "translated to", "spoken by", "note")
        told: set[tuple[str, str | None, str | None]] = set()
        for language in registry.languages():
            served = base(language.code), language.recognition, language.synthesis
            # A region in which nothing is otherwise than in the language as such is no news.
            if (language.recognition or language.translation_to) and served not in told:
                told.add(served)
                table.add_row(
                    language.code,
                    language.name,
                    language.recognition or "–",
                    ", ".join(dict.fromkeys(base(target.language) for target in language.translation_to)) or "–",
                    language.synthesis or "–",
                    next((target.note for target in language.translation_to if target.note), ""),
                )
        (console if console.is_terminal else Console(width=WIDTH_IN_A_PIPE, file=console.file)).print(table)
        spoken = [language.code for language in registry.languages() if language.synthesis]
        console.print(f"{len(spoken)} languages can be spoken: {', '.join(spoken)}", highlight=False)
    finally:
        await registry.close()


def damaged_models(candidates: Sequence[Path]) -> dict[str, str]:
    """Name → what is wrong, of models that lie there and cannot be used; as far as manifests and sizes tell."""
    found: dict[str, str] = {}
    for folder in candidates:
        try:
            Manifest.read(folder).check_sizes(folder)
        except ManifestError as error:
            found[folder.name.partition("@")[0]] = str(error)
    return found


def outdated_models(found: Sequence[InstalledModel]) -> list[tuple[str, str]]:
    """Names, and words about the version that the catalogue has instead."""
    known = catalogue()
    return [
        (model.name, f"{model.version} is here, {newer.version} is there")
        for model in found
        if (newer := known.model(model.name)) is not None and newer.version != model.version
    ]


def _registry(settings: Settings) -> EngineRegistry:
    return build_registry(
        recognition_processes=1,
        scripted=settings.scripted_engines,
        models_dir=settings.models_folder,
        engines=settings.engines,
    )


def run(console: Console, settings: Settings) -> int:
    """1 where something keeps a server from working here."""
    return asyncio.run(Doctor(console, settings).examine())


class Doctor:
    def __init__(self, console: Console, settings: Settings) -> None:
        self._console = console
        self._settings = settings
        self._problems = 0

    async def examine(self) -> int:
        figures = await self._database() if self._folder() else Figures()
        await self._shelf()
        await self._engines()
        self._models()
        self._compiled()
        self._payments()
        await self._port()
        self._settings_agree(figures)
        return 1 if self._problems else 0

    def _well(self, what: str) -> None:
        self._say("green", "ok", what)

    def _warn(self, what: str) -> None:
        self._say("yellow", "..", what)

    def _wrong(self, what: str) -> None:
        self._problems += 1
        self._say("red", "!!", what)

    def _say(self, colour: str, mark: str, what: str) -> None:
        self._console.print(f"  [{colour}]{mark}[/]  ", end="")
        self._console.print(what, markup=False, highlight=False, soft_wrap=True)

    def _folder(self) -> bool:
        folder = self._settings.data_dir
        trouble = health.try_writing(folder)
        if trouble is not None:
            self._wrong(f"data folder {folder} cannot be written: {trouble}")
            return False
        verdict = health.judge(health.Signs(folder=health.look_at(folder)))
        for words in verdict.warnings:
            self._warn(words)
        for words in verdict.problems:
            self._wrong(words)
        if not verdict.problems:
            self._well(f"data folder {folder}")
        return True

    async def _database(self) -> Figures:
        settings = self._settings
        kind = settings.database.partition(":")[0]
        if settings.database_url is None and not (settings.data_dir / "kallglot.sqlite3").exists():
            self._well(f"database {kind}: made at the first start")
            return Figures()
        try:
            # What it holds that is encrypted is not read.
            store = SqlStore(settings.database, Fernet(Fernet.generate_key()))
        except ValueError as error:
            self._wrong(f"KALLGLOT_DATABASE_URL: {error}")
            return Figures()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                current, known = await versions(store.database)
                return await self._tables(store, kind, current, known)
        except Exception as error:
            self._wrong(in_words(error))
            return Figures()
        finally:
            await store.close()

    async def _tables(self, store: SqlStore, kind: str, current: str | None, known: Sequence[str]) -> Figures:
        if current is not None and current not in known:
            self._wrong(f"the database was brought to {current} by a newer version of Kallglot: install that one")
            return Figures()
        if current != known[-1]:
            state = "empty" if current is None else f"at {current}, not at {known[-1]}"
            self._warn(f"database {kind} is {state}: the next start of the server migrates it")
            return Figures()
        self._well(f"database {kind}")
        figures = await SqlFigures(store.database, SystemClock()).read()
        for words in health.judge(health.Signs(skew_seconds=figures.skew_seconds)).warnings:
            self._warn(words)
        found = await check(store)
        for words in found:
            self._wrong(f"ledger: {words}")
        if not found:
            self._well("the ledgers add up")
        return figures

    async def _shelf(self) -> None:
        try:
            shelf = open_shelf(self._settings.recording_store, self._settings.data_dir / "recordings" / "shelf")
            await shelf.check()
            self._well(f"recordings in {shelf.name}")
        except ShelfError as error:
            self._wrong(str(error))

    def _payments(self) -> None:
        try:
            stripe = stripe_hook(self._settings)
        except PaymentsUnavailable as error:
            self._wrong(str(error))
        else:
            if stripe is not None:
                self._well(f"payments: Stripe, {len(stripe.plans)} prices known")

    async def _engines(self) -> None:
        try:
            registry = _registry(self._settings)
        except ConfigError as error:
            self._wrong(f"KALLGLOT_ENGINES: {error}")
            return
        except (ValueError, OSError) as error:
            self._wrong(f"KALLGLOT_SCRIPTED_ENGINES: {error}")
            return
        if self._settings.scripted_engines is not None:
            self._warn("KALLGLOT_SCRIPTED_ENGINES is set: nothing is really recognised, translated or spoken")
        try:
            await registry.start()
            self._tell_engines(registry)
        finally:
            await registry.close()

    def _tell_engines(self, registry: EngineRegistry) -> None:
        for status in registry.status():
            verdict = health.judge(health.Signs(engines=[engine(status)]))
            for words in verdict.warnings:
                self._wrong(words)
            if not verdict.warnings:
                note = f" — {status.note}" if status.note else ""
                self._well(f"{status.kind}: {status.name}{note}")

    def _models(self) -> None:
        """What was downloaded, whether it is whole, and what else there is."""
        folder = self._settings.models_folder
        found = installed(folder)
        for name, words in damaged_models(folders(folder)).items():
            self._wrong(f"model {name} is not used: {words}: kallglot models pull --force {name}")
        for model in found:
            quality = f" — {model.quality}" if model.quality else ""
            self._well(f"model for {model.kind}: {model.name} {model.version}{quality}")
        for name, words in outdated_models(found):
            self._warn(f"model {name} {words}: kallglot models pull {name}")
        if not found:
            self._warn(f"no models in {folder}: kallglot models list shows what other languages need")

    def _compiled(self) -> None:
        if compiled.is_current():
            self._well("the media path runs as machine code")
        else:
            self._warn("the media path runs as Python; kallglot compile makes machine code of it: more calls on a core")

    async def _port(self) -> None:
        """Taken by a server of ours, which is asked how it is; by somebody else; or free."""
        settings = self._settings
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((settings.host, settings.port))
        except OSError as error:
            await self._at_port(error)
        else:
            self._well(f"port {settings.port} is free: no server is running")

    async def _at_port(self, error: OSError) -> None:
        settings = self._settings
        host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
        url = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}/readyz"
        try:
            async with httpx.AsyncClient(timeout=5) as client:
                said = (await client.get(url)).json()
            problems, warnings = said["problems"], said.get("warnings", [])
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            self._wrong(f"port {settings.port} cannot be listened on: {error.strerror or error}")
            return
        for words in problems:
            self._wrong(f"the server that is running: {words}")
        for words in warnings:
            self._warn(f"the server that is running: {words}")
        if not problems:
            self._well(f"a server is running on port {settings.port}")

    def _settings_agree(self, figures: Figures) -> None:
        settings = self._settings
        missing = traces.missing(settings.otlp_endpoint)
        if missing is not None:
            self._wrong(missing)
        for words in health.contradictions(
            public_url=settings.public_url,
            stream_url=settings.public_stream_url,
            host=settings.host,
            carrier_connections=figures.carrier_connections,
        ):
            self._warn(words)
