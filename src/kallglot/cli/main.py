"""The commands themselves; what they do lives in the modules beside this one."""

from __future__ import annotations

import asyncio
import logging
import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from kallglot.accounts.keys import hash_secret, new_secret
from kallglot.accounts.model import SCOPES, ApiKey, PhoneNumber
from kallglot.app import Deployment, open_store, serve
from kallglot.cli import doctor as diagnosis
from kallglot.cli.calls import CallFailed, Reply, Server, place
from kallglot.cli.demo import run_demo
from kallglot.cli.phone import load_speech
from kallglot.clock import SystemClock, iso
from kallglot.ids import API_KEY, PHONE_NUMBER, new_id
from kallglot.recording.shelf import ShelfError
from kallglot.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help="A self-hosted voice session server.")
keys = typer.Typer(no_args_is_help=True, help="API keys of the default organisation, for the operator.")
numbers = typer.Typer(no_args_is_help=True, help="Phone numbers that the default organisation owns.")
models = typer.Typer(no_args_is_help=True, help="What can be recognised, translated and spoken here.")
app.add_typer(keys, name="keys")
app.add_typer(numbers, name="numbers")
app.add_typer(models, name="models")

console = Console()
Language = Annotated[str | None, typer.Option(help="BCP 47; unset = detected")]


def settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        for problem in error.errors():
            field = ".".join(str(part) for part in problem["loc"]).upper()
            console.print(f"KALLGLOT_{field}: {problem['msg']}", style="red", highlight=False)
        raise typer.Exit(2) from None


@app.command(name="serve")
def serve_command() -> None:
    """Runs the server: migrations, engines, REST and streams on one port."""
    chosen = settings()
    logging.basicConfig(
        level=chosen.log_level.upper(), format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", force=True
    )
    logging.getLogger("picows").setLevel(logging.WARNING)
    try:
        status = serve(chosen, announce_key=_announce_key)
    except ShelfError as error:
        console.print(f"KALLGLOT_RECORDING_STORE: {error}", style="red", highlight=False)
        raise typer.Exit(2) from None
    raise typer.Exit(status)


def _announce_key(secret: str) -> None:
    console.print("\nThis is the first start. The API key of the default organisation, shown only now:\n")
    console.print(f"    {secret}\n", style="bold green", highlight=False)


@app.command()
def call(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Any sound file: WAV, FLAC, OGG, MP3.")],
    source: Annotated[str | None, typer.Option("--from", help="The customer's language; unset = detected.")] = None,
    target: Annotated[str | None, typer.Option("--to", help="The agent's language; unset = detected.")] = None,
    fast: Annotated[bool, typer.Option(help="As fast as the engines can instead of real time.")] = False,
    url: Annotated[
        str | None, typer.Option(envvar="KALLGLOT_URL", help="The server; this machine's when unset.")
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option(envvar=["KALLGLOT_API_KEY", "KALLGLOT_BOOTSTRAP_API_KEY"], help="sk_live_… or sk_test_…"),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the audio and the subtitles.")] = Path("call-output"),
    reply: Annotated[str | None, typer.Option(help="What the agent types when the recording is over.")] = None,
) -> None:
    """Streams a recording through a session as a phone would, and shows the call live."""
    if api_key is None:
        console.print("An API key is needed: --api-key, or KALLGLOT_API_KEY.", style="red")
        raise typer.Exit(2)
    try:
        speech = load_speech(file)
        outcome = asyncio.run(
            place(
                Server(url or settings().base_url, api_key),
                speech,
                source=source,
                target=target,
                console=console,
                out=out,
                fast=fast,
                reply=Reply("agent", reply) if reply else None,
            )
        )
    except (CallFailed, ValueError) as error:
        console.print(str(error), style="red", highlight=False)
        raise typer.Exit(1) from None
    for path in outcome.files:
        console.print(f"  wrote {path}", highlight=False)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for what can be heard and read afterwards.")] = Path("demo-output"),
) -> None:
    """The main job on real speech: a server, a call, its translation, its transcript."""
    raise typer.Exit(asyncio.run(run_demo(console, out)))


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Option(help="What the key is for.")] = "operator",
    test: Annotated[bool, typer.Option(help="A test key: sees test objects only, spends no credits.")] = False,
    scope: Annotated[list[str] | None, typer.Option(help="One of the scopes; all when none is given.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Expires after so many days.")] = None,
) -> None:
    """Makes a key for the default organisation and prints it once."""
    unknown = [given for given in scope or [] if given not in SCOPES]
    if unknown:
        console.print(f"Unknown scope {unknown[0]}; one of {', '.join(SCOPES)}.", style="red", highlight=False)
        raise typer.Exit(2)
    secret = new_secret(not test)
    now = SystemClock().now()

    async def work(deployment: Deployment) -> None:
        async with deployment.store.write() as unit:
            organization = (await unit.organizations.list())[0]
            await unit.api_keys.add(
                ApiKey(
                    id=new_id(API_KEY),
                    organization_id=organization.id,
                    name=name,
                    livemode=not test,
                    scopes=tuple(scope or SCOPES),
                    secret_hash=hash_secret(secret),
                    hint=secret[-4:],
                    created_at=now,
                    expires_at=now + timedelta(days=days) if days else None,
                )
            )

    _with_store(work)
    console.print(secret, highlight=False)


