"""A real server in a process of its own, to be stopped, killed and started again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import httpx
import psutil
from tests.forks import Forked, fork

KEY = "sk_live_" + "7e57" * 10


class ServerProcess:
    """``kallglot serve`` with its data in a folder. Entering waits until it is ready; leaving checks what is left.

    ``forks``: off a process that has imported everything (:mod:`tests.forks`), instead of by its command line."""

    COMMAND: ClassVar[list[str]] = [sys.executable, "-m", "kallglot.cli"]
    forks: ClassVar[bool] = False

    def __init__(
        self,
        data: Path,
        *,
        api_key: str = KEY,
        scripted: Path | None = None,
        settings: dict[str, str] | None = None,
        forks: bool | None = None,
    ) -> None:
        self._forks = self.forks if forks is None else forks
        self.api_key = api_key
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log_path = data.parent / f"{data.name}.log"
        self._environment = {
            **os.environ,
            "KALLGLOT_HOST": "127.0.0.1",
            "KALLGLOT_PORT": str(self.port),
            "KALLGLOT_DATA_DIR": str(data),
            "KALLGLOT_BOOTSTRAP_API_KEY": api_key,
            # Nobody's telephone rings because of a test.
            "KALLGLOT_TWILIO_API_URL": "http://127.0.0.1:9",
            "KALLGLOT_TELNYX_API_URL": "http://127.0.0.1:9",
            # The machine that tests run on is busy with the others.
            "KALLGLOT_OVERLOAD_LAG_MS": "5000",
            "KALLGLOT_OVERLOAD_BUSY": "1",
            **({"KALLGLOT_SCRIPTED_ENGINES": str(scripted)} if scripted else {}),
            **(settings or {}),
        }
        self._process: subprocess.Popen[bytes] | Forked | None = None

    def __enter__(self) -> ServerProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.terminate()

    @property
    def process(self) -> psutil.Process:
        assert self._process is not None
        return psutil.Process(self._process.pid)

    @property
    def log(self) -> str:
        return self._log_path.read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        self._process = self._begun()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.05)
                raise AssertionError(f"the server ended with {self._process.returncode}:\n{self.log}")
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200:
                    return
        raise AssertionError(f"the server was not ready in time:\n{self.log}")

    def _begun(self) -> subprocess.Popen[bytes] | Forked:
        if self._forks:
            return fork(["serve"], self._environment, self._log_path)
        with self._log_path.open("ab") as log:
            return subprocess.Popen(
                [*self.COMMAND, "serve"], env=self._environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def terminate(self) -> None:
        """SIGTERM; the server has to be gone within ten seconds, and its children with it."""
        assert self._process is not None
        children = self.process.children(recursive=True) if self._process.poll() is None else []
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"the server did not stop within 10 s:\n{self.log}") from None
        finally:
            self._process = None
        _, left = psutil.wait_procs(children, timeout=5)
        assert not left, f"left behind: {left}"

    def kill(self) -> None:
        """kill -9; the children have to notice by themselves."""
        assert self._process is not None
        children = self.process.children(recursive=True)
        self._process.kill()
        self._process.wait()
        self._process = None
        _, left = psutil.wait_procs(children, timeout=15)
        assert not left, f"left behind: {left}"

    def restart(self) -> None:
        """On the same port, with the same data."""
        if self._process is not None:
            self.terminate()
        self.start()

    def rest(self, **options: Any) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {self.api_key}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=60, **options)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
