"""``make demo``: a server of its own, a real recording, and what a person can see, read and hear of it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console

from kallglot.cli.calls import CallFailed, CallOutcome, Reply, place
from kallglot.cli.local import local_server
from kallglot.cli.phone import RATE, Samples, load_speech

REPLY: Final = Reply("agent", "Muchas gracias por su llamada. ¿En qué puedo ayudarle hoy?")
SPEECH_SECONDS: Final = 24.0


def demo_speech() -> Samples:
    """A person reading aloud: the sample recording that comes with the recognition model's package.

    Raises ``FileNotFoundError``.
    """
    spec = importlib.util.find_spec("moonshine_voice")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("moonshine-voice is not installed: make setup")
    path = Path(next(iter(spec.submodule_search_locations))) / "assets" / "two_cities.wav"
    return load_speech(path)[: int(SPEECH_SECONDS * RATE)]


async def run_demo(console: Console, out: Path) -> int:
    console.rule("Kallglot: a call, transcribed and translated")
    console.print("  starting a server of its own …", style="dim")
    try:
        async with local_server(out) as server:
            console.print("  an English caller; the agent's side is Spanish; real time, 8 kHz mu-law:\n", style="dim")
            outcome = await place(
                server, demo_speech(), source="en", target="es", console=console, out=out, reply=REPLY
            )
    except (CallFailed, FileNotFoundError) as error:
        console.print(f"  {error}", style="red", highlight=False)
        return 1
    return _summary(console, outcome)


def _summary(console: Console, outcome: CallOutcome) -> int:
    turns = outcome.transcript["turns"]
    console.rule("what is left of it")
    usage = outcome.session["usage"]
    console.print(
        f"  {len(turns)} turns in the transcript, {outcome.session['duration_seconds']:.1f} s, "
        f"{usage['translation_seconds']:.1f} s of speech translated",
        highlight=False,
    )
    first = outcome.lags.get("first_audio")
    if first is not None:
        console.print(
            f"  translations were heard {first['median']:.1f} s after the words, at most {first['max']:.1f} s",
            highlight=False,
        )
    for path in outcome.files:
        console.print(f"  {path}", style="bold", highlight=False)
    heard = outcome.record.heard
    silent = [who for who in ("agent", "customer") if who not in heard or not np.any(heard[who].together())]
    if not turns or silent:
        console.print(f"  nothing was heard by {' and '.join(silent) or 'anybody'}", style="red")
        return 1
    console.print(
        "\n  heard-by-agent.wav is the caller in Spanish; heard-by-customer.wav the agent's typed answer in English;\n"
        "  recording-said.mp3 is the server's recording of what was said, recording-heard.mp3 of what was heard:\n"
        "  the customer's side left, the agent's right, as they fell in time.",
        style="dim",
    )
    return 0
