"""What every test may ask for, and what the marked ones need of the machine."""

from __future__ import annotations

import functools
import os
import shutil
import socket
from pathlib import Path

import pytest
from tests.serverprocess import ServerProcess

from kallglot import compiled

# The sources are what is tested, unless their machine code is asked for.
if os.environ.setdefault("KALLGLOT_COMPILED", "off") == "on" and not compiled.use():
    raise pytest.UsageError("there is no machine code of these sources: kallglot compile")

# Its import takes most of a server's start; tests/acceptance/test_crash.py starts it as a user does.
ServerProcess.forks = True

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def testdata() -> Path:
    """Recordings and texts, which are too large to be kept here: a folder beside the repository."""
    folder = Path(os.environ.get("KALLGLOT_TESTDATA", ROOT.parent / "shared" / "testdata"))
    if not folder.is_dir():
        pytest.skip(f"there are no recordings at {folder}; KALLGLOT_TESTDATA says where they are")
    return folder


@pytest.fixture
def free_port() -> int:
    """A port on which nothing listened a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test whose programs are missing is skipped where somebody works, and fails where it decides."""
    missing = next((need for marker, need in _missing().items() if item.get_closest_marker(marker)), None)
    if missing is None:
        return
    if os.environ.get("CI"):
        pytest.fail(f"{missing}: make test installs it", pytrace=False)
    pytest.skip(f"{missing}: make test installs it")


@functools.cache
def _missing() -> dict[str, str]:
    found: dict[str, str] = {}
    absent = [name for name in ("espeak-ng", "lt-proc") if shutil.which(name) is None]
    if absent:
        found["speech"] = f"{' and '.join(absent)} not installed"
    if not any(Path("/usr/lib/postgresql").glob("*/bin/initdb")) and shutil.which("initdb") is None:
        found["postgres"] = "PostgreSQL's programs are not installed"
    return found
