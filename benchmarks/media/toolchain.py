"""What a measurement needs that is not in the repository: made on first use, into ``.cache``."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np

from kallglot.audio.g711 import pcm_to_mulaw
from kallglot.cli.demo import demo_speech
from kallglot.cli.phone import RATE

HERE: Final = Path(__file__).parent
CACHE: Final = HERE / ".cache"
PEERS: Final = HERE / "peers"
LEVEL: Final = 0.1
"""RMS of full scale: speech at -20 dBFS, as telephones bring it."""


class Unavailable(Exception):
    """Something that a measurement needs cannot be had here; says why."""


def generator(*, install: bool = True) -> Path:
    """The load generator, compiled where its sources are newer. Raises :class:`Unavailable`."""
    missing = {"gcc": "gcc libc6-dev", "make": "make"}
    packages = [package for program, package in missing.items() if shutil.which(program) is None]
    if packages and install:
        _apt_install(" ".join(packages).split())
    if packages and not all(map(shutil.which, missing)):
        raise Unavailable(f"compiling the load generator takes {' and '.join(packages)}")
    with _one_at_a_time():
        made = subprocess.run(["make", "-s", "-C", str(HERE / "generator"), "CC=gcc"], capture_output=True, text=True)
    if made.returncode:
        raise Unavailable(f"the load generator cannot be compiled:\n{made.stderr}")
    return CACHE / "load"


@contextmanager
def _one_at_a_time() -> Generator[None]:
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _apt_install(packages: list[str]) -> None:
    if shutil.which("apt-get") is None:
        return
    root = [] if os.geteuid() == 0 else ["sudo"]
    if root and shutil.which("sudo") is None:
        return
    apt = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    install = [*apt, "install", "-y", "-q", "--no-install-recommends", *packages]
    if subprocess.run(install, stdin=subprocess.DEVNULL, stdout=sys.stderr).returncode:
        subprocess.run([*apt, "update", "-q"], stdin=subprocess.DEVNULL, stdout=sys.stderr)
        subprocess.run(install, stdin=subprocess.DEVNULL, stdout=sys.stderr)


def peer_python(name: str) -> Path:
    """The Python of a peer's own environment, made where its requirements have changed. Raises
    :class:`Unavailable`."""
    wanted = PEERS / f"{name}.txt"
    folder = CACHE / "peers" / name
    python, stamp = folder / "bin" / "python", folder / ".made"
    now = hashlib.sha256(wanted.read_bytes() + sys.version.encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == now:
        return python
    uv = Path(sys.executable).with_name("uv")
    for command in (
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder],
        [uv, "pip", "install", "--quiet", "--python", python, "-r", wanted],
    ):
        made = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=_certificates())
        if made.returncode:
            raise Unavailable(f"the environment of {name} cannot be made:\n{made.stderr}")
    stamp.write_text(now)
    return python


def _certificates() -> dict[str, str]:
    """The machine's own, which a company network may have added to."""
    return {"UV_SYSTEM_CERTS": "true", "UV_PYTHON_DOWNLOADS": "never", **os.environ}


def speech() -> Path:
    """A person reading aloud, as 8 kHz mu-law without a header."""
    path = CACHE / "speech.ulaw"
    if not path.exists():
        assert RATE == 8000
        samples = np.asarray(demo_speech(), dtype=np.float64)
        samples *= LEVEL * 32768 / float(np.sqrt(np.mean(samples**2)))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(pcm_to_mulaw(samples.clip(-32768, 32767).astype("<i2").tobytes()))
    return path


def versions() -> list[str]:
    """Of the peers, as their requirements pin them."""
    found = [f"{name} {importlib.metadata.version(name)}" for name in ("kallglot", "picows", "uvloop")]
    for name in ("pipecat-ai", "fastrtc", "picows", "aiohttp", "websockets"):
        lines = (PEERS / f"{name.removesuffix('-ai')}.txt").read_text().splitlines()
        pinned = next(line.split(";")[0].strip() for line in lines if line.startswith(f"{name}=="))
        found.append(f"{pinned.replace('==', ' ')} (peer)")
    return found
