"""A PostgreSQL server of the tests' own, from Debian's binaries, gone when they end."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import psutil
import pytest
from tests.databases import migrate


class Postgres:
    """Listens on a socket in a temporary folder only. As root it is run by another user, for it refuses root."""

    def __init__(self) -> None:
        self._bin = _binaries()
        self._folder = Path(tempfile.mkdtemp(prefix="kallglot-pg-"))
        self._as: list[str] = []
        self._template: str | None = None
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres" if _exists("postgres") else "nobody")
            os.chown(self._folder, user.pw_uid, user.pw_gid)
            self._as = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        self._data = self._folder / "data"
        self._run("initdb", "-D", str(self._data), "-U", "kallglot", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = (
            f"-c listen_addresses='' -c unix_socket_directories={self._folder} -c fsync=off -c max_connections=200"
        )
        log = self._folder / "log"
        self._run("pg_ctl", "-D", str(self._data), "-l", str(log), "-w", "-t", "60", "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop")
        shutil.rmtree(self._folder, ignore_errors=True)

    @contextmanager
    def frozen(self) -> Generator[None]:
        """It accepts connections and says nothing, to anybody."""
        postmaster = psutil.Process(int((self._data / "postmaster.pid").read_text().split()[0]))
        # The one that makes others first.
        family = [postmaster]
        postmaster.suspend()
        try:
            for one in postmaster.children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.suspend()
                    family.append(one)
            yield
        finally:
            for one in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.resume()

    def url(self, database: str) -> str:
        return f"postgresql://kallglot@/{database}?host={self._folder}"

    async def fresh(self) -> str:
        """The URL of a new, empty database."""
        return await self._create("template1")

    async def migrated(self) -> str:
        """The URL of a new database at the newest version."""
        if self._template is None:
            url = await self.fresh()
            await migrate(url)
            self._template = url.partition("@/")[2].partition("?")[0]
        return await self._create(self._template)

    async def _create(self, template: str) -> str:
        name = f"t{uuid.uuid4().hex}"
        admin = await asyncpg.connect(host=str(self._folder), user="kallglot", database="postgres")
        try:
            await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        finally:
            await admin.close()
        return self.url(name)

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as, str(self._bin / program), *arguments]
        done = subprocess.run(
            command, cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=120, text=True
        )
        assert done.returncode == 0, f"{program}: {done.stderr}"


def _binaries() -> Path:
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists():
            return folder
    found = shutil.which("initdb")
    if found is None:
        if os.environ.get("KALLGLOT_SKIP_POSTGRES") == "1":
            pytest.skip("PostgreSQL is not installed and KALLGLOT_SKIP_POSTGRES is set")
        pytest.fail("PostgreSQL's binaries are not installed; make test installs them")
    return Path(found).parent


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
