"""``kallglot models``: what there is to download, what is installed, getting it, taking it away, checking it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from kallglot import VERSION
from kallglot.cli import doctor as diagnosis
from kallglot.cli.progress import reporter
from kallglot.cli.shell import console, refuse, say, settings, show
from kallglot.models.catalogue import Catalogue, CatalogueModel, Pack, catalogue
from kallglot.models.errors import ModelsError
from kallglot.models.installed import folders, newest
from kallglot.models.manifest import Manifest
from kallglot.models.plan import in_bytes, resolve, unknown
from kallglot.models.pull import Wishes, pull
from kallglot.models.store import Store
from kallglot.models.transfer import Manners
from kallglot.models.verify import Examined, verify

app = typer.Typer(no_args_is_help=True, help="Models for recognition, translation and speech: download, check, remove.")

_KINDS = {"recognition": 0, "translation": 1, "synthesis": 2, "detection": 3}

Names = Annotated[list[str], typer.Argument(help="Models, or packs: de, es, fr …")]


@app.command("list")
def list_models(
    language: Annotated[str | None, typer.Argument(help="BCP 47; everything when left out.")] = None,
    installed: Annotated[bool, typer.Option("--installed", help="Only what is here.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Shows the models and packs that there are, and which of them are installed."""
    known, folder = catalogue(), settings().models_folder
    here = {manifest.name: manifest for _, manifest in newest(folder)}
    broken = _broken(folder, here)
    rows = [
        _Row(name, known.model(name), here.get(name), broken.get(name))
        for name in dict.fromkeys([*known.models, *here, *broken])
    ]
    rows = [row for row in rows if (language is None or row.serves(language)) and (row.here or not installed)]
    rows.sort(key=lambda row: (_KINDS.get(row.kind, 9), row.rank, row.name))
    packs = [] if installed else [pack for pack in known.packs.values() if _concerns(pack, language)]
    if as_json:
        typer.echo(json.dumps(_as_json(folder, rows, packs, known), ensure_ascii=False, indent=1))
        return
    if not rows:
        say("No model is installed." if installed else f"No model serves {language}.")
        return
    show(_table(rows))
    if packs:
        table = Table("pack", "for", "download", "models", title="kallglot models pull PACK")
        for pack in packs:
            table.add_row(pack.name, pack.title, in_bytes(_download(pack, known)), ", ".join(pack.models))
        show(table)


@app.command("languages")
def languages() -> None:
    """What each language can do with the engines on this machine."""
    diagnosis.show_languages(console, settings())


@app.command("pull")
def pull_models(
    names: Names,
    source: Annotated[
        Path | None, typer.Option("--from", exists=True, help="A folder or an archive instead of the network.")
    ] = None,
    force: Annotated[bool, typer.Option(help="Fetches again what is installed.")] = False,
    accept_changed: Annotated[
        bool, typer.Option(help="Takes a file that is another one than at the first download.")
    ] = False,
    connections: Annotated[int, typer.Option(min=1, max=16, help="At once.")] = 4,
) -> None:
    """Downloads and installs models. What is cut off goes on where it was when the command is given again."""
    chosen, models = settings(), _resolved(names)
    wishes = Wishes(
        force=force,
        accept_changed=accept_changed,
        source=source,
        mirror=chosen.models_mirror,
        manners=Manners(connections=connections),
    )
    try:
        with reporter(console) as report:
            made = asyncio.run(pull(models, Store(chosen.models_folder), report, wishes, version=VERSION))
    except ModelsError as error:
        refuse(str(error))
    except KeyboardInterrupt:
        say("Stopped. The same command goes on from here.")
        raise typer.Exit(130) from None
    for model in made.present:
        say(f"{model.name} {model.version} is installed.")
    if made.fetch:
        say(f"The models are in {chosen.models_folder}. A server that is running uses them after a restart.")
    for credit in dict.fromkeys(f"{model.credit} ({model.licence})" for model in models if model.credit):
        say(f"To be credited: {credit}")


@app.command("remove")
def remove_models(
    names: Names,
    force: Annotated[bool, typer.Option(help="With what somebody else has put into its folder.")] = False,
) -> None:
    """Deletes installed models. A pack's models go one and all, also those that another pack has."""
    store, known = Store(settings().models_folder), catalogue()

    async def work() -> None:
        async with store.changing(say):
            wanted = _named(names, known, store)
            found = [folder for name in wanted for folder in store.found(name)]
            for folder in [] if force else found:
                if foreign := store.foreign(folder):
                    more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
                    refuse(f"{folder} has {foreign[0]}{more}, which is not the model's. With --force it goes too.")
            for folder in found:
                try:
                    store.remove(folder)
                except OSError as error:
                    refuse(f"{folder} cannot be removed: {error.strerror or error}")
                say(f"{folder.name} is removed.")
            asked = [model for model in map(known.model, wanted) if model is not None]
            # Each is forgotten, whatever became of the one before.
            begun = [store.forget(remote.url) for model in asked for remote in model.remotes]
            if any(begun):
                say("What was downloaded of it, and not installed, is deleted.")
            elif not found:
                refuse(f"None of it is installed: {', '.join(wanted)}.")

    try:
        asyncio.run(work())
    except ModelsError as error:
        refuse(str(error))