@keys.command("list")
def list_keys() -> None:
    """Shows the keys of the default organisation."""
    from kallglot.api.ports import Page

    async def work(deployment: Deployment) -> None:
        async with deployment.store.read() as unit:
            organization = (await unit.organizations.list())[0]
            found, _ = await unit.api_keys.list(organization.id, Page(limit=100))
        table = Table("id", "name", "mode", "ends in", "last used", "state")
        now = SystemClock().now()
        for key in found:
            expired = key.expires_at is not None and key.expires_at <= now
            state = "revoked" if key.revoked_at else "expired" if expired else "valid"
            used = iso(key.last_used_at) if key.last_used_at else "never"
            table.add_row(key.id, key.name, "live" if key.livemode else "test", f"…{key.hint}", used, state)
        console.print(table)

    _with_store(work)


@keys.command("revoke")
def revoke_key(key_id: Annotated[str, typer.Argument(help="key_…")]) -> None:
    """Revokes a key at once."""

    async def work(deployment: Deployment) -> None:
        async with deployment.store.write() as unit:
            if await unit.api_keys.get(key_id) is None:
                console.print(f"There is no key {key_id}.", style="red", highlight=False)
                raise typer.Exit(1)
            await unit.api_keys.revoke(key_id, SystemClock().now())

    _with_store(work)
    console.print(f"{key_id} is revoked.", highlight=False)


@numbers.command("add")
def add_number(
    number: Annotated[str, typer.Argument(help="E.164: +14155551234")],
    carrier: Annotated[str, typer.Option(help="twilio or telnyx")] = "twilio",
) -> None:
    """Registers a number, so that routing.phone_number accepts it."""
    if carrier not in ("twilio", "telnyx"):
        console.print(f"carrier must be twilio or telnyx, got {carrier}.", style="red", highlight=False)
        raise typer.Exit(2)

    async def work(deployment: Deployment) -> None:
        async with deployment.store.write() as unit:
            organization = (await unit.organizations.list())[0]
            if await unit.phone_numbers.owned(organization.id, number) is not None:
                return
            made = PhoneNumber(new_id(PHONE_NUMBER), organization.id, number, carrier, True, SystemClock().now())
            if not await unit.phone_numbers.add(made):
                console.print(f"{number} is inactive, or another organisation's.", style="red", highlight=False)
                raise typer.Exit(1)

    _with_store(work)
    console.print(f"{number} is registered.", highlight=False)


@models.command("list")
def list_models() -> None:
    """What each language can do with the engines on this machine."""
    diagnosis.show_languages(console, settings())


@app.command()
def doctor() -> None:
    """Says what works here, what is missing, and how to get it."""
    raise typer.Exit(diagnosis.run(console, settings()))


def _with_store(work: diagnosis.Work) -> None:
    async def run() -> None:
        async with open_store(settings()) as deployment:
            await work(deployment)

    os.umask(0o077)
    asyncio.run(run())


if __name__ == "__main__":
    app()
