"""Processes of ``kallglot`` that need not import it: they are forked off one that has. Importing takes most of a start.

``python -m tests.forks FD`` is that one; it lives as long as somebody holds the other end of the socket.
"""

from __future__ import annotations

import atexit
import functools
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class Forked:
    """As much of :class:`subprocess.Popen` as tests need."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._over = threading.Event()

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Raises :class:`subprocess.TimeoutExpired`."""
        if not self._over.wait(timeout):
            raise subprocess.TimeoutExpired("kallglot", timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def ended(self, status: int) -> None:
        self.returncode = status
        self._over.set()


class _Stem:
    """The process that has imported everything, as seen from here."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        # It goes on by itself: tests look at the children of their process.
        subprocess.run(
            [sys.executable, "-m", "tests.forks", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            cwd=Path(__file__).parents[1],
            # The command line's console looks only once how wide it is.
            env={**os.environ, "COLUMNS": "300"},
            stdin=subprocess.DEVNULL,
            check=True,
        )
        theirs.close()
        self._socket = ours
        self._lines = ours.makefile("r", encoding="utf-8")
        self._lock = threading.Lock()
        self._born = threading.Condition()
        self._newest: Forked | None = None
        self._forked: dict[int, Forked] = {}
        threading.Thread(target=self._listen, daemon=True, name="forks").start()
        atexit.register(self.close)

    def fork(self, words: Sequence[str], environment: Mapping[str, str], folder: Path, out: Path, err: Path) -> Forked:
        order = {
            "words": list(words),
            "environment": dict(environment),
            "folder": str(folder),
            "out": str(out),
            "err": str(err),
        }
        with self._lock, self._born:
            self._newest = None
            self._socket.sendall((json.dumps(order) + "\n").encode())
            while self._newest is None:
                if not self._born.wait(60):
                    raise AssertionError("nothing was forked")
            return self._newest

    def close(self) -> None:
        """It ends when there is nobody left to fork for."""
        self._socket.shutdown(socket.SHUT_RDWR)

    def _listen(self) -> None:
        for line in self._lines:
            told: dict[str, Any] = json.loads(line)
            if "status" in told:
                self._forked.pop(told["pid"]).ended(told["status"])
                continue
            with self._born:
                self._newest = self._forked[told["pid"]] = Forked(told["pid"])
                self._born.notify_all()


@functools.cache
def _stem() -> _Stem:
    return _Stem()


def fork(words: Sequence[str], environment: Mapping[str, str], out: Path, err: Path | None = None) -> Forked:
    """``kallglot WORDS`` with nothing but this environment, what it prints added to the files."""
    return _stem().fork(words, environment, Path.cwd(), out, err or out)


def run(
    words: Sequence[str], environment: Mapping[str, str], folder: Path | None = None, *, timeout_s: float = 120
) -> subprocess.CompletedProcess[str]:
    """``kallglot WORDS`` in a folder, with nothing but this environment, until it ends."""
    with tempfile.TemporaryDirectory() as said:
        out, err = Path(said) / "out", Path(said) / "err"
        forked = _stem().fork(words, environment, folder or Path.cwd(), out, err)
        try:
            status = forked.wait(timeout_s)
        except subprocess.TimeoutExpired:
            forked.kill()
            raise
        return subprocess.CompletedProcess(["kallglot", *words], status, out.read_text(), err.read_text())


def main() -> None:
    if os.fork():
        os._exit(0)
    from kallglot import compiled

    compiled.use()

    from kallglot import app as _app  # noqa: F401
    from kallglot import cli as _cli  # noqa: F401

    gc.freeze()
    orders = socket.socket(fileno=int(sys.argv[1]))
    orders.set_inheritable(False)
    waiting = b""
    children: set[int] = set()
    while True:
        readable, _, _ = select.select([orders], [], [], 0.02 if children else None)
        if readable:
            got = orders.recv(1 << 20)
            if not got:
                return
            *whole, waiting = (waiting + got).split(b"\n")
            for line in whole:
                pid = os.fork()
                if pid == 0:
                    orders.close()
                    _become(json.loads(line))
                children.add(pid)
                orders.sendall(json.dumps({"pid": pid}).encode() + b"\n")
        for child in list(children):
            found, status = os.waitpid(child, os.WNOHANG)
            if found:
                children.discard(child)
                told = {"pid": child, "status": os.waitstatus_to_exitcode(status)}
                orders.sendall(json.dumps(told).encode() + b"\n")


def _become(order: dict[str, Any]) -> None:
    for name, fd in (("out", 1), ("err", 2)):
        file = os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(file, fd)
        os.close(file)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    time.tzset()
    sys.argv = ["kallglot", *order["words"]]
    status = 1
    try:
        from kallglot.cli import app

        app()
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
    except BaseException:
        import traceback

        traceback.print_exc()
    raise SystemExit(status)


if __name__ == "__main__":
    main()