@app.command("verify")
def verify_models(
    names: Annotated[list[str] | None, typer.Argument(help="Models, or packs; all when left out.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Reads every byte of what is installed. Status 1 where something is not as it was installed, or missing."""
    store, known = Store(settings().models_folder), catalogue()
    try:
        wanted = None if not names else set(_named(names, known, store))
    except ModelsError as error:
        refuse(str(error), 2)
    found: list[Examined] = []
    for one in verify(store.folder, known, wanted):
        found.append(one)
        if not as_json:
            _say_examined(one)
    absent = sorted((wanted or set()) - {one.name for one in found})
    if as_json:
        told = [{"name": one.name, "version": one.version, "problems": one.problems} for one in found]
        told += [{"name": name, "version": None, "problems": ["it is not installed"]} for name in absent]
        typer.echo(json.dumps({"models_dir": str(store.folder), "models": told}, ensure_ascii=False, indent=1))
    else:
        for name in absent:
            say(f"  !!  {name} is not installed")
        if not found and not absent:
            say("No model is installed.")
    raise typer.Exit(1 if absent or any(one.problems for one in found) else 0)


def _say_examined(one: Examined) -> None:
    if not one.problems:
        trust = f"; {len(one.on_trust)} of its downloads had no checksum that was known" if one.on_trust else ""
        say(f"  ok  {one.name} {one.version}, {in_bytes(one.size)}{trust}")
    for problem in one.problems:
        say(f"  !!  {one.name}: {problem}")
    if one.problems:
        say(f"      kallglot models pull --force {one.name} installs it anew")


class _Row:
    """A model of the catalogue, of this machine, or of both."""

    def __init__(self, name: str, known: CatalogueModel | None, here: Manifest | None, broken: str | None) -> None:
        self.name, self.known, self.manifest, self.broken = name, known, here, broken
        self.here = here is not None or broken is not None
        one = known or here
        self.kind = one.kind if one else "?"
        self.family = one.family if one else "?"
        self.licence = one.licence if one else "?"
        self.quality = one.quality if one else None
        self.rank = one.rank if one else 999
        self.languages = one.languages if one else ()
        self.pairs = one.pairs if one else ()

    def serves(self, language: str) -> bool:
        base = language.split("-")[0].lower()
        codes = [*self.languages, *(code for pair in self.pairs for code in pair)]
        return any(code.split("-")[0].lower() == base for code in codes)

    @property
    def state(self) -> str:
        if self.broken is not None:
            return f"damaged: {self.broken}"
        if self.manifest is None:
            return ""
        if self.known is not None and self.known.version != self.manifest.version:
            return f"installed ({self.manifest.version}; there is {self.known.version})"
        return "installed"

    @property
    def size(self) -> int:
        if self.manifest is not None:
            return self.manifest.size
        return self.known.download if self.known else 0

    @property
    def spoken_of(self) -> str:
        if len(self.pairs) > 4:
            return f"any of {len({code for pair in self.pairs for code in pair})}"
        if self.pairs:
            return " ".join(f"{source}>{target}" for source, target in self.pairs)
        return " ".join(self.languages) if len(self.languages) <= 8 else f"{len(self.languages)} languages"


def _table(rows: list[_Row]) -> Table:
    table = Table("model", "for", "languages", "size", "licence", "state", "quality")
    table.columns[0].no_wrap = True
    for row in rows:
        table.add_row(row.name, row.kind, row.spoken_of, in_bytes(row.size), row.licence, row.state, row.quality or "")
    return table


def _as_json(folder: Path, rows: list[_Row], packs: list[Pack], known: Catalogue) -> dict[str, Any]:
    return {
        "models_dir": str(folder),
        "models": [
            {
                "name": row.name,
                "kind": row.kind,
                "family": row.family,
                "languages": row.languages,
                "pairs": row.pairs,
                "licence": row.licence,
                "credit": row.known.credit if row.known else None,
                "quality": row.quality,
                "page": row.known.page if row.known else None,
                "version": row.known.version if row.known else None,
                "download_bytes": row.known.download if row.known else None,
                "installed_bytes": row.manifest.size if row.manifest else None,
                "installed_version": row.manifest.version if row.manifest else None,
                "problem": row.broken,
                "packs": known.packs_with(row.name),
            }
            for row in rows
        ],
        "packs": [
            {"name": pack.name, "title": pack.title, "models": pack.models, "download_bytes": _download(pack, known)}
            for pack in packs
        ],
    }


def _broken(folder: Path, here: dict[str, Manifest]) -> dict[str, str]:
    """Name → what is wrong, of models that lie there and cannot be used."""
    found = diagnosis.damaged_models(folders(folder))
    return {name: words for name, words in found.items() if name not in here}


def _concerns(pack: Pack, language: str | None) -> bool:
    return language is None or pack.name == language.split("-")[0].lower()


def _download(pack: Pack, known: Catalogue) -> int:
    return sum(known.models[name].download for name in pack.models)


def _resolved(names: list[str]) -> list[CatalogueModel]:
    try:
        return resolve(catalogue(), names)
    except ModelsError as error:
        refuse(str(error), 2)


def _named(names: list[str], known: Catalogue, store: Store) -> list[str]:
    """Names of models, of packs and of what is installed without being in the catalogue any more."""
    wanted: dict[str, None] = {}
    for name in names:
        if store.found(name):
            wanted[name] = None
        else:
            try:
                wanted.update((model.name, None) for model in resolve(known, [name]))
            except ModelsError:
                here = [folder.name.partition("@")[0] for folder in folders(store.folder)]
                raise ModelsError(unknown(name, [*known.packs, *known.models, *here])) from None
    return list(wanted)
