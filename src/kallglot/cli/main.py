"""The commands themselves; what they do lives in the modules beside this one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from kallglot import logs
from kallglot.accounts.model import PhoneNumber
from kallglot.analysis.profiles import ProfilesError
from kallglot.billing.stripe import PaymentsUnavailable
from kallglot.cli import doctor as diagnosis
from kallglot.cli import keys, models, organizations, webhooks
from kallglot.cli.calls import CallFailed, Reply, Server, place
from kallglot.cli.compilation import compile_command
from kallglot.cli.credits import credits
from kallglot.cli.demo import run_demo
from kallglot.cli.evaluate import evaluate_command
from kallglot.cli.phone import load_speech
from kallglot.cli.shell import console, note, settings, with_store
from kallglot.clock import SystemClock
from kallglot.deployment import Deployment
from kallglot.ids import PHONE_NUMBER, new_id
from kallglot.recording.shelf import ShelfError
from kallglot.serving import serve
from kallglot.traces import TracesUnavailable

app = typer.Typer(no_args_is_help=True, add_completion=False, help="A self-hosted voice session server.")
numbers = typer.Typer(no_args_is_help=True, help="Phone numbers that the default organisation owns.")
app.add_typer(organizations.app, name="orgs")
app.add_typer(keys.app, name="keys")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(numbers, name="numbers")
app.add_typer(models.app, name="models")
app.add_typer(credits, name="credits")

app.command(name="compile")(compile_command)

Language = Annotated[str | None, typer.Option(help="BCP 47; unset = detected")]


@app.command(name="serve")
def serve_command() -> None:
    """Runs the server: migrations, engines, REST and streams on one port."""
    chosen = settings()
    logs.configure(chosen.log_level, chosen.log_format)
    try:
        status = serve(chosen, announce_key=_announce_key)
    except ShelfError as error:
        console.print(f"KALLGLOT_RECORDING_STORE: {error}", style="red", highlight=False)
        raise typer.Exit(2) from None
    except (PaymentsUnavailable, ProfilesError, TracesUnavailable) as error:
        console.print(str(error), style="red", markup=False, highlight=False)
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
            await note(unit, deployment, organization.id, "phone_number.created", made.id, number=number)

    with_store(work)
    console.print(f"{number} is registered.", highlight=False)


app.command(name="eval")(evaluate_command)


@app.command()
def doctor() -> None:
    """Says what works here, what is missing, and how to get it."""
    raise typer.Exit(diagnosis.run(console, settings()))


if __name__ == "__main__":
    app()
