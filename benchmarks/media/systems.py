"""What is measured: each started for a visit, its core chosen, and given legs to take."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.media import kallglot, machine, toolchain
from benchmarks.media.runs import LegLine


class Running(Protocol):
    """A server, while it runs."""

    @property
    def port(self) -> int: ...

    @property
    def pid(self) -> int: ...

    async def lines(self, count: int) -> Sequence[LegLine]:
        """So many legs, ready to be connected."""
        ...

    @property
    def lag_ms(self) -> Callable[[], Awaitable[float]] | None:
        """How late its loop runs, where it tells."""
        ...

    async def proof(self) -> str | None:
        """What shows that it did its work, where that is not in what it sent."""
        ...


@dataclass(frozen=True, slots=True)
class System:
    """``first`` is about where the search begins; ``short``: part of the short form."""

    name: str
    what: str
    start: Callable[[int | None, Path], AbstractAsyncContextManager[Running]]
    first: int
    short: bool = True

    @property
    def package(self) -> str | None:
        """Whose environment it runs in; None: our own."""
        name = self.name.partition("-")[0]
        return None if name == "kallglot" else name


@dataclass(frozen=True, slots=True)
class Peer:
    port: int
    pid: int
    path: str
    proof_url: str | None
    lag_ms: None = None

    async def lines(self, count: int) -> Sequence[LegLine]:
        return [LegLine(self.path)] * count

    async def proof(self) -> str | None:
        if self.proof_url is None:
            return None
        import httpx

        async with httpx.AsyncClient(timeout=30) as client:
            return (await client.get(f"http://127.0.0.1:{self.port}{self.proof_url}")).text


def peer(
    package: str, *arguments: str, path: str = "/stream", proof: str | None = None
) -> Callable[[int | None, Path], AbstractAsyncContextManager[Running]]:
    @asynccontextmanager
    async def start(core: int | None, folder: Path) -> AsyncGenerator[Running]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        python = await asyncio.to_thread(toolchain.peer_python, package)
        script = toolchain.PEERS / f"{package}_echo.py"
        with (folder / f"{package}.log").open("wb") as log, machine.on_core(core):
            process = await asyncio.create_subprocess_exec(
                python, script, "--port", str(port), *arguments, stdout=log, stderr=log
            )
        try:
            await _listens(port, process)
            yield Peer(port, process.pid, path, proof)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 5)
            except TimeoutError:
                process.kill()
                await process.wait()

    return start


async def _listens(port: int, process: asyncio.subprocess.Process) -> None:
    for _ in range(1200):
        if process.returncode is not None:
            break
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
            continue
        writer.close()
        return
    raise RuntimeError("a peer did not start; its log is in the folder of the run")


SPEECH = "/speech"
SYSTEMS = (
    System("kallglot", "a session, two sides of one language, Twilio", kallglot.started(), 560),
    System("kallglot-native", "the same, native binary frames", kallglot.started("native"), 560, short=False),
    System(
        "kallglot-silero",
        "the same as kallglot, its voice activity (Silero) on",
        kallglot.started(activity=True),
        220,
    ),
    System("pipecat", "tuned: lean, 8 kHz, not paced", peer("pipecat"), 70),
    System("pipecat-silero", "tuned, with Silero", peer("pipecat", "--silero", proof=SPEECH), 20),
    System(
        "pipecat-documented",
        "as its documentation sets it up, but not paced",
        peer("pipecat", "--documented", "--unpaced"),
        40,
    ),
    System(
        "pipecat-documented-silero",
        "the same, with Silero",
        peer("pipecat", "--documented", "--unpaced", "--silero", proof=SPEECH),
        15,
        short=False,
    ),
    System(
        "pipecat-documented-paced",
        "as its documentation sets it up; what it is behind by at the start it stays",
        peer("pipecat", "--documented"),
        40,
        short=False,
    ),
    System("fastrtc", "asynchronous handler, Twilio mode", peer("fastrtc", path="/telephone/handler"), 130),
    System("picows-bare", "echo without work", peer("picows", "--bare"), 1400, short=False),
    System("picows", "echo with the codec work", peer("picows"), 900),
    System("aiohttp-bare", "echo without work", peer("aiohttp", "--bare"), 700, short=False),
    System("aiohttp", "echo with the codec work", peer("aiohttp"), 600, short=False),
    System("websockets-bare", "echo without work", peer("websockets", "--bare"), 450, short=False),
    System("websockets", "echo with the codec work", peer("websockets"), 350, short=False),
)
