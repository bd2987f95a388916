"""``make demo``: a server of its own, a real recording, and what a person can see, read and hear of it."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import socket
import sys
from pathlib import Path
from typing import Final

import httpx
import numpy as np
from rich.console import Console

from kallglot.accounts.keys import new_secret
from kallglot.cli.calls import CallFailed, CallOutcome, Reply, Server, place
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
    out.mkdir(parents=True, exist_ok=True)
    secret = new_secret(True)
    port = _free_port()
    console.rule("Kallglot: a call, transcribed and translated")
    console.print("  starting a server of its own …", style="dim")
    log = (out / "server.log").open("wb")
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "kallglot.cli",
        "serve",
        env={
            **os.environ,
            "KALLGLOT_HOST": "127.0.0.1",
            "KALLGLOT_PORT": str(port),
            "KALLGLOT_DATA_DIR": str(out / "data"),
            "KALLGLOT_BOOTSTRAP_API_KEY": secret,
        },
        stdout=log,
        stderr=log,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        if not await _ready(url, server):
            console.print(f"  the server did not start; see {out / 'server.log'}", style="red")
            return 1
        console.print(
            "  an English caller speaks; the agent's side is Spanish. Real time, 8 kHz mu-law:\n", style="dim"
        )
        outcome = await place(
            Server(url, secret), demo_speech(), source="en", target="es", console=console, out=out, reply=REPLY
        )
    except (CallFailed, FileNotFoundError) as error:
        console.print(f"  {error}", style="red", highlight=False)
        return 1
    finally:
        with contextlib.suppress(ProcessLookupError):
            server.terminate()
        await server.wait()
        log.close()
    return _summary(console, outcome, out)


def _summary(console: Console, outcome: CallOutcome, out: Path) -> int:
    turns = outcome.transcript["turns"]
    console.rule("what is left of it")
    usage = outcome.session["usage"]
    console.print(
        f"  {len(turns)} turns in the transcript, {outcome.session['duration_seconds']:.1f} s, "
        f"{usage['translation_seconds']:.1f} s of speech translated",
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
        "  call-stereo.wav has the caller left and the translation right, as they fell in time.",
        style="dim",
    )
    return 0


async def _ready(url: str, server: asyncio.subprocess.Process) -> bool:
    async with httpx.AsyncClient(timeout=2) as client:
        for _ in range(300):
            if server.returncode is not None:
                return False
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get(f"{url}/readyz")).status_code == 200:
                    return True
            await asyncio.sleep(0.1)
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
